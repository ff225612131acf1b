using Microsoft.Extensions.Logging;
using Transcribe.AiGateway.Models;

namespace Transcribe.AiGateway.Recognition;

/// <summary>The engine a room gets.</summary>
/// <param name="Notice">One line for people, where it is not the best one; else null.</param>
public sealed record RecognizerChoice(ISpeechRecognizer Recognizer, string? Notice);

/// <summary>The engine asked for cannot run here; the message says why and what to do.</summary>
public sealed class RecognizerUnavailableException : Exception
{
    public RecognizerUnavailableException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}

public sealed record RecognizerProviderOptions
{
    /// <summary>Whisper model for English rooms; other languages take it without ".en".</summary>
    public string WhisperModel { get; init; } = "base.en";

    /// <summary>libwhisper.so; null: look where build-whisper.sh puts it.</summary>
    public string? WhisperLibraryPath { get; init; } = WhisperLibrary.Find();

    /// <summary>Fetch a missing Whisper model in the background.</summary>
    public bool AllowDownload { get; init; } = Environment.GetEnvironmentVariable("TRANSCRIBE_MODEL_DOWNLOAD") != "0";

    /// <summary>Whisper decodes at the same time.</summary>
    public int WhisperWorkers { get; init; } = Math.Max(1, Environment.ProcessorCount);

    public PocketSphinxOptions PocketSphinx { get; init; } = new();
}

/// <summary>
/// Chooses and loads engines, each once a process. "auto" takes Whisper as soon as library and model are there;
/// until then, or without them, pocketsphinx, and says so.
/// </summary>
public sealed partial class RecognizerProvider : IDisposable
{
    private readonly RecognizerProviderOptions _options;
    private readonly ModelManager _models;
    private readonly ModelManifest _manifest;
    private readonly ILogger<RecognizerProvider> _log;
    private readonly Dictionary<string, ISpeechRecognizer> _loaded = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Download> _downloads = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (string Name, Func<ISpeechRecognizer> Create)> _registered = new(StringComparer.OrdinalIgnoreCase);
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stopped = new();

    public RecognizerProvider(RecognizerProviderOptions options, ModelManager models, ILogger<RecognizerProvider> log, ModelManifest? manifest = null)
    {
        _options = options;
        _models = models;
        _log = log;
        _manifest = manifest ?? ModelManifest.BuiltIn;
    }

    /// <summary>Adds an engine under a name that rooms can ask for.</summary>
    public void Register(string engine, Func<ISpeechRecognizer> create) => _registered[engine] = (engine, create);

