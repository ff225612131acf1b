using System.Reflection;
using System.Text.Json;
using Transcribe.Cluster;

namespace Transcribe.AiGateway.Models;

/// <summary>A downloadable model file.</summary>
/// <param name="Name">"base.en".</param>
/// <param name="Engine">"whisper".</param>
/// <param name="Size">Bytes, exactly.</param>
/// <param name="Sha256">Hexadecimal; at least one of the two checksums is there.</param>
/// <param name="Languages">Primary language tags; "*" for many.</param>
public sealed record ModelInfo(
    string Name, string Engine, string File, long Size, IReadOnlyList<string> Languages, IReadOnlyList<Uri> Urls, string? Sha256 = null, string? Sha1 = null)
{
    /// <summary>Whether the model understands the language.</summary>
    public bool Knows(string language) => Languages.Contains("*") || Languages.Contains(language.Split('-', '_')[0].ToLowerInvariant());
}

/// <summary>The models this version knows: models/manifest.json.</summary>
public sealed record ModelManifest(int Version, IReadOnlyList<ModelInfo> Models)
{
    /// <summary>The manifest built into the product.</summary>
    public static ModelManifest BuiltIn { get; } = ReadBuiltIn();

    /// <exception cref="JsonException">The text is no manifest, or a model in it has no checksum, name or size.</exception>
    public static ModelManifest Parse(string json)
    {
        ModelManifest manifest = JsonSerializer.Deserialize<ModelManifest>(json, ClusterJson.Options) ?? throw new JsonException("The manifest is empty.");
        if (manifest.Version != 1)
            throw new JsonException($"The manifest has version {manifest.Version}; this program reads version 1.");
        foreach (ModelInfo model in manifest.Models ?? throw new JsonException("The manifest names no models."))
        {
            if (string.IsNullOrEmpty(model.Name) || model.Size <= 0 || model.Languages is null || model.Urls is null
                || (model.Sha256 ?? model.Sha1) is null || string.IsNullOrEmpty(model.File) || Path.GetFileName(model.File) != model.File)
                throw new JsonException($"The manifest's model \"{model.Name}\" lacks a plain file name, size, checksum, languages or urls.");
        }

        return manifest;
    }

    /// <summary>Null for an unknown name.</summary>
    public ModelInfo? Find(string name) => Models.FirstOrDefault(model => model.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    private static ModelManifest ReadBuiltIn()
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream("models/manifest.json")!;
        using var reader = new StreamReader(stream);
        return Parse(reader.ReadToEnd());
    }
}
