using Transcribe.Rtc.Sctp;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Sctp;

/// <summary>One side of a simulated association, which keeps all it is told.</summary>
internal sealed class SctpEnd : ISctpObserver
{
    private readonly VirtualLink _out;
    private readonly SctpPair _pair;

    public SctpEnd(SctpPair pair, SctpOptions options, VirtualLink outgoing)
    {
        _pair = pair;
        _out = outgoing;
        Association = new(options, this);
    }

    public SctpAssociation Association { get; set; }

    public List<(ushort Stream, uint Ppid, byte[] Data)> Messages { get; } = [];

    public List<ushort[]> IncomingResets { get; } = [];

    public List<(ushort[] Streams, bool Performed)> OutgoingResets { get; } = [];

    public List<ushort> Low { get; } = [];

    public int Connected { get; private set; }

    public int Restarted { get; private set; }

    public string? ClosedBy { get; private set; }

    /// <summary>Returns false to drop the packet.</summary>
    public Func<byte[], bool>? Filter { get; set; }

    /// <summary>Changes packets on their way.</summary>
    public Action<byte[]>? Rewrite { get; set; }

    public Action<ushort, byte[]>? MessageHandler { get; set; }

    public int LargestPacket { get; private set; }

    public IEnumerable<byte[]> On(ushort stream) => Messages.Where(m => m.Stream == stream).Select(m => m.Data);

    public void OnSend(ReadOnlySpan<byte> packet)
    {
        LargestPacket = Math.Max(LargestPacket, packet.Length);
        byte[] bytes = packet.ToArray();
        Rewrite?.Invoke(bytes);
        if (Filter is null || Filter(bytes))
            _out.Send(_pair.Now, default, bytes);
    }

    public void OnConnected(Instant now) => Connected++;

    public void OnRestarted(Instant now) => Restarted++;

    public void OnMessage(Instant now, ushort streamId, uint payloadProtocolId, ReadOnlySpan<byte> message)
    {
        Messages.Add((streamId, payloadProtocolId, message.ToArray()));
        MessageHandler?.Invoke(streamId, message.ToArray());
    }

    public void OnIncomingStreamsReset(Instant now, ReadOnlySpan<ushort> streamIds) => IncomingResets.Add(streamIds.ToArray());

    public void OnOutgoingStreamsReset(Instant now, ReadOnlySpan<ushort> streamIds, bool performed) =>
        OutgoingResets.Add((streamIds.ToArray(), performed));

    public void OnBufferedAmountLow(Instant now, ushort streamId) => Low.Add(streamId);

    public void OnClosed(Instant now, string reason)
    {
        Assert.Null(ClosedBy);
        ClosedBy = reason;
    }
}

/// <summary>Two associations, two links and a virtual clock.</summary>
internal sealed class SctpPair
{
    public SctpPair(LinkConditions? conditions = null, int seed = 1, SctpOptions? a = null, SctpOptions? b = null)
    {
        conditions ??= LinkConditions.Perfect;
        AtoB = new(conditions, seed * 2);
        BtoA = new(conditions, (seed * 2) + 1);
        A = new(this, (a ?? new()) with { Random = Seeded((seed * 7) + 1) }, AtoB);
        B = new(this, (b ?? new()) with { Random = Seeded((seed * 7) + 2) }, BtoA);
    }

    public VirtualLink AtoB { get; }

    public VirtualLink BtoA { get; }

    public SctpEnd A { get; }

    public SctpEnd B { get; }

    public Instant Now { get; private set; } = new(TimeSpan.TicksPerSecond);

    public static Action<Span<byte>> Seeded(int seed)
    {
        var random = new Random(seed);
        return random.NextBytes;
    }

    /// <summary>A pair that has finished its handshake.</summary>
    public static SctpPair Connected(LinkConditions? conditions = null, int seed = 1, SctpOptions? a = null, SctpOptions? b = null)
    {
        var pair = new SctpPair(conditions, seed, a, b);
        pair.A.Association.Connect(pair.Now);
        pair.B.Association.Connect(pair.Now);
        Assert.True(pair.RunUntil(() => pair.A.Connected == 1 && pair.B.Connected == 1, TimeSpan.FromSeconds(60)));
        return pair;
    }

    public bool RunUntil(Func<bool> done, TimeSpan limit)
    {
        Instant end = Now + limit;
        while (!done())
        {
            Instant next = Instant.Min(
                Instant.Min(AtoB.NextDelivery, BtoA.NextDelivery),
                Instant.Min(A.Association.NextTimeout, B.Association.NextTimeout));
            if (next > end)
            {
                Now = end;
                return done();
            }

            Now = Instant.Max(Now, next);
            while (AtoB.TryReceive(Now, out _, out byte[] toB))
                B.Association.Receive(Now, toB);
            while (BtoA.TryReceive(Now, out _, out byte[] toA))
                A.Association.Receive(Now, toA);
            A.Association.HandleTimeout(Now);
            B.Association.HandleTimeout(Now);
        }

        return true;
    }

    public void Run(TimeSpan time) => RunUntil(() => false, time);

    public static byte[] Bytes(int length, int seed)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