    /// <summary>The engine for a room; loads it where it is not loaded (about a second).</summary>
    /// <param name="engine">"auto", "pocketsphinx", "whisper", "whisper/small.en", or a registered name.</param>
    /// <param name="language">BCP 47 tag.</param>
    /// <exception cref="RecognizerUnavailableException">It cannot run here.</exception>
    public RecognizerChoice Get(string engine, string language)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_stopped.IsCancellationRequested, this);
            if (_registered.TryGetValue(engine, out (string Name, Func<ISpeechRecognizer> Create) registered))
                return new(Load(registered.Name, registered.Create), null);
            string[] name = engine.ToLowerInvariant().Split('/', 2);
            switch (name[0])
            {
                case "whisper":
                    return TryWhisper(name.ElementAtOrDefault(1), language, out string reason) is { } whisper
                        ? new(whisper, null)
                        : throw new RecognizerUnavailableException($"Whisper cannot run: {reason}");
                case "pocketsphinx":
                    return new(PocketSphinx(language), null);
                case "auto":
                    if (TryWhisper(null, language, out string why) is { } best)
                        return new(best, null);
                    ISpeechRecognizer fallback = PocketSphinx(language);
                    string notice = $"Captions by pocketsphinx, which makes more mistakes than Whisper: {why}";
                    Log.FellBack(_log, notice);
                    return new(fallback, notice);
                default:
                    throw new RecognizerUnavailableException($"There is no engine \"{engine}\". Choose auto, whisper or pocketsphinx.");
            }
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            if (_stopped.IsCancellationRequested)
                return;
            _stopped.Cancel();
        }

        foreach (ISpeechRecognizer recognizer in _loaded.Values)
            recognizer.Dispose();
        _stopped.Dispose();
    }

    private ISpeechRecognizer PocketSphinx(string language)
    {
        if (!language.StartsWith("en", StringComparison.OrdinalIgnoreCase))
            throw new RecognizerUnavailableException($"pocketsphinx knows English only, not \"{language}\". For other languages install Whisper: src/AiGateway/Native/build-whisper.sh and transcribe models fetch base");
        if (!PocketSphinxRecognizer.TryFind(_options.PocketSphinx, out string? problem))
            throw new RecognizerUnavailableException(problem);
        return Load("pocketsphinx", () => new PocketSphinxRecognizer(_options.PocketSphinx));
    }

    private ISpeechRecognizer? TryWhisper(string? model, string language, out string reason)
    {
        if (_options.WhisperLibraryPath is not { } library)
        {
            reason = "libwhisper.so is not built. Build it: src/AiGateway/Native/build-whisper.sh";
            return null;
        }

        model ??= language.StartsWith("en", StringComparison.OrdinalIgnoreCase) ? _options.WhisperModel : _options.WhisperModel.Replace(".en", "", StringComparison.Ordinal);
        (string name, string? path) = FindModel(model, out reason);
        if (path is null)
            return null;
        try
        {
            return Load($"whisper/{name}", () => new WhisperRecognizer(new()
            {
                LibraryPath = library,
                ModelPath = path,
                ModelName = name,
                Workers = _options.WhisperWorkers,
            }));
        }
        catch (InvalidOperationException e)
        {
            reason = e.Message;
            return null;
        }
    }

    private (string Name, string? Path) FindModel(string name, out string reason)
    {
        reason = "";
        // TRANSCRIBE_MODEL_PATH may name a model nobody ever heard of.
        if (_models.Options.OfflinePath is { } offline && File.Exists(offline))
        {
            string file = Path.GetFileNameWithoutExtension(offline);
            return (file.StartsWith("ggml-", StringComparison.Ordinal) ? file[5..] : file, offline);
        }

        if (_manifest.Find(name) is not { } model)
        {
            reason = $"there is no model \"{name}\"; choose one of {string.Join(", ", _manifest.Models.Select(m => m.Name))}.";
            return (name, null);
        }

        if (_models.Find(model) is { } path)
            return (name, path);
        reason = !_options.AllowDownload
            ? $"the model {name} is not here. Fetch it: transcribe models fetch {name}"
            : DownloadOf(model).Describe();
        return (name, null);
    }

    private Download DownloadOf(ModelInfo model)
    {
        if (_downloads.TryGetValue(model.Name, out Download? running) && !running.MayRetry)
            return running;
        Log.Fetching(_log, model.Name, model.Size / 1_000_000);
        return _downloads[model.Name] = new Download(model, _models, _log, _stopped.Token);
    }

    private ISpeechRecognizer Load(string key, Func<ISpeechRecognizer> create)
    {
        if (_loaded.TryGetValue(key, out ISpeechRecognizer? recognizer))
            return recognizer;
        recognizer = create();
        Log.Loaded(_log, recognizer.Name);
        return _loaded[key] = recognizer;
    }

    private sealed class Download : IProgress<DownloadProgress>
    {
        private static readonly TimeSpan RetryAfter = TimeSpan.FromMinutes(10);

        private readonly ModelInfo _model;
        private readonly long _started = Environment.TickCount64;
        private long _received;
        private volatile string? _failure;

        public Download(ModelInfo model, ModelManager models, ILogger log, CancellationToken cancellationToken)
        {
            _model = model;
            _ = Task.Run(
                async () =>
                {
                    try
                    {
                        await models.FetchAsync(model, this, cancellationToken).ConfigureAwait(false);
                        Log.Fetched(log, model.Name);
                    }
                    catch (OperationCanceledException)
                    {
                        _failure = "the program ended";
                    }
                    catch (ModelException e)
                    {
                        Log.NotFetched(log, e.Message);
                        _failure = e.Message;
                    }
                },
                CancellationToken.None);
        }

        public bool MayRetry => _failure is not null && Environment.TickCount64 - _started > RetryAfter.TotalMilliseconds;

        public void Report(DownloadProgress value) => Interlocked.Exchange(ref _received, value.Received);

        public string Describe() =>
            _failure ?? $"its model {_model.Name} is being fetched ({Interlocked.Read(ref _received) * 100 / _model.Size} %).";
    }

    private static partial class Log
    {
        [LoggerMessage(6101, LogLevel.Information, "Speech engine {Engine} is loaded")]
        public static partial void Loaded(ILogger logger, string engine);

        [LoggerMessage(6102, LogLevel.Warning, "{Notice}")]
        public static partial void FellBack(ILogger logger, string notice);

        [LoggerMessage(6103, LogLevel.Information, "Fetching the model {Model} ({Megabytes} MB) in the background")]
        public static partial void Fetching(ILogger logger, string model, long megabytes);

        [LoggerMessage(6104, LogLevel.Information, "The model {Model} is there")]
        public static partial void Fetched(ILogger logger, string model);

        [LoggerMessage(6105, LogLevel.Warning, "{Reason}")]
        public static partial void NotFetched(ILogger logger, string reason);
    }
}
