using Transcribe.Rtc;

namespace Transcribe.Sfu.Net;

/// <summary>
/// A UDP socket of one worker: datagrams come in batches into a preallocated ring and leave in batches. All members
/// but <see cref="Wake"/> are for the owning thread only. Nothing here allocates per datagram.
/// </summary>
internal interface IDatagramSocket : IDisposable
{
    /// <summary>The bound address; its port is the real one where 0 was asked for.</summary>
    TransportAddress LocalAddress { get; }

    /// <summary>Written by the owning thread; other threads may read it for metrics.</summary>
    DatagramSocketCounters Counters { get; }

    /// <summary>
    /// Fills the ring with what has arrived, and waits for at most <paramref name="timeout"/> while nothing has.
    /// Ends early, with nothing, after <see cref="Wake"/>.
    /// </summary>
    /// <param name="ring">Its former content is gone.</param>
    /// <param name="timeout">Zero or less: do not wait. Longer than an hour is an hour.</param>
    /// <returns>Number of datagrams in the ring.</returns>
    int Receive(ReceiveRing ring, TimeSpan timeout);

    /// <summary>
    /// Sends the batch and clears it. Order is kept among the datagrams of one path. What the kernel refuses is
    /// dropped and counted: UDP promises no more.
    /// </summary>
    void Send(SendBatch batch);

    /// <summary>Ends a wait in <see cref="Receive"/>, now or the next one. From any thread.</summary>
    void Wake();
}

/// <summary>What a socket did so far. Plain fields with one writer.</summary>
internal sealed class DatagramSocketCounters
{
    public long DatagramsReceived;
    public long BytesReceived;
    public long ReceiveCalls;

    /// <summary>Datagrams longer than a ring slot.</summary>
    public long Truncated;

    public long ReceiveErrors;

    /// <summary>Datagrams the kernel threw away because the socket's receive buffer was full (SO_RXQ_OVFL).</summary>
    public long KernelDrops;

    public long DatagramsSent;
    public long BytesSent;
    public long SendCalls;

    /// <summary>Messages that carried more than one datagram by segmentation offload.</summary>
    public long SegmentedSends;

    /// <summary>Datagrams dropped because the send buffer stayed full.</summary>
    public long SendBufferFull;

    /// <summary>Datagrams the kernel refused for another reason (no route, prohibited, too long).</summary>
    public long SendErrors;
}
