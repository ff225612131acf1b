using System.Runtime.InteropServices;
using Transcribe.Rtc;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Workers;

// To and from the other workers of the node.
internal sealed partial class SfuWorker
{
    /// <summary>Records taken from one link before the others get their turn.</summary>
    private const int RecordsPerTurn = 512;

    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(1);

    private readonly Dictionary<int, Publication> _channels = [];
    private WorkerLink?[] _outgoing = [];
    private WorkerLink[] _incoming = [];
    private PacketRing? _reading;
    private int _lastChannel;
    private int _asleep;

    /// <summary>Tracks of other workers that are received here now.</summary>
    internal int ChannelCount => _channels.Count;

    /// <summary>Joins the workers of a node, before any of them starts. The links are the first worker's to dispose.</summary>
    internal static IReadOnlyList<WorkerLink> Connect(IReadOnlyList<SfuWorker> workers, RoomShards shards)
    {
        var links = new List<WorkerLink>();
        foreach (SfuWorker from in workers)
        {
            from._shards = shards;
            from._outgoing = new WorkerLink?[workers.Count];
            foreach (SfuWorker to in workers)
            {
                if (ReferenceEquals(from, to))
                    continue;
                var link = new WorkerLink(from, to, from.Limits.WorkerLinkBytes, from.Limits.MaxCommands);
                links.Add(link);
                from._outgoing[to.Index] = link;
            }
        }

        foreach (SfuWorker to in workers)
            to._incoming = [.. links.Where(link => ReferenceEquals(link.To, to))];
        return links;
    }

    internal WorkerLink LinkTo(SfuWorker other) =>
        _outgoing[other.Index] ?? throw new ArgumentException("A worker has no link to itself.", nameof(other));

    /// <summary>Has another worker do something, after everything this one posted to it before. Never lost.</summary>
    internal void Post(SfuWorker other, Action<object?, Instant> run, object? state) =>
        LinkTo(other).Post(new WorkerCommand(run, state), droppable: false);

    /// <summary>A number under which another worker sends the packets of a track.</summary>
    internal int OpenChannel(Publication publication)
    {
        do
            _lastChannel = _lastChannel == int.MaxValue ? 1 : _lastChannel + 1;
        while (!_channels.TryAdd(_lastChannel, publication));
        return _lastChannel;
    }

    internal void CloseChannel(int channel) => _channels.Remove(channel);

    /// <summary>From another worker's thread, which wakes this one later; false where the queue is full.</summary>
    internal bool TryPostFrom(in WorkerCommand command) => _commands.TryPost(command);

    /// <summary>From another worker's thread, after it published something: ends this one's wait, if it waits.</summary>
    internal void WakeIfAsleep()
    {
        // Pairs with the barrier in FallAsleep: either this sees the flag, or the worker sees what was published.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _asleep) != 0)
            _socket.Wake();
    }

    /// <summary>Announces that this worker is about to wait; false where something came meanwhile.</summary>
    private bool FallAsleep()
    {
        if (_incoming.Length == 0)
            return true;
        Volatile.Write(ref _asleep, 1);
        Interlocked.MemoryBarrier();
        if (!_commands.IsEmpty)
            return false;
        foreach (WorkerLink link in _incoming)
        {
            if (!link.Ring.IsEmpty)
                return false;
        }

        return true;
    }

    private void TakeFromLinks()
    {
        foreach (WorkerLink link in _incoming)
        {
            _reading = link.Ring;
            for (int i = 0; i < RecordsPerTurn && link.Ring.TryRead(out RingRecord record); i++)
            {
                // A channel that was closed while packets were under way.
                if (_channels.TryGetValue(record.Channel, out Publication? publication))
                    Take(publication, record);
            }
        }

        _reading = null;
    }

    private void Take(Publication publication, in RingRecord record)
    {
        try
        {
            if (record.Kind == RingRecordKind.SenderReport)
                publication.OnSenderReport(MemoryMarshal.Read<SenderReport>(record.Bytes), new Instant(record.Time));
            else if (RtpPacket.TryParse(record.Bytes, out RtpPacket packet))
                publication.OnPacket(Now, packet);
        }
        catch (Exception e)
        {
            // One track's trouble is not the others'.
            Counters.SessionFaults++;
            Raise(new SessionFaulted("", e));
        }
    }

    /// <summary>The packets were sent or copied: their room is the writers' again.</summary>
    private void ReleaseLinks()
    {
        foreach (WorkerLink link in _incoming)
            link.Ring.Release();
    }

    private bool FlushLinks()
    {
        bool waiting = false;
        foreach (WorkerLink? link in _outgoing)
        {
            if (link is null)
                continue;
            link.Flush();
            waiting |= link.Waiting > 0;
        }

        return waiting;
    }
}
