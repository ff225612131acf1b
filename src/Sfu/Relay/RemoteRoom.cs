using Transcribe.Cluster.Rooms;
using Transcribe.Rtc;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Relay;

/// <summary>A track of another node in a room that this node has sessions of.</summary>
internal sealed class RemoteTrack(RemoteRoom room, TrackInfo info)
{
    public RemoteRoom Room { get; } = room;

    public TrackInfo Info { get; } = info;

    /// <summary>Set once, before it is published here.</summary>
    public RelayOrigin Origin { get; set; } = null!;

    /// <summary>Somebody here receives it.</summary>
    public bool IsWanted { get; set; }

    public bool IsRemoved { get; set; }

    /// <summary>Snapshots do not show it any more since then; null where they do.</summary>
    public DateTimeOffset? MissingSince { get; set; }

    /// <summary>Where it comes from now.</summary>
    public RelaySlot? Slot { get; set; }

    /// <summary>Something changed that whoever serves it has to look at.</summary>
    public Signal Changed { get; } = new();

    public bool IsServed { get; set; }
}

/// <summary>A room that this node has sessions of, or relays for another node, as far as other nodes are concerned.</summary>
internal sealed class RemoteRoom(string name)
{
    public string Name { get; } = name;

    public bool IsClosed { get; set; }

    /// <summary>There are sessions of it here; else another node is helped.</summary>
    public bool IsHere { get; set; }

    /// <summary>Until when another node is helped by having the room here.</summary>
    public Instant AssistedUntil { get; set; }

    /// <summary>This node's part of it on the relay worker; touch it there only.</summary>
    public SfuRoom? Part { get; set; }

    /// <summary>Number of the last event that is taken into account.</summary>
    public long Sequence { get; set; }

    /// <summary>A resync runs; what comes meanwhile waits.</summary>
    public bool IsResyncing { get; set; }

    /// <summary>The last event that came during a resync.</summary>
    public long MissedSequence { get; set; }

    public Dictionary<string, RemoteTrack> Tracks { get; } = new(StringComparer.Ordinal);

    public IAsyncDisposable? Subscription { get; set; }

    /// <summary>The link towards the root of the room's tree; null while there is none, or this node is the root.</summary>
    public RelayLink? Uplink { get; set; }

    /// <summary>Its place as the store told it last; null before that.</summary>
    public RelayPlace? Place { get; set; }

    /// <summary>Nodes that said they have no part of the room.</summary>
    public HashSet<string> Refused { get; } = new(StringComparer.Ordinal);

    public Signal Changed { get; } = new();
}

/// <summary>Something for one waiter to notice; set twice is set once. For one scheduler.</summary>
internal sealed class Signal
{
    private TaskCompletionSource _set = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public void Set() => _set.TrySetResult();

    /// <summary>Waits until it is set, or the time is over; then it is not set any more.</summary>
    public async Task WaitAsync(TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        try
        {
            await _set.Task.WaitAsync(timeout, time, cancellationToken);
        }
        catch (TimeoutException)
        {
            // The other way to end the wait.
        }

        if (_set.Task.IsCompleted)
            _set = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
