using Transcribe.AiGateway.Models;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Vad;

namespace Transcribe.AiGateway;

/// <summary>Which voice activity detector is used.</summary>
public enum VadKind
{
    /// <summary>Silero where its model file is there, else energy.</summary>
    Auto,
    Silero,
    Energy,
}

/// <summary>Settings of the gateway role.</summary>
public sealed record AiGatewayOptions
{
    /// <summary>Name of this gateway among others: owner of room leases.</summary>
    public string Node { get; set; } = $"gateway-{Environment.MachineName}-{Environment.ProcessId}";

    /// <summary>Origin of the signalling node that rooms are joined through.</summary>
    public Uri SignalingUrl { get; set; } = new("http://127.0.0.1:8080");

    /// <summary>Threads that decode and recognise. 1 to 256.</summary>
    public int Workers { get; set; } = Math.Clamp(Environment.ProcessorCount, 2, 256);

    /// <summary>What tells speech from silence: Silero, Energy, or Auto for Silero where its model is there.</summary>
    public VadKind Vad { get; set; } = VadKind.Auto;

    /// <summary>silero_vad_v5.onnx; null: in the model folder, where models/fetch-silero.sh puts it.</summary>
    public string? SileroModelPath { get; set; }

    public SegmenterOptions Segmenter { get; set; } = new();

    public RecognizerProviderOptions Recognizers { get; set; } = new();

    public ModelManagerOptions Models { get; set; } = ModelManagerOptions.FromEnvironment();

    /// <summary>Rooms that this gateway captions at most; it claims no more. 1 to 10,000. By default 16 a processor.</summary>
    public int Capacity { get; set; } = Math.Clamp(Environment.ProcessorCount * 16, 1, 10_000);

    /// <summary>Where this gateway is, as it announces itself.</summary>
    public string Region { get; set; } = "local";

    /// <summary>How long an unrenewed claim on a room lasts: the time until another gateway takes a dead one's rooms. 1 s to 5 min.</summary>
    public TimeSpan LeaseTime { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>How often a claim is renewed. At least 50 ms, at most a third of <see cref="LeaseTime"/>.</summary>
    public TimeSpan LeaseRenewal { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How often this gateway looks for rooms that nobody captions. 50 ms to 10 s.</summary>
    public TimeSpan PollInterval { get; set; } = TimeSpan.FromMilliseconds(250);

    /// <summary>How long the last words may take when a room is left.</summary>
    public TimeSpan FlushTimeout { get; set; } = TimeSpan.FromMilliseconds(1500);

    /// <summary>What is wrong with these settings: sentences that name the setting, its value and the fix. Empty when all is well.</summary>
    public IEnumerable<string> Validate()
    {
        if (string.IsNullOrWhiteSpace(Node))
            yield return "Gateway:Node is empty; give this gateway a unique name.";
        if (!SignalingUrl.IsAbsoluteUri || SignalingUrl.Scheme is not ("http" or "https"))
            yield return $"Gateway:SignalingUrl is \"{SignalingUrl}\"; it must be an http or https address.";
        if (Workers is < 1 or > 256)
            yield return $"Gateway:Workers is {Workers}; it must be 1 to 256.";
        if (Capacity is < 1 or > 10_000)
            yield return $"Gateway:Capacity is {Capacity}; it must be 1 to 10,000 rooms.";
        if (LeaseTime < TimeSpan.FromSeconds(1) || LeaseTime > TimeSpan.FromMinutes(5))
            yield return $"Gateway:LeaseTime is {LeaseTime}; it must be 1 second to 5 minutes.";
        else if (LeaseRenewal < TimeSpan.FromMilliseconds(50) || LeaseRenewal > LeaseTime / 3)
            yield return $"Gateway:LeaseRenewal is {LeaseRenewal}; it must be at least 50 ms and at most a third of Gateway:LeaseTime, {LeaseTime / 3}.";
        if (PollInterval < TimeSpan.FromMilliseconds(50) || PollInterval > TimeSpan.FromSeconds(10))
            yield return $"Gateway:PollInterval is {PollInterval}; it must be 50 ms to 10 s.";
        if (Vad == VadKind.Silero && !File.Exists(SileroPath))
            yield return $"Gateway:Vad is Silero but {SileroPath} does not exist; fetch it by models/fetch-silero.sh or choose Auto.";
        if (Segmenter.Hangover < TimeSpan.FromMilliseconds(100) || Segmenter.Hangover > TimeSpan.FromSeconds(3))
            yield return $"Gateway:Segmenter:Hangover is {Segmenter.Hangover}; it must be 0.1 to 3 seconds.";
        if (Segmenter.MaxLength < TimeSpan.FromSeconds(5) || Segmenter.MaxLength > TimeSpan.FromSeconds(30))
            yield return $"Gateway:Segmenter:MaxLength is {Segmenter.MaxLength}; it must be 5 to 30 seconds.";
        if (Recognizers.PocketSphinx.MaxDecoders is < 1 or > 64)
            yield return $"Gateway:Recognizers:PocketSphinx:MaxDecoders is {Recognizers.PocketSphinx.MaxDecoders}; it must be 1 to 64.";
        if (Recognizers.WhisperWorkers is < 1 or > 256)
            yield return $"Gateway:Recognizers:WhisperWorkers is {Recognizers.WhisperWorkers}; it must be 1 to 256.";
    }

    internal string SileroPath => SileroModelPath ?? Path.Combine(Models.Directory, "silero_vad_v5.onnx");

    internal IVoiceActivityDetectorFactory CreateVad() => Vad switch
    {
        VadKind.Silero => new SileroVadFactory(SileroPath),
        VadKind.Energy => new EnergyVadFactory(),
        _ => File.Exists(SileroPath) ? new SileroVadFactory(SileroPath) : new EnergyVadFactory(),
    };
}
