using CsCheck;
using Transcribe.Rtc.Stun;

namespace Transcribe.Rtc.Tests.Stun;

/// <summary>No bytes from outside make a parser throw or read past its message.</summary>
public sealed class StunFuzzTests
{
    [Fact]
    public void Random_bytes_never_throw() => Gen.Byte.Array[0, 200].Sample(ReadEverything);

    [Fact]
    public void Random_attributes_behind_a_right_header_never_throw() =>
        Gen.Select(Gen.Byte.Array[0, 120], Gen.Int[0, 3], Gen.Int[0, 0x3FFF]).Sample((body, cut, type) =>
        {
            byte[] datagram = new byte[20 + (body.Length & ~3)];
            body.AsSpan(0, body.Length & ~3).CopyTo(datagram.AsSpan(20));
            (datagram[0], datagram[1]) = ((byte)(type >> 8), (byte)type);
            (datagram[2], datagram[3]) = (0, (byte)(datagram.Length - 20));
            (datagram[4], datagram[5], datagram[6], datagram[7]) = (0x21, 0x12, 0xA4, 0x42);
            ReadEverything(datagram[..^Math.Min(cut, datagram.Length)]);
        });

    [Fact]
    public void Well_formed_attributes_of_any_type_and_length_are_read_back() =>
        Gen.Select(Gen.Int[0x8040, 0xFFFF], Gen.Byte.Array[0, 60]).Array[0, 10].Sample(attributes =>
        {
            var writer = new StunWriter(new byte[1024], StunClass.Request, StunMethod.Binding, default);
            foreach ((int type, byte[] value) in attributes)
            {
                writer.Add((StunAttributeType)type, value);
            }

            writer.AddFingerprint();
            Assert.True(StunMessage.TryParse(writer.Written, out StunMessage message));
            Assert.True(message.VerifyFingerprint());
            foreach ((int type, _) in attributes)
            {
                Assert.True(message.TryGet((StunAttributeType)type, out ReadOnlySpan<byte> read));
                byte[] first = attributes.First(attribute => attribute.Item1 == type).Item2;
                Assert.Equal(first, read.ToArray());
            }

            ReadEverything(writer.Written.ToArray());
        });

    private static void ReadEverything(byte[] datagram)
    {
        DatagramClassifier.Classify(datagram);
        StunMessage.TryReadUfrag(datagram, out _);
        if (!StunMessage.TryParse(datagram, out StunMessage message))
        {
            return;
        }

        _ = (message.Class, message.Method, message.TransactionId, message.UseCandidate);
        message.VerifyFingerprint();
        message.VerifyIntegrity("password"u8);
        message.TryGetUsername(out _);
        message.TryGetPriority(out _);
        message.TryGetIceControlled(out _);
        message.TryGetIceControlling(out _);
        message.TryGetErrorCode(out _, out _);
        message.TryGetXorMappedAddress(out _);
        message.FindUnknownRequired(stackalloc ushort[4]);
        for (int type = 0; type < 0x30; type++)
        {
            message.TryGet((StunAttributeType)type, out _);
        }
    }
}
