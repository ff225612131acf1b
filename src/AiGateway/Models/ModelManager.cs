using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;

namespace Transcribe.AiGateway.Models;

public sealed record ModelManagerOptions
{
    /// <summary>Where model files are kept and downloaded to.</summary>
    public string Directory { get; init; } = DefaultDirectory();

    /// <summary>A model file, or a folder of them, that is used as it is: for machines without a network. TRANSCRIBE_MODEL_PATH.</summary>
    public string? OfflinePath { get; init; }

    /// <summary>Base address that replaces the manifest's: "{mirror}/{file}". TRANSCRIBE_MODEL_MIRROR.</summary>
    public Uri? Mirror { get; init; }

    /// <summary>Longest wait for the answer, and for the next bytes of it.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Attempts an address; each goes on where the last one broke off.</summary>
    public int Attempts { get; init; } = 3;

    /// <summary>The defaults, with what the environment says: TRANSCRIBE_MODELS, TRANSCRIBE_MODEL_PATH, TRANSCRIBE_MODEL_MIRROR.</summary>
    /// <exception cref="ModelException">A variable's value makes no sense.</exception>
    public static ModelManagerOptions FromEnvironment()
    {
        string? mirror = Variable("TRANSCRIBE_MODEL_MIRROR");
        if (mirror is not null && !(Uri.TryCreate(mirror, UriKind.Absolute, out Uri? parsed) && parsed.Scheme is "http" or "https"))
            throw new ModelException($"TRANSCRIBE_MODEL_MIRROR is \"{mirror}\"; it must be an http or https address.");
        return new()
        {
            Directory = Variable("TRANSCRIBE_MODELS") ?? DefaultDirectory(),
            OfflinePath = Variable("TRANSCRIBE_MODEL_PATH"),
            Mirror = mirror is null ? null : new Uri(mirror),
        };
    }

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;

    /// <summary>models/ of the source tree this runs from, else the user's cache.</summary>
    private static string DefaultDirectory()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string models = Path.Combine(folder.FullName, "models");
            if (File.Exists(Path.Combine(models, "manifest.json")))
                return models;
        }

        string cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } set
            ? set
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        return Path.Combine(cache, "transcribe", "models");
    }
}

/// <summary>A model cannot be had; the message says why and what to do.</summary>
public sealed class ModelException : Exception
{
    public ModelException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}

/// <param name="Received">Bytes on disk.</param>
/// <param name="Total">Bytes in all.</param>
public readonly record struct DownloadProgress(string Model, long Received, long Total);

/// <summary>Finds model files, and fetches them: resumed where broken off, checked, in place only when whole.</summary>
public sealed class ModelManager(HttpClient http, ModelManagerOptions options, TimeProvider clock)
{
    private const int BufferSize = 128 * 1024;

    public ModelManagerOptions Options { get; } = options;

    /// <summary>The file of a model if it is on this machine; else null. Does not read it through.</summary>
    public string? Find(ModelInfo model)
    {
        if (Options.OfflinePath is { } offline)
        {
            if (File.Exists(offline) && Path.GetFileName(offline).Equals(model.File, StringComparison.OrdinalIgnoreCase))
                return offline;
            string inside = Path.Combine(offline, model.File);
            if (File.Exists(inside))
                return inside;
        }

        string path = Path.Combine(Options.Directory, model.File);
        return new FileInfo(path) is { Exists: true } file && file.Length == model.Size ? path : null;
    }

