using System.Threading.Channels;
using Transcribe.Rtc;
using Transcribe.Rtc.Ice;
using Transcribe.Sfu.Control;

namespace Transcribe.Sfu.Workers;

/// <summary>What a worker is made with.</summary>
internal sealed record SfuWorkerOptions
{
    /// <summary>0, 1, 2 …: names its thread, and the processor it is pinned to.</summary>
    public int Index { get; init; }

    /// <summary>The node's name in track descriptions.</summary>
    public string NodeId { get; init; } = "local";

    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>Template of every session; the worker sets what is its own (wake-up, wall clock).</summary>
    public required RtcSessionOptions Session { get; init; }

    /// <summary>Told to clients in every answer.</summary>
    public IReadOnlyList<IceCandidate> Candidates { get; init; } = [];

    /// <summary>Takes the worker's events; bounded.</summary>
    public required ChannelWriter<SfuEvent> Events { get; init; }

    public SfuLimits Limits { get; init; } = new();

    /// <summary>Whether a room's voices are transcribed, so that the last of them are kept for a gateway that takes over. Any thread.</summary>
    public Func<string, bool> IsTranscribed { get; init; } = _ => false;

    /// <summary>Bind the thread to processor <see cref="Index"/>.</summary>
    public bool Pin { get; init; }
}
