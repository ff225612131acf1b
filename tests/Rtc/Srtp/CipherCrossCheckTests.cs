using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Tests.Srtp;

/// <summary>Every implementation against the platform's, for all lengths of a packet.</summary>
public sealed class CipherCrossCheckTests
{
    public static TheoryData<string> Implementations => [.. CipherImplementations.Names];

    [Theory]
    [MemberData(nameof(Implementations))]
    public void Gcm_equals_the_platforms_for_all_lengths(string implementation)
    {
        Random random = new(1);
        byte[] key = new byte[16];
        byte[] nonce = new byte[12];
        for (int length = 0; length <= 1500; length++)
        {
            if (length % 50 == 0)
                random.NextBytes(key);
            random.NextBytes(nonce);
            byte[] plain = new byte[length];
            byte[] associated = new byte[length % 77];
            random.NextBytes(plain);
            random.NextBytes(associated);
            using AeadAes128Gcm tested = CipherImplementations.Gcm(implementation, key);
            using PlatformAeadAes128Gcm oracle = new(key);
            byte[] expected = new byte[length];
            byte[] expectedTag = new byte[16];
            oracle.Encrypt(nonce, plain, expected, expectedTag, associated);

            // A destination apart, with guards around it.
            byte[] guarded = new byte[length + 32];
            guarded.AsSpan().Fill(0x5A);
            byte[] tag = new byte[16];
            tested.Encrypt(nonce, plain, guarded.AsSpan(16, length), tag, associated);
            Assert.Equal(expected, guarded[16..^16]);
            Assert.Equal(expectedTag, tag);
            Assert.All(guarded[..16].Concat(guarded[^16..]), value => Assert.Equal(0x5A, value));

            // In place.
            byte[] inPlace = [.. plain];
            tested.Encrypt(nonce, inPlace, inPlace, tag, associated);
            Assert.Equal(expected, inPlace);

            tag[length % 16] ^= 0x80;
            Assert.False(tested.Decrypt(nonce, [.. inPlace], tag, associated));
            tag[length % 16] ^= 0x80;
            Assert.True(tested.Decrypt(nonce, inPlace, tag, associated));
            Assert.Equal(plain, inPlace);
        }
    }

    [Theory]
    [MemberData(nameof(Implementations))]
    public void Gcm_takes_the_longest_packets(string implementation)
    {
        byte[] key = [.. Enumerable.Range(0, 16).Select(i => (byte)i)];
        byte[] plain = new byte[65535];
        new Random(2).NextBytes(plain);
        byte[] expected = new byte[plain.Length];
        byte[] actual = new byte[plain.Length];
        byte[] expectedTag = new byte[16];
        byte[] tag = new byte[16];
        using AeadAes128Gcm tested = CipherImplementations.Gcm(implementation, key);
        using PlatformAeadAes128Gcm oracle = new(key);
        oracle.Encrypt(new byte[12], plain, expected, expectedTag, []);
        tested.Encrypt(new byte[12], plain, actual, tag, []);
        Assert.Equal(expectedTag, tag);
        Assert.True(expected.AsSpan().SequenceEqual(actual));
    }

    [Theory]
    [MemberData(nameof(Implementations))]
    public void Counter_mode_equals_the_platforms_for_all_lengths(string implementation)
    {
        Random random = new(3);
        byte[] key = new byte[16];
        byte[] counter = new byte[16];
        for (int length = 0; length <= 1500; length++)
        {
            random.NextBytes(key);
            random.NextBytes(counter.AsSpan(0, 14));
            byte[] plain = new byte[length];
            random.NextBytes(plain);
            using AesCounterMode tested = CipherImplementations.CounterMode(implementation, key);
            using PlatformAesCounterMode oracle = new(key);
            byte[] expected = new byte[length];
            oracle.Transform(counter, plain, expected);
            byte[] actual = new byte[length + 16];
            tested.Transform(counter, plain, actual.AsSpan(0, length));
            Assert.Equal(expected, actual[..length]);
            Assert.All(actual[length..], value => Assert.Equal(0, value));
            tested.Transform(counter, plain, plain);
            Assert.Equal(expected, plain);
        }
    }
}
