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

    [Theory]
    [MemberData(nameof(Implementations))]
    public void Gcm_equals_the_platforms_for_all_lengths_of_associated_data(string implementation)
    {
        Random random = new(7);
        byte[] key = new byte[16];
        byte[] nonce = new byte[12];
        random.NextBytes(key);
        using AeadAes128Gcm tested = CipherImplementations.Gcm(implementation, key);
        using PlatformAeadAes128Gcm oracle = new(key);
        byte[] expectedTag = new byte[16];
        byte[] tag = new byte[16];
        for (int ofAssociated = 0; ofAssociated <= 300; ofAssociated++)
        {
            foreach (int length in (int[])[0, 1, 15, 16, 47, 160, 223, 224, 225, 239, 240, 241, 255, 256, 257, 480, 511])
            {
                byte[] plain = new byte[length];
                byte[] associated = new byte[ofAssociated];
                random.NextBytes(nonce);
                random.NextBytes(plain);
                random.NextBytes(associated);
                byte[] expected = new byte[length];
                byte[] actual = new byte[length];
                oracle.Encrypt(nonce, plain, expected, expectedTag, associated);
                tested.Encrypt(nonce, plain, actual, tag, associated);
                Assert.Equal(expected, actual);
                Assert.Equal(expectedTag, tag);
            }
        }
    }

    [Fact]
    public void Hmac_sha1_of_libcrypto_equals_the_platforms_for_all_lengths()
    {
        Assert.SkipUnless(LibcryptoSha1.IsSupported, "no libcrypto with SHA-1 on this host");
        Random random = new(4);
        byte[] expected = new byte[HmacSha1.Length];
        byte[] actual = new byte[HmacSha1.Length];
        for (int length = 0; length <= 1500; length++)
        {
            byte[] key = new byte[1 + (length % 64)];
            byte[] data = new byte[length];
            random.NextBytes(key);
            random.NextBytes(data);
            using LibcryptoHmacSha1 tested = new(key);
            using PlatformHmacSha1 oracle = new(key);
            oracle.Compute(data, expected);
            tested.Compute(data, actual);
            Assert.Equal(expected, actual);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Hmac_sha1_gives_the_tags_of_rfc_2202(bool libcrypto)
    {
        Assert.SkipUnless(!libcrypto || LibcryptoSha1.IsSupported, "no libcrypto with SHA-1 on this host");
        (byte[] Key, byte[] Data, string Tag)[] vectors =
        [
            ([.. Enumerable.Repeat((byte)0x0B, 20)], "Hi There"u8.ToArray(), "B617318655057264E28BC0B6FB378C8EF146BE00"),
            ("Jefe"u8.ToArray(), "what do ya want for nothing?"u8.ToArray(), "EFFCDF6AE5EB2FA2D27416D5F184DF9C259A7C79"),
            ([.. Enumerable.Repeat((byte)0xAA, 20)], [.. Enumerable.Repeat((byte)0xDD, 50)], "125D7342B9AC11CD91A39AF48AA17B4F63F175D3"),
        ];
        foreach ((byte[] key, byte[] data, string tag) in vectors)
        {
            using HmacSha1 hmac = libcrypto ? new LibcryptoHmacSha1(key) : new PlatformHmacSha1(key);
            byte[] actual = new byte[HmacSha1.Length];
            hmac.Compute(data, actual);
            Assert.Equal(tag, Convert.ToHexString(actual));
        }
    }
}
