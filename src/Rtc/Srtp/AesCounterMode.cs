using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Transcribe.Rtc.Srtp;

/// <summary>AES-128 in counter mode under one key. Not thread-safe.</summary>
internal abstract class AesCounterMode : IDisposable
{
    /// <summary>The fastest that this processor can run.</summary>
    public static AesCounterMode Create(ReadOnlySpan<byte> key) =>
        IntrinsicAesCounterMode.IsSupported ? new IntrinsicAesCounterMode(key) : new PlatformAesCounterMode(key);

    /// <summary>
    /// XORs the key stream that starts at <paramref name="counter"/> (whose last 16 bits count blocks from 0) over
    /// <paramref name="source"/>; the destination is the same memory or does not overlap.
    /// </summary>
    public abstract void Transform(ReadOnlySpan<byte> counter, ReadOnlySpan<byte> source, Span<byte> destination);

    public abstract void Dispose();
}

/// <summary>Over the platform's AES, whose ECB mode makes the key stream here.</summary>
internal sealed class PlatformAesCounterMode : AesCounterMode
{
    private const int Chunk = 64 * 16;

    private readonly ICryptoTransform _aes;
    private readonly byte[] _counters = new byte[Chunk];
    private readonly byte[] _stream = new byte[Chunk];

    public PlatformAesCounterMode(ReadOnlySpan<byte> key)
    {
        // One transform for good: the one-shot methods allocate at each call.
        using Aes aes = Aes.Create();
        aes.Mode = CipherMode.ECB;
        aes.Padding = PaddingMode.None;
        aes.SetKey(key);
        _aes = aes.CreateEncryptor();
    }

    public override void Transform(ReadOnlySpan<byte> counter, ReadOnlySpan<byte> source, Span<byte> destination)
    {
        int block = 0;
        for (int done = 0; done < source.Length; done += Chunk)
        {
            int length = Math.Min(Chunk, source.Length - done);
            int blocks = (length + 15) / 16;
            for (int i = 0; i < blocks; i++, block++)
            {
                counter.CopyTo(_counters.AsSpan(i * 16));
                BinaryPrimitives.WriteUInt16BigEndian(_counters.AsSpan((i * 16) + 14), (ushort)block);
            }

            _aes.TransformBlock(_counters, 0, blocks * 16, _stream, 0);
            Xor(source.Slice(done, length), _stream, destination.Slice(done, length));
        }
    }

    public override void Dispose() => _aes.Dispose();

    private static void Xor(ReadOnlySpan<byte> source, ReadOnlySpan<byte> stream, Span<byte> destination)
    {
        int words = source.Length / 8;
        ReadOnlySpan<ulong> a = MemoryMarshal.Cast<byte, ulong>(source)[..words];
        ReadOnlySpan<ulong> b = MemoryMarshal.Cast<byte, ulong>(stream)[..words];
        Span<ulong> to = MemoryMarshal.Cast<byte, ulong>(destination)[..words];
        for (int i = 0; i < words; i++)
            to[i] = a[i] ^ b[i];
        for (int i = words * 8; i < source.Length; i++)
            destination[i] = (byte)(source[i] ^ stream[i]);
    }
}
