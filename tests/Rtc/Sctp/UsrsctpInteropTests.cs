using Transcribe.Rtc.Sctp;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Sctp;

/// <summary>Our association against Firefox's stack, in real time. Skipped where Debian's libusrsctp2 is not installed.</summary>
public sealed class UsrsctpInteropTests
{
    private sealed class Net : IDisposable
    {
        private readonly SctpPair _pair;
        private readonly VirtualLink _toThem;
        private readonly VirtualLink _toUs;
        private readonly System.Diagnostics.Stopwatch _clock = System.Diagnostics.Stopwatch.StartNew();
        private long _ticked;

        public Net(LinkConditions conditions, int seed)
        {
            Assert.SkipUnless(Usrsctp.IsInstalled, "libusrsctp2 is not installed (apt-get install libusrsctp2)");
            _pair = new(conditions, seed);
            _toThem = new(conditions, seed);
            _toUs = new(conditions, seed + 100);
            Us = new(_pair, Quick with { Random = SctpPair.Seeded(seed) }, _pair.AtoB)
            {
                Filter = p =>
                {
                    _toThem.Send(Now, default, p);
                    return false;
                },
            };
            Them = new(5000, p => _toUs.Send(Now, default, p));
        }

        public Instant Now { get; private set; } = new(TimeSpan.TicksPerSecond);

        public SctpEnd Us { get; }

        public Usrsctp Them { get; }

        public string Status() =>
            $"us {Us.Association.State} in {Us.Messages.Count} buffered {Us.Association.BufferedAmount} cwnd {Us.Association.CongestionWindow} " +
            $"closed {Us.ClosedBy}, resets {Us.OutgoingResets.Count}/{Us.IncomingResets.Count}; them in {Them.Messages.Count} up {Them.IsUp} down {Them.IsDown} resets {string.Join(' ', Them.Resets.Select(r => r.Flags))}";

        public bool RunUntil(Func<bool> done, int seconds = 30)
        {
            Instant end = Now + TimeSpan.FromSeconds(seconds);
            while (Now < end)
            {
                if (done())
                    return true;
                Thread.Sleep(1);
                long before = _clock.ElapsedMilliseconds;
                Now = new(TimeSpan.TicksPerSecond + _clock.Elapsed.Ticks);
                while (_toThem.TryReceive(Now, out _, out byte[] bytes))
                    Them.Input(bytes);
                while (_toUs.TryReceive(Now, out _, out byte[] bytes))
                    Us.Association.Receive(Now, bytes);
                Us.Association.HandleTimeout(Now);
                Usrsctp.HandleTimers((int)(before - _ticked));
                _ticked = before;
                Them.Read();
            }

            return done();
        }

        public static Net Connected(LinkConditions conditions, int seed = 1, bool weConnect = true, bool theyConnect = true)
        {
            var net = new Net(conditions, seed);
            if (weConnect)
                net.Us.Association.Connect(net.Now);
            if (theyConnect)
                net.Them.Connect();
            Assert.True(net.RunUntil(() => net.Us.Connected == 1 && net.Them.IsUp));
            net.Us.Association.RemoteMaxMessageSize = 0;
            return net;
        }

        public void Dispose()
        {
            Us.Association.Abort(Now);
            while (_toThem.TryReceive(Instant.Never, out _, out byte[] bytes))
                Them.Input(bytes);
            Them.Dispose();
        }
    }

    private static readonly SctpOptions Quick = new()
    {
        RtoInitial = TimeSpan.FromMilliseconds(100),
        RtoMin = TimeSpan.FromMilliseconds(40),
        RtoMax = TimeSpan.FromMilliseconds(500),
        DelayedAck = TimeSpan.FromMilliseconds(10),
    };

    private static readonly LinkConditions Near = new() { Delay = TimeSpan.FromMilliseconds(3) };

    private static readonly LinkConditions Lossy = new()
    {
        Loss = 0.1,
        Duplication = 0.03,
        Delay = TimeSpan.FromMilliseconds(3),
        Jitter = TimeSpan.FromMilliseconds(8),
    };

    [Theory]
    [InlineData(0)]
    [InlineData(0.2)]
    public void Connects_when_both_send_init(double loss)
    {
        for (int seed = 0; seed < 5; seed++)
        {
            using var net = Net.Connected(Near with { Loss = loss }, seed);
            Assert.Equal(SctpSendStatus.Queued, net.Us.Association.Send(net.Now, 3, 51, [1, 2]));
            Assert.True(net.Them.Send(4, 53, [3, 4, 5]));
            Assert.True(net.RunUntil(() => net.Us.Messages.Count == 1 && net.Them.Messages.Count == 1), net.Status());
            Assert.Equal(((ushort)4, 53u), (net.Us.Messages[0].Stream, net.Us.Messages[0].Ppid));
            Assert.Equal(((ushort)3, 51u), (net.Them.Messages[0].Stream, net.Them.Messages[0].Ppid));
            Assert.Equal([3, 4, 5], net.Us.Messages[0].Data);
        }
    }

