using CsCheck;
using Transcribe.Sfu.Relay;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Tests.Relay;

public sealed class RelayEnvelopeTests
{
    private static readonly MessageOrigin Origin = new("node-1", 0xFEDC_BA98_7654_3210);

    [Fact]
    public void A_message_comes_out_as_it_went_in()
    {
        DataMessage[] kinds =
        [
            new("captions", true, true, null, null, ""),
            new("Zeiger ✓", false, false, 3, null, "xy"),
            new("", false, false, null, TimeSpan.FromMilliseconds(250), ""),
        ];
        foreach (DataMessage kind in kinds)
        {
            byte[] bytes = RelayEnvelope.WriteMessage("demo", Origin, 42, kind, [1, 2, 3]);
            Assert.True(RelayEnvelope.TryRead(bytes, out RelayEnvelope? read));
            Assert.Equal((RelayEnvelopeKind.Message, "demo", Origin, 42L, kind), (read.Kind, read.Room, read.Origin, read.Sequence, read.Message));
            Assert.Equal([1, 2, 3], read.Payload.ToArray());
        }
    }

    [Fact]
    public void What_was_seen_comes_out_as_it_went_in()
    {
        Dictionary<MessageOrigin, long> floors = new() { [Origin] = 7, [new("b", 1)] = long.MaxValue };
        Assert.True(RelayEnvelope.TryRead(RelayEnvelope.WriteOpen("demo", true, floors), out RelayEnvelope? open));
        Assert.Equal((RelayEnvelopeKind.Open, true), (open.Kind, open.IsFresh));
        Assert.Equal(floors, open.Floors);
        Assert.True(RelayEnvelope.TryRead(RelayEnvelope.WriteSeen("demo", []), out RelayEnvelope? seen));
        Assert.Empty(seen.Floors);
        Assert.True(RelayEnvelope.TryRead(RelayEnvelope.WriteClose("demo"), out RelayEnvelope? close));
        Assert.Equal("demo", close.Room);
    }

    [Fact]
    public void Cut_off_anywhere_it_is_refused()
    {
        byte[] message = RelayEnvelope.WriteMessage("demo", Origin, 1, new DataMessage("chat", true, true, 5, null, "p"), []);
        byte[] open = RelayEnvelope.WriteOpen("demo", false, new Dictionary<MessageOrigin, long> { [Origin] = 1 });
        foreach (byte[] whole in (byte[][])[message, open, RelayEnvelope.WriteClose("demo")])
        {
            for (int length = 0; length < whole.Length; length++)
                Assert.False(RelayEnvelope.TryRead(whole.AsMemory(0, length), out _));
        }
    }

    [Fact]
    public void Random_bytes_never_throw()
    {
        Gen.Byte.Array[0, 200].Sample(bytes =>
        {
            RelayEnvelope.TryRead(bytes, out _);
            return true;
        });

        // Nearly right ones go deeper.
        byte[] message = RelayEnvelope.WriteMessage("demo", Origin, 1, new DataMessage("chat", true, true, null, null, ""), [1, 2, 3]);
        byte[] open = RelayEnvelope.WriteOpen("demo", false, new Dictionary<MessageOrigin, long> { [Origin] = 1, [new("b", 2)] = 5 });
        Gen.Select(Gen.Bool, Gen.Int[0, 60], Gen.Byte).Sample((which, at, value) =>
        {
            byte[] bytes = [.. which ? message : open];
            bytes[at % bytes.Length] = value;
            RelayEnvelope.TryRead(bytes, out _);
            return true;
        });
    }
}
