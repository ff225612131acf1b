using System.Security.Cryptography;

namespace Transcribe.Rtc.Srtp;

/// <summary>AES-128-GCM with a 96-bit nonce and a 128-bit tag under one key. Not thread-safe.</summary>
internal abstract class AeadAes128Gcm : IDisposable
{
    /// <summary>The fastest that this processor can run.</summary>
    public static AeadAes128Gcm Create(ReadOnlySpan<byte> key) =>
        IntrinsicAeadAes128Gcm.IsSupported ? new IntrinsicAeadAes128Gcm(key) : new PlatformAeadAes128Gcm(key);

    /// <summary>Plaintext and ciphertext have one length, and are the same memory or do not overlap.</summary>
    public abstract void Encrypt(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> plaintext, Span<byte> ciphertext, Span<byte> tag, ReadOnlySpan<byte> associated);

    /// <summary>Decrypts in place; on a wrong tag the content is unspecified.</summary>
    public abstract bool Decrypt(ReadOnlySpan<byte> nonce, Span<byte> text, ReadOnlySpan<byte> tag, ReadOnlySpan<byte> associated);

    public abstract void Dispose();
}

/// <summary>Over the platform's library, for processors without AES instructions, and the oracle in tests.</summary>
internal sealed class PlatformAeadAes128Gcm(ReadOnlySpan<byte> key) : AeadAes128Gcm
{
    private readonly AesGcm _gcm = new(key, 16);

    public override void Encrypt(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> plaintext, Span<byte> ciphertext, Span<byte> tag, ReadOnlySpan<byte> associated) =>
        _gcm.Encrypt(nonce, plaintext, ciphertext, tag, associated);

    public override bool Decrypt(ReadOnlySpan<byte> nonce, Span<byte> text, ReadOnlySpan<byte> tag, ReadOnlySpan<byte> associated)
    {
        try
        {
            _gcm.Decrypt(nonce, text, tag, text, associated);
            return true;
        }
        catch (AuthenticationTagMismatchException)
        {
            return false;
        }
    }

    public override void Dispose() => _gcm.Dispose();
}
