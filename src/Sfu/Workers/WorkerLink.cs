using System.Runtime.InteropServices;
using Transcribe.Rtc;
using Transcribe.Rtc.Rtcp;

namespace Transcribe.Sfu.Workers;

/// <summary>
/// The way from one worker of a node to another: media through a ring, everything else through the other's command queue,
/// in order. What that queue does not take at once waits here. All members but those for the reader are for the thread of
/// <see cref="From"/>.
/// </summary>
internal sealed class WorkerLink(SfuWorker from, SfuWorker to, int ringCapacity, int maxWaiting) : IDisposable
{
    private readonly Queue<WorkerCommand> _waiting = new();
    private bool _wake;

    public SfuWorker From => from;

    public SfuWorker To => to;

    /// <summary>Read by <see cref="To"/>.</summary>
    public PacketRing Ring { get; } = new(ringCapacity);

    /// <summary>Commands that the other worker's queue had no room for.</summary>
    public int Waiting => _waiting.Count;

    /// <summary>Adds a packet, to be seen by the other worker after <see cref="Publish"/>; false where there is no room.</summary>
    public bool Write(int channel, ReadOnlySpan<byte> packet) => Ring.TryWrite(channel, RingRecordKind.RtpPacket, 0, packet);

    /// <summary>Adds a sender report; a lost one is followed by another.</summary>
    public void Write(int channel, in SenderReport report, Instant arrival)
    {
        if (Ring.TryWrite(channel, RingRecordKind.SenderReport, arrival.Ticks, MemoryMarshal.AsBytes(new ReadOnlySpan<SenderReport>(in report))))
            Publish();
    }

    /// <summary>Shows the other worker what was written; it is woken at the end of the turn.</summary>
    public void Publish()
    {
        Ring.Publish();
        _wake = true;
    }

    /// <summary>Has the other worker do something, after everything posted before.</summary>
    /// <param name="droppable">May be thrown away (counted) where too much waits already.</param>
    public void Post(in WorkerCommand command, bool droppable)
    {
        if (_waiting.Count == 0 && to.TryPostFrom(command))
        {
            _wake = true;
            return;
        }

        if (droppable && _waiting.Count >= maxWaiting)
            from.Counters.Drop(SfuDropReason.WorkerLinkFull);
        else
            _waiting.Enqueue(command);
    }

    /// <summary>At the end of a turn: posts what waited, and wakes the other worker if there is something for it.</summary>
    public void Flush()
    {
        while (_waiting.TryPeek(out WorkerCommand command) && to.TryPostFrom(command))
        {
            _waiting.Dequeue();
            _wake = true;
        }

        if (!_wake)
            return;
        _wake = false;
        to.WakeIfAsleep();
    }

    public void Dispose() => Ring.Dispose();
}
