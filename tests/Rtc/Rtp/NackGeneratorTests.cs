using CsCheck;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Rtp;

public sealed class NackGeneratorTests
{
    private static readonly TimeSpan RoundTrip = TimeSpan.FromMilliseconds(50);
    private static readonly NackOptions Options = NackOptions.Default;
    private readonly NackGenerator _nacks = new();
    private Instant _now = Instant.Zero + TimeSpan.FromSeconds(1);

    [Fact]
    public void Asks_for_nothing_in_an_unbroken_stream()
    {
        for (long i = 0; i < 100; i++)
            _nacks.OnPacket(_now, i);
        Assert.Equal(Instant.Never, _nacks.NextTimeout);
        Assert.Empty(Collect());
    }

    [Fact]
    public void Asks_for_a_gap_after_the_reorder_delay_across_the_wrap()
    {
        _nacks.OnPacket(_now, 65534);
        _nacks.OnPacket(_now, 65538);
        Assert.Empty(Collect());
        Assert.Equal(_now + Options.ReorderDelay, _nacks.NextTimeout);
        _now = _nacks.NextTimeout;
        Assert.Equal([65535, 0, 1], Collect());
        Assert.Empty(Collect());
    }

    [Fact]
    public void Does_not_ask_for_a_packet_that_was_only_late()
    {
        _nacks.OnPacket(_now, 1);
        _nacks.OnPacket(_now, 3);
        _nacks.OnPacket(_now, 2);
        Assert.Equal(0, _nacks.MissingCount);
        Assert.Equal(Instant.Never, _nacks.NextTimeout);
    }

    [Fact]
    public void Asks_again_after_a_round_trip_and_gives_up_in_the_end()
    {
        _nacks.OnPacket(_now, 1);
        _nacks.OnPacket(_now, 3);
        List<Instant> asked = [];
        while (_nacks.NextTimeout != Instant.Never)
        {
            _now = _nacks.NextTimeout;
            if (Collect() is [2])
                asked.Add(_now);
        }

        Assert.Equal(Options.MaxRetries, asked.Count);
        Assert.All(asked.Zip(asked.Skip(1)), pair => Assert.Equal(RoundTrip * 1.25, pair.Second - pair.First));
        Assert.Equal(1, _nacks.GivenUp);
        Assert.True(_nacks.TakeKeyframeNeeded());
        Assert.False(_nacks.TakeKeyframeNeeded());
    }

    [Fact]
    public void Stops_asking_for_old_packets_on_a_long_path()
    {
        _nacks.OnPacket(_now, 1);
        _nacks.OnPacket(_now, 3);
        int asked = 0;
        while (_nacks.NextTimeout != Instant.Never)
        {
            _now = _nacks.NextTimeout;
            asked += Collect(TimeSpan.FromMilliseconds(400)).Length;
        }

        Assert.InRange(asked, 2, 3);
        Assert.True(_nacks.KeyframeNeeded);
    }

    [Fact]
    public void Stops_asking_when_the_packet_arrives()
    {
        _nacks.OnPacket(_now, 1);
        _nacks.OnPacket(_now, 4);
        _now = _nacks.NextTimeout;
        Assert.Equal([2, 3], Collect());
        _nacks.OnPacket(_now, 3);
        _now += TimeSpan.FromSeconds(0.2);
        Assert.Equal([2], Collect());
    }

    [Fact]
    public void A_keyframe_makes_what_was_lost_before_it_needless()
    {
        _nacks.OnPacket(_now, 1);
        _nacks.OnPacket(_now, 5);
        _nacks.OnPacket(_now, 9, isKeyframe: true);
        Assert.Equal(0, _nacks.MissingCount);
        _nacks.OnPacket(_now, 11);
        _now = _nacks.NextTimeout;
        Assert.Equal([10], Collect());
    }

    [Fact]
    public void A_late_keyframe_keeps_what_was_lost_after_it()
    {
        _nacks.OnPacket(_now, 1);
        _nacks.OnPacket(_now, 6);
        _nacks.OnPacket(_now, 4, isKeyframe: true);
        _now = _nacks.NextTimeout;
        Assert.Equal([5], Collect());
    }

