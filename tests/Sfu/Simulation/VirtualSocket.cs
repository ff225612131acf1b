using Transcribe.Rtc;
using Transcribe.Sfu.Net;

namespace Transcribe.Sfu.Tests.Simulation;

/// <summary>A worker's socket without a network: a test puts datagrams in and takes them out.</summary>
internal sealed class VirtualSocket(TransportAddress local) : IDatagramSocket
{
    private readonly Queue<(TransportAddress From, byte[] Bytes)> _inbox = new();

    public Queue<(TransportAddress To, byte[] Bytes)> Outbox { get; } = new();

    public TransportAddress LocalAddress { get; } = local;

    public DatagramSocketCounters Counters { get; } = new();

    /// <summary>Throws away what is sent.</summary>
    public bool Discard { get; set; }

    public int Pending => _inbox.Count;

    public void Deliver(TransportAddress from, byte[] datagram) => _inbox.Enqueue((from, datagram));

    public int Receive(ReceiveRing ring, TimeSpan timeout)
    {
        ring.Clear();
        for (int slot = 0; slot < ring.Slots && _inbox.TryDequeue(out var next); slot++)
        {
            next.Bytes.CopyTo(ring.SlotSpan(slot));
            ring.Add(slot, next.Bytes.Length, 0, new TransportPath(LocalAddress, next.From));
            Counters.DatagramsReceived++;
        }

        return ring.Count;
    }

    public void Send(SendBatch batch)
    {
        for (int group = 0; !Discard && group < batch.GroupCount; group++)
        {
            for (int entry = batch.First(group, out TransportPath path); entry >= 0; entry = batch.Next(entry))
            {
                Outbox.Enqueue((path.Remote, batch.Datagram(entry).ToArray()));
                Counters.DatagramsSent++;
                Counters.BytesSent += batch.Datagram(entry).Length;
            }
        }

        batch.Clear();
    }

    public void Wake()
    {
    }

    public void Dispose()
    {
    }
}
