using System.Collections;
using System.Globalization;
using System.Reflection;
using Transcribe.AiGateway;
using Transcribe.Director;
using Transcribe.Sfu.Control;
using Transcribe.Signaling;

namespace Transcribe.Hosting;

/// <summary>A value that an operator can set.</summary>
/// <param name="Key">As error messages and the JSON file have it, e.g. "Sfu:Limits:MaxTracks".</param>
/// <param name="Default">As text; null where there is none.</param>
public sealed record Setting(string Key, string? Default)
{
    /// <summary>The variable that sets it, e.g. "TRANSCRIBE_SFU__LIMITS__MAXTRACKS".</summary>
    public string Variable => Settings.Prefix + Key.ToUpperInvariant().Replace(":", "__", StringComparison.Ordinal);
}

/// <summary>
/// Limits and times of the roles beyond the variables that have names of their own: from the JSON file that TRANSCRIBE_CONFIG
/// names, and from variables like TRANSCRIBE_SFU__LIMITS__MAXTRACKS, which win.
/// </summary>
public sealed class Settings
{
    public const string FileVariable = "TRANSCRIBE_CONFIG";

    internal const string Prefix = "TRANSCRIBE_";

    private static readonly Dictionary<string, Func<object>> Sections = new(StringComparer.OrdinalIgnoreCase)
    {
        ["Sfu"] = () => new SfuOptions(),
        ["Gateway"] = () => new AiGatewayOptions(),
        ["Signaling"] = () => new SignalingOptions(),
        ["Director"] = () => new DirectorOptions(),
    };

    /// <summary>What a variable or the role itself decides.</summary>
    private static readonly Dictionary<string, string> Elsewhere = new(StringComparer.OrdinalIgnoreCase)
    {
        ["Sfu:NodeId"] = "TRANSCRIBE_NODE_ID",
        ["Sfu:Region"] = "TRANSCRIBE_REGION",
        ["Sfu:UdpPort"] = "TRANSCRIBE_UDP_PORT",
        ["Sfu:AdvertisedAddresses"] = "TRANSCRIBE_ADVERTISED_ADDRESSES",
        ["Sfu:Relay:ClusterKey"] = "TRANSCRIBE_CLUSTER_KEY",
        ["Gateway:Node"] = "TRANSCRIBE_NODE_ID",
        ["Gateway:Region"] = "TRANSCRIBE_REGION",
        ["Gateway:SignalingUrl"] = "TRANSCRIBE_HTTP_PORT",
        ["Gateway:Models:Directory"] = "TRANSCRIBE_MODELS",
        ["Gateway:Models:OfflinePath"] = "TRANSCRIBE_MODEL_PATH",
        ["Gateway:Models:Mirror"] = "TRANSCRIBE_MODEL_MIRROR",
        ["Gateway:Recognizers:AllowDownload"] = "TRANSCRIBE_MODEL_DOWNLOAD",
        ["Signaling:NodeId"] = "TRANSCRIBE_NODE_ID",
        ["Signaling:Region"] = "TRANSCRIBE_REGION",
        ["Director:NodeId"] = "TRANSCRIBE_NODE_ID",
    };

    private readonly IConfiguration _values;

    private Settings(IConfiguration values) => _values = values;

    /// <summary>Nothing is set.</summary>
    public static Settings None { get; } = new(new ConfigurationBuilder().Build());

    /// <summary>All there are, with their defaults on this machine.</summary>
    public static IReadOnlyList<Setting> All { get; } = [.. Sections.SelectMany(section => List(section.Key, section.Value()))];

    /// <exception cref="ConfigurationException">A file that cannot be read, or a name that is none.</exception>
    public static Settings FromEnvironment() => From(
        Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().Select(e => KeyValuePair.Create((string)e.Key, (string?)e.Value)));