    [Fact]
    public void A_gap_too_large_asks_for_a_keyframe_instead()
    {
        _nacks.OnPacket(_now, 1);
        _nacks.OnPacket(_now, 3);
        _nacks.OnPacket(_now, 5000);
        Assert.Equal(0, _nacks.MissingCount);
        Assert.True(_nacks.KeyframeNeeded);
        _nacks.OnPacket(_now, 5001, isKeyframe: true);
        Assert.False(_nacks.KeyframeNeeded);
    }

    [Fact]
    public void Many_small_gaps_give_up_the_oldest()
    {
        for (long i = 0; i <= Options.MaxMissing + 10; i++)
            _nacks.OnPacket(_now, i * 2);
        Assert.Equal(Options.MaxMissing, _nacks.MissingCount);
        Assert.Equal(10, _nacks.GivenUp);
        _now = _nacks.NextTimeout;
        Assert.Equal(21, Collect()[0]);
    }

    [Fact]
    public void Leaves_what_does_not_fit_for_the_next_call()
    {
        _nacks.OnPacket(_now, 0);
        _nacks.OnPacket(_now, 11);
        _now = _nacks.NextTimeout;
        Span<ushort> few = stackalloc ushort[4];
        Assert.Equal(4, _nacks.Collect(_now, RoundTrip, few));
        Assert.Equal([5, 6, 7, 8, 9, 10], Collect());
    }

    [Fact]
    public void Repairs_a_lossy_path()
    {
        VirtualLink media = new(LinkConditions.Bad with { Loss = 0.1 }, seed: 7);
        VirtualLink requests = new(LinkConditions.Bad with { Loss = 0.1 }, seed: 8);
        NackGenerator nacks = new(Options with { MaxAge = TimeSpan.FromSeconds(3) });
        SequenceUnwrapper unwrapper = new();
        HashSet<ushort> received = [];
        Span<ushort> wanted = stackalloc ushort[100];
        const int count = 2000;
        const ushort first = 64_500;
        for (int ms = 0; ms < (count * 5) + 4000; ms++)
        {
            Instant now = Instant.Zero + TimeSpan.FromMilliseconds(ms);
            if (ms % 5 == 0 && ms / 5 < count)
                Send(media, now, (ushort)(first + (ms / 5)));
            while (requests.TryReceive(now, out _, out byte[] request))
                media.Send(now, default, request);
            while (media.TryReceive(now, out _, out byte[] packet))
            {
                ushort sequence = (ushort)((packet[0] << 8) | packet[1]);
                received.Add(sequence);
                nacks.OnPacket(now, unwrapper.Unwrap(sequence));
            }

            int lost = nacks.Collect(now, TimeSpan.FromMilliseconds(100), wanted);
            for (int i = 0; i < lost; i++)
                Send(requests, now, wanted[i]);
        }

        // A loss before the first or after the last packet received cannot be seen.
        Assert.True(media.Dropped > 100);
        Assert.InRange(received.Count, count - 3, count);
        Assert.Equal(0, nacks.GivenUp);

        static void Send(VirtualLink link, Instant at, ushort sequence) =>
            link.Send(at, default, [(byte)(sequence >> 8), (byte)sequence]);
    }

    [Fact]
    public void Stays_bounded_on_any_input()
    {
        Gen.Select(Gen.Int[-3000, 3000], Gen.Bool, Gen.Int[0, 200]).Array[0, 300].Sample(steps =>
        {
            NackGenerator nacks = new();
            long at = 0;
            Instant now = Instant.Zero;
            Span<ushort> wanted = stackalloc ushort[20];
            foreach ((int step, bool keyframe, int milliseconds) in steps)
            {
                at += step;
                now += TimeSpan.FromMilliseconds(milliseconds);
                nacks.OnPacket(now, at, keyframe && step % 7 == 0);
                nacks.Collect(now, RoundTrip, wanted);
                Assert.InRange(nacks.MissingCount, 0, Options.MaxMissing);
                Assert.Equal(nacks.MissingCount == 0, nacks.NextTimeout == Instant.Never);
            }
        });
    }

    private ushort[] Collect(TimeSpan? roundTrip = null)
    {
        Span<ushort> wanted = stackalloc ushort[600];
        return wanted[.._nacks.Collect(_now, roundTrip ?? RoundTrip, wanted)].ToArray();
    }
}
