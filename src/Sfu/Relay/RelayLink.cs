using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Relay;

/// <summary>One receive-only m-section of a link, and the track it carries.</summary>
internal sealed class RelaySlot(RelayLink link, RtcMedia media)
{
    public RelayLink Link { get; } = link;

    public RtcMedia Media { get; } = media;

    /// <summary>Null for a free one.</summary>
    public RemoteTrack? Track { get; set; }

    /// <summary>The other node has not confirmed yet that it stopped sending on it.</summary>
    public bool IsStale { get; set; }

    /// <summary>Packets of its former track may be under way until then.</summary>
    public Instant FreeAt { get; set; } = Instant.Zero;
}

/// <summary>This node's link to another one, on which it receives. Belongs to <see cref="RelayManager"/>'s scheduler.</summary>
internal sealed class RelayLink(string peer, string sessionId) : IDisposable
{
    public string Peer { get; } = peer;

    public string SessionId { get; } = sessionId;

    /// <summary>On the relay worker; null until it is made. Touch it there only.</summary>
    public SfuSession? Session { get; set; }

    /// <summary>Done when tracks can be asked for; failed where that never came.</summary>
    public Task Opening { get; set; } = Task.CompletedTask;

    /// <summary>Set when media can flow and the data channel is open.</summary>
    public TaskCompletionSource Ready { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public List<RelaySlot> Slots { get; } = [];

    /// <summary>One offer at a time.</summary>
    public SemaphoreSlim Negotiating { get; } = new(1, 1);

    /// <summary>Rooms whose data goes over it.</summary>
    public HashSet<string> Rooms { get; } = new(StringComparer.Ordinal);

    /// <summary>It is of no use any more: silent, closed, or never came up.</summary>
    public bool IsLost { get; set; }

    public bool IsReady => Ready.Task.IsCompletedSuccessfully && !IsLost;

    public bool IsIdle => Rooms.Count == 0 && Slots.TrueForAll(slot => slot.Track is null);

    /// <summary>When it was used last.</summary>
    public Instant UsedAt { get; set; }

    public void Dispose() => Negotiating.Dispose();
}