    /// <param name="variables">The environment.</param>
    /// <exception cref="ConfigurationException">A file that cannot be read, or a name that is none.</exception>
    public static Settings From(IEnumerable<KeyValuePair<string, string?>> variables)
    {
        var builder = new ConfigurationBuilder();
        KeyValuePair<string, string?>[] all = [.. variables];
        if (all.FirstOrDefault(v => v.Key == FileVariable).Value is { Length: > 0 } file)
            builder.AddJsonFile(Path.GetFullPath(file), optional: false, reloadOnChange: false);
        builder.AddInMemoryCollection(all
            .Where(v => v.Key.StartsWith(Prefix, StringComparison.Ordinal) && v.Key.Contains("__", StringComparison.Ordinal))
            .Select(v => KeyValuePair.Create(v.Key[Prefix.Length..].Replace("__", ":", StringComparison.Ordinal), v.Value)));
        try
        {
            var settings = new Settings(builder.Build());
            foreach (KeyValuePair<string, string?> value in settings._values.AsEnumerable().Where(v => v.Value is not null))
                Check(value.Key);
            return settings;
        }
        catch (Exception e) when (e is IOException or InvalidDataException or FormatException)
        {
            throw new ConfigurationException($"{FileVariable} is \"{all.First(v => v.Key == FileVariable).Value}\", and it cannot be used: {(e.InnerException ?? e).Message} Give a JSON file like {{\"Sfu\": {{\"Workers\": 4}}}}.");
        }
    }

    /// <summary>Sets what is set in a section.</summary>
    /// <exception cref="ConfigurationException">A value of the wrong kind.</exception>
    public T Apply<T>(string section, T options)
        where T : class
    {
        // One by one, so that a sentence can say which.
        foreach (KeyValuePair<string, string?> value in _values.GetSection(section).AsEnumerable().Where(v => v.Value is not null))
        {
            try
            {
                new ConfigurationBuilder().AddInMemoryCollection([value]).Build().GetSection(section).Bind(options);
            }
            catch (InvalidOperationException e)
            {
                throw new ConfigurationException($"{value.Key} is \"{value.Value}\". {(e.InnerException ?? e).Message.TrimEnd('.')}. Set a value like the default, {Default(value.Key)}, or leave it out.");
            }
        }

        return options;
    }

    /// <summary>What is set in a section, as the environment of another process.</summary>
    public IEnumerable<KeyValuePair<string, string>> Variables(string section) => _values.GetSection(section).AsEnumerable()
        .Where(v => v.Value is not null).Select(v => KeyValuePair.Create(new Setting(v.Key, null).Variable, v.Value!));

    private static string Default(string key) =>
        All.FirstOrDefault(s => key.Equals(s.Key, StringComparison.OrdinalIgnoreCase) || key.StartsWith($"{s.Key}:", StringComparison.OrdinalIgnoreCase))?.Default is { Length: > 0 } text
            ? $"\"{text}\""
            : "which is none";

    private static void Check(string key)
    {
        if (Elsewhere.FirstOrDefault(e => Is(key, e.Key)) is { Value: { } variable })
            throw new ConfigurationException($"{key} cannot be set like this. Set {variable}.");
        if (!All.Any(setting => Is(key, setting.Key)))
            throw new ConfigurationException($"There is no setting {key}. \"transcribe settings\" lists them.");
    }

    /// <summary>A list's items have numbers.</summary>
    private static bool Is(string key, string setting) =>
        key.Equals(setting, StringComparison.OrdinalIgnoreCase)
        || (key.StartsWith($"{setting}:", StringComparison.OrdinalIgnoreCase) && key[(setting.Length + 1)..].All(char.IsAsciiDigit));

    private static IEnumerable<Setting> List(string prefix, object options)
    {
        foreach (PropertyInfo property in options.GetType().GetProperties(BindingFlags.Instance | BindingFlags.Public))
        {
            string key = $"{prefix}:{property.Name}";
            Type type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
            bool isList = type != typeof(string) && type.IsAssignableTo(typeof(IEnumerable));
            if (Elsewhere.ContainsKey(key) || isList)
                continue;
            object? value = property.GetValue(options);
            if (type.IsClass && type.Namespace?.StartsWith(nameof(Transcribe), StringComparison.Ordinal) == true && value is not null)
            {
                foreach (Setting inner in List(key, value))
                    yield return inner;
            }
            else if (property.CanWrite)
            {
                string? text = Convert.ToString(value, CultureInfo.InvariantCulture);
                yield return new Setting(key, value is bool ? text!.ToLowerInvariant() : text);
            }
        }
    }
}
