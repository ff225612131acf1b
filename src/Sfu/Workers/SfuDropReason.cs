using Transcribe.Rtc;

namespace Transcribe.Sfu.Workers;

/// <summary>Why the SFU threw something away. Drops inside a session are counted there (<see cref="Rtc.RtcDropReason"/>).</summary>
public enum SfuDropReason
{
    /// <summary>An empty datagram.</summary>
    Empty,

    /// <summary>The first byte belongs to none of the protocols on this port (RFC 7983).</summary>
    UnknownProtocol,

    /// <summary>Starts like STUN and is not a well-formed binding request with a user name, and no session knows the source.</summary>
    StunMalformed,

    /// <summary>A binding request for a ufrag that no session has.</summary>
    UnknownUfrag,

    /// <summary>DTLS, RTP or RTCP from an address that no session has validated.</summary>
    UnknownSource,

    /// <summary>Longer than a datagram may be.</summary>
    Oversize,

    /// <summary>A data channel message on a label that the sender's token does not allow.</summary>
    DataNotGranted,

    /// <summary>A data channel message that a receiver could not take: its buffer is full or its channel is closing.</summary>
    DataBackpressure,

    /// <summary>RTP on an m-section that publishes nothing.</summary>
    NotPublished,

    /// <summary>RTP of a muted track.</summary>
    Muted,

    /// <summary>An event for the control side that its full queue did not take.</summary>
    EventQueueFull,

    /// <summary>A command for a worker that its full queue did not take.</summary>
    CommandQueueFull,

    /// <summary>A retransmission beyond the subscriber's budget.</summary>
    RetransmissionLimit,

    /// <summary>A packet or a message for another worker of the node, which was too far behind.</summary>
    WorkerLinkFull,
}

/// <summary>Counters of one worker: one writer, read by metrics from elsewhere.</summary>
internal sealed class WorkerCounters
{
    private readonly long[] _drops = new long[Enum.GetValues<SfuDropReason>().Length];

    /// <summary>RTP packets taken from publishers for forwarding.</summary>
    public long PacketsIn;

    /// <summary>RTP packets sent to subscribers, retransmissions not counted.</summary>
    public long PacketsForwarded;

    /// <summary>RTP packets sent again.</summary>
    public long PacketsRetransmitted;

    /// <summary>Sequence numbers subscribers asked for again.</summary>
    public long PacketsNacked;

    /// <summary>Keyframe requests of subscribers.</summary>
    public long KeyframesAsked;

    /// <summary>Keyframe requests passed on to publishers.</summary>
    public long KeyframesRequested;

    /// <summary>Data channel messages delivered to receivers.</summary>
    public long DataMessagesForwarded;

    /// <summary>Sessions closed because something inside them threw.</summary>
    public long SessionFaults;

    /// <summary>What sessions threw away, those that ended included.</summary>
    public RtcDropTotals SessionDrops { get; } = new();

    /// <summary>Sessions on the worker now.</summary>
    public int Sessions;

    /// <summary>Rooms on the worker now.</summary>
    public int Rooms;

    /// <summary>Published tracks on the worker now.</summary>
    public int Publications;

    /// <summary>Slots that carry a track now.</summary>
    public int Downtracks;

    public long DropsBecause(SfuDropReason reason) => Volatile.Read(ref _drops[(int)reason]);

    public void Drop(SfuDropReason reason, int count = 1) => _drops[(int)reason] += count;

    /// <summary>For threads other than the worker's.</summary>
    public void DropFromElsewhere(SfuDropReason reason) => Interlocked.Increment(ref _drops[(int)reason]);
}