    /// <summary>The file of a model; downloads it where it is missing.</summary>
    /// <exception cref="ModelException">It cannot be had.</exception>
    public async Task<string> FetchAsync(ModelInfo model, IProgress<DownloadProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        if (Find(model) is { } found)
            return found;
        string target = Path.Combine(Options.Directory, model.File), part = target + ".part";
        try
        {
            Directory.CreateDirectory(Options.Directory);
            // One download of a file at a time, across processes; the name on disk is released with the process.
            await using FileStream exclusive = new(part + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose);
            if (Find(model) is { } meanwhile)
                return meanwhile;
            await DownloadAsync(model, part, progress, cancellationToken).ConfigureAwait(false);
            File.Move(part, target, overwrite: true);
            return target;
        }
        catch (IOException e)
        {
            throw new ModelException($"The model {model.Name} cannot be written to {Options.Directory}: {e.Message} Free space, wait for the other download, or set TRANSCRIBE_MODELS.", e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new ModelException($"The folder {Options.Directory} cannot be written to. Set TRANSCRIBE_MODELS to one that can.", e);
        }
    }

    private async Task DownloadAsync(ModelInfo model, string part, IProgress<DownloadProgress>? progress, CancellationToken cancellationToken)
    {
        IReadOnlyList<Uri> addresses = Options.Mirror is { } mirror
            ? [new Uri(new Uri(mirror.AbsoluteUri.TrimEnd('/') + "/"), model.File)]
            : model.Urls;
        string reason = "the manifest has no address for it";
        foreach (Uri address in addresses)
        {
            for (int attempt = 0; attempt < Options.Attempts; attempt++)
            {
                if (attempt > 0)
                    await Task.Delay(TimeSpan.FromSeconds(Math.Min(1 << attempt, 10)), clock, cancellationToken).ConfigureAwait(false);
                try
                {
                    await AppendAsync(model, address, part, progress, cancellationToken).ConfigureAwait(false);
                    if (new FileInfo(part).Length == model.Size && await HasChecksumAsync(model, part, cancellationToken).ConfigureAwait(false))
                        return;
                    reason = $"what {address} sent has the wrong checksum";
                    File.Delete(part);
                }
                catch (HttpRequestException e)
                {
                    reason = e.StatusCode is { } status ? $"{address} answered {(int)status}" : $"{address.Host} could not be reached ({e.Message})";
                    if (e.StatusCode is >= HttpStatusCode.BadRequest and < HttpStatusCode.InternalServerError and not HttpStatusCode.RequestTimeout and not HttpStatusCode.TooManyRequests)
                        break; // asking again changes nothing
                }
                catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
                {
                    reason = $"{address.Host} sent nothing for {Options.StallTimeout.TotalSeconds:0} s";
                }
                catch (HttpIOException e)
                {
                    reason = $"the connection to {address.Host} broke ({e.Message})";
                }
            }
        }

        throw new ModelException(
            $"The model {model.Name} could not be fetched: {reason}. Put {model.File} into {Options.Directory}, or set TRANSCRIBE_MODEL_PATH or TRANSCRIBE_MODEL_MIRROR.");
    }

    private async Task AppendAsync(ModelInfo model, Uri address, string part, IProgress<DownloadProgress>? progress, CancellationToken cancellationToken)
    {
        long have = new FileInfo(part) is { Exists: true } existing ? existing.Length : 0;
        if (have == model.Size)
            return;
        if (have > model.Size)
        {
            File.Delete(part);
            have = 0;
        }

        using var stall = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using ITimer timer = clock.CreateTimer(state => ((CancellationTokenSource)state!).Cancel(), stall, Options.StallTimeout, Timeout.InfiniteTimeSpan);
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        if (have > 0)
            request.Headers.Range = new RangeHeaderValue(have, null);
        using HttpResponseMessage response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stall.Token).ConfigureAwait(false);
        if (response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable)
        {
            File.Delete(part);
            throw new HttpIOException(HttpRequestError.InvalidResponse, "the server cannot resume; starting over");
        }

        response.EnsureSuccessStatusCode();
        bool resumed = response.StatusCode == HttpStatusCode.PartialContent && response.Content.Headers.ContentRange?.From == have;
        if (!resumed)
            have = 0;
        await using var file = new FileStream(part, resumed ? FileMode.Append : FileMode.Create, FileAccess.Write, FileShare.None, BufferSize, useAsync: true);
        await using Stream body = await response.Content.ReadAsStreamAsync(stall.Token).ConfigureAwait(false);
        byte[] buffer = new byte[BufferSize];
        while (true)
        {
            timer.Change(Options.StallTimeout, Timeout.InfiniteTimeSpan);
            int read = await body.ReadAsync(buffer, stall.Token).ConfigureAwait(false);
            if (read == 0)
                break;
            have += read;
            if (have > model.Size)
                break; // longer than the model: the checksum will refuse it
            await file.WriteAsync(buffer.AsMemory(0, read), cancellationToken).ConfigureAwait(false);
            progress?.Report(new(model.Name, have, model.Size));
        }

        if (have < model.Size)
            throw new HttpIOException(HttpRequestError.ResponseEnded, $"{have} of {model.Size} bytes came");
    }

    private static async Task<bool> HasChecksumAsync(ModelInfo model, string path, CancellationToken cancellationToken)
    {
        await using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, BufferSize, useAsync: true);
        byte[] found = model.Sha256 is not null
            ? await SHA256.HashDataAsync(file, cancellationToken).ConfigureAwait(false)
            : await SHA1.HashDataAsync(file, cancellationToken).ConfigureAwait(false);
        return Convert.ToHexString(found).Equals(model.Sha256 ?? model.Sha1, StringComparison.OrdinalIgnoreCase);
    }
}