    [Fact]
    public void Connects_when_only_they_send_init()
    {
        using var net = Net.Connected(Near, weConnect: false);
        Assert.Equal(SctpState.Established, net.Us.Association.State);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Messages_of_all_sizes_cross_both_ways(bool lossy)
    {
        using var net = Net.Connected(lossy ? Lossy : Near, 7);
        int[] sizes = [1, 1100, 1200, 5000, 65536, 3, 200_000, 17];
        for (int i = 0; i < sizes.Length; i++)
        {
            Assert.Equal(SctpSendStatus.Queued, net.Us.Association.Send(net.Now, 1, 53, SctpPair.Bytes(sizes[i], i)));
            Assert.True(net.Them.Send(1, 53, SctpPair.Bytes(sizes[i], i + 100)));
        }

        Assert.True(net.RunUntil(() => net.Us.Messages.Count == sizes.Length && net.Them.Messages.Count == sizes.Length, 60), net.Status());
        Assert.Equal(sizes.Select((s, i) => SctpPair.Bytes(s, i)), net.Them.Messages.Select(m => m.Data));
        Assert.Equal(sizes.Select((s, i) => SctpPair.Bytes(s, i + 100)), net.Us.Messages.Select(m => m.Data));
    }

    [Fact]
    public void Partial_reliability_gives_up_and_goes_on_both_ways()
    {
        using var net = Net.Connected(Lossy, 11);
        for (byte i = 0; i < 100; i++)
        {
            bool limited = i % 2 == 1;
            bool unordered = i % 3 == 0;
            net.Us.Association.Send(net.Now, 1, 53, [i, .. new byte[i * 30]], new(unordered, limited ? 0 : null));
            Assert.True(net.Them.Send(1, 53, [i, .. new byte[i * 30]], unordered, limited ? 0 : null));
            Instant until = net.Now + TimeSpan.FromMilliseconds(5);
            net.RunUntil(() => net.Now >= until);
        }

        static int[] Reliable(IEnumerable<byte[]> messages) => [.. messages.Select(m => (int)m[0]).Where(i => i % 2 == 0).Order()];
        static int[] Ordered(IEnumerable<byte[]> messages) => [.. messages.Select(m => (int)m[0]).Where(i => i % 3 != 0)];
        int[] expected = [.. Enumerable.Range(0, 50).Select(i => i * 2)];
        Assert.True(net.RunUntil(
            () => Reliable(net.Us.On(1)).Length == 50 && Reliable(net.Them.Messages.Select(m => m.Data)).Length == 50, 30), net.Status());
        Assert.Equal(expected, Reliable(net.Us.On(1)));
        Assert.Equal(expected, Reliable(net.Them.Messages.Select(m => m.Data)));
        Assert.Equal(Ordered(net.Us.On(1)).Order(), Ordered(net.Us.On(1)));
        Assert.Equal(Ordered(net.Them.Messages.Select(m => m.Data)).Order(), Ordered(net.Them.Messages.Select(m => m.Data)));
        Assert.True(net.Us.Association.Statistics.MessagesAbandoned > 0);
        Assert.True(net.RunUntil(() => net.Us.Association.BufferedAmount == 0));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Streams_are_reset_both_ways_and_used_again(bool lossy)
    {
        using var net = Net.Connected(lossy ? Lossy : Near, 3);
        for (byte round = 0; round < 4; round++)
        {
            for (byte i = 0; i < 10; i++)
            {
                Assert.Equal(SctpSendStatus.Queued, net.Us.Association.Send(net.Now, 2, 53, [round, i, .. new byte[800]]));
                Assert.True(net.Them.Send(2, 53, [round, i, .. new byte[800]]));
            }

            net.Us.Association.ResetStreams(net.Now, [2]);
            net.Them.ResetStreams(2);
            Assert.True(net.RunUntil(() => net.Us.OutgoingResets.Count == round + 1 && net.Us.IncomingResets.Count == round + 1
                && net.Them.Resets.Count(r => (r.Flags & 1) != 0) > round && net.Them.Resets.Count(r => (r.Flags & 2) != 0) == round + 1), net.Status());
            Assert.True(net.Us.OutgoingResets[^1].Performed);
            Assert.Equal((round + 1) * 10, net.Us.Messages.Count);
            Assert.Equal((round + 1) * 10, net.Them.Messages.Count);
        }

        var expected = Enumerable.Range(0, 40).Select(n => (n / 10, n % 10));
        Assert.Equal(expected, net.Us.Messages.Select(m => ((int)m.Data[0], (int)m.Data[1])));
        Assert.Equal(expected, net.Them.Messages.Select(m => ((int)m.Data[0], (int)m.Data[1])));
    }

    [Fact]
    public void Either_side_may_shut_down()
    {
        using (var net = Net.Connected(Lossy, 5))
        {
            net.Us.Association.Send(net.Now, 1, 53, new byte[20_000]);
            net.Us.Association.Shutdown(net.Now);
            Assert.True(net.RunUntil(() => net.Us.ClosedBy is not null && net.Them.IsDown), net.Status());
            Assert.Single(net.Them.Messages);
        }

        using (var net = Net.Connected(Lossy, 6))
        {
            Assert.True(net.Them.Send(1, 53, new byte[20_000]));
            net.Them.Shutdown();
            Assert.True(net.RunUntil(() => net.Us.ClosedBy is not null), net.Status());
            Assert.Single(net.Us.Messages);
        }
    }
}
