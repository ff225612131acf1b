using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Transcribe.Rtc.Srtp;

/// <summary>
/// SHA-1 of OpenSSL's libcrypto, which uses the processor's SHA instructions (.NET offers none). The functions keep
/// their whole state in the caller's 96-byte SHA_CTX, so a key's first block is hashed once and copied for each packet.
/// </summary>
internal static unsafe class LibcryptoSha1
{
    /// <summary>SHA_CTX of openssl/sha.h: h0..h4, Nl, Nh, data[16], num.</summary>
    public const int ContextLength = 96;

    public const int BlockLength = 64;

    private static readonly delegate* unmanaged[Cdecl]<byte*, int> Sha1Init;
    private static readonly delegate* unmanaged[Cdecl, SuppressGCTransition]<byte*, byte*, nuint, int> Sha1Update;
    private static readonly delegate* unmanaged[Cdecl, SuppressGCTransition]<byte*, byte*, int> Sha1Final;
    private static readonly delegate* unmanaged[Cdecl, SuppressGCTransition]<byte*, byte*, void> Sha1Transform;

    /// <summary>The library is there, has the functions, and they agree with the BCL.</summary>
    public static bool IsSupported { get; }

#pragma warning disable CA1810 // The fields are found together.
    static LibcryptoSha1()
#pragma warning restore CA1810
    {
        if (!OperatingSystem.IsLinux())
            return;

        // Already in the process: the BCL's cryptography is built on it. Never unloaded.
        foreach (string name in (string[])["libcrypto.so.3", "libcrypto.so.1.1"])
        {
            if (!NativeLibrary.TryLoad(name, out nint library)
                || !NativeLibrary.TryGetExport(library, "SHA1_Init", out nint init)
                || !NativeLibrary.TryGetExport(library, "SHA1_Update", out nint update)
                || !NativeLibrary.TryGetExport(library, "SHA1_Final", out nint final)
                || !NativeLibrary.TryGetExport(library, "SHA1_Transform", out nint transform))
                continue;
            Sha1Init = (delegate* unmanaged[Cdecl]<byte*, int>)init;
            Sha1Update = (delegate* unmanaged[Cdecl, SuppressGCTransition]<byte*, byte*, nuint, int>)update;
            Sha1Final = (delegate* unmanaged[Cdecl, SuppressGCTransition]<byte*, byte*, int>)final;
            Sha1Transform = (delegate* unmanaged[Cdecl, SuppressGCTransition]<byte*, byte*, void>)transform;
            IsSupported = Agrees();
            return;
        }
    }

    /// <summary>A context that has taken one block.</summary>
    public static void Begin(Span<byte> context, ReadOnlySpan<byte> block)
    {
        Span<byte> made = stackalloc byte[2 * ContextLength];
        made.Clear();
        fixed (byte* c = made)
        fixed (byte* b = block)
        {
            if (Sha1Init(c) != 1 || Sha1Update(c, b, BlockLength) != 1)
                throw new CryptographicException("libcrypto refuses SHA-1.");
        }

        made[..ContextLength].CopyTo(context);
        made.Clear();
    }

    /// <summary>The digest of <paramref name="data"/> after what <paramref name="context"/> has taken.</summary>
    [SkipLocalsInit]
    public static void Finish(ReadOnlySpan<byte> context, ReadOnlySpan<byte> data, Span<byte> digest)
    {
        if (context.Length != ContextLength || digest.Length < HmacSha1.Length)
            throw new ArgumentException("Wrong length.");
        byte* c = stackalloc byte[ContextLength];
        context.CopyTo(new Span<byte>(c, ContextLength));
        fixed (byte* d = data)
        fixed (byte* to = digest)
        {
            Sha1Update(c, d, (nuint)data.Length);
            Sha1Final(to, c);
        }
    }

    /// <summary>The chaining values after one more whole block, in network order.</summary>
    [SkipLocalsInit]
    public static void Transform(ReadOnlySpan<byte> context, ReadOnlySpan<byte> block, Span<byte> digest)
    {
        if (context.Length != ContextLength || block.Length != BlockLength || digest.Length < HmacSha1.Length)
            throw new ArgumentException("Wrong length.");
        byte* c = stackalloc byte[ContextLength];
        context.CopyTo(new Span<byte>(c, ContextLength));
        fixed (byte* b = block)
            Sha1Transform(c, b);
        for (int i = 0; i < 5; i++)
            BinaryPrimitives.WriteUInt32BigEndian(digest[(4 * i)..], ((uint*)c)[i]);
    }

    // A library that is not what it seems must cost its speed only.
    private static bool Agrees()
    {
        byte[] data = [.. Enumerable.Range(0, 1500).Select(i => (byte)(i * 167))];
        byte[] expected = new byte[HmacSha1.Length];
        byte[] actual = new byte[HmacSha1.Length];
        try
        {
            foreach (int keyLength in (int[])[1, 20, 64])
            {
                using LibcryptoHmacSha1 tested = new(data.AsSpan(0, keyLength));
                foreach (int length in (int[])[0, 1, 55, 56, 63, 64, 65, 119, 128, 1200, 1500])
                {
                    HMACSHA1.HashData(data.AsSpan(0, keyLength), data.AsSpan(0, length), expected);
                    tested.Compute(data.AsSpan(0, length), actual);
                    if (!expected.AsSpan().SequenceEqual(actual))
                        return false;
                }
            }
        }
        catch (CryptographicException)
        {
            return false;
        }

        return true;
    }
}

/// <summary>HMAC-SHA1 over <see cref="LibcryptoSha1"/>, with the two padded keys hashed beforehand.</summary>
internal sealed class LibcryptoHmacSha1 : HmacSha1
{
    private readonly byte[] _inner = new byte[LibcryptoSha1.ContextLength];
    private readonly byte[] _outer = new byte[LibcryptoSha1.ContextLength];

    /// <param name="key">Up to one block, 64 bytes.</param>
    public LibcryptoHmacSha1(ReadOnlySpan<byte> key)
    {
        Span<byte> block = stackalloc byte[LibcryptoSha1.BlockLength];
        Pad(key, 0x36, block);
        LibcryptoSha1.Begin(_inner, block);
        Pad(key, 0x5C, block);
        LibcryptoSha1.Begin(_outer, block);
        block.Clear();
    }

    [SkipLocalsInit]
    public override void Compute(ReadOnlySpan<byte> data, Span<byte> tag)
    {
        // The outer hash takes the inner digest and its padding: one block, 84 bytes in all.
        Span<byte> block = stackalloc byte[LibcryptoSha1.BlockLength];
        LibcryptoSha1.Finish(_inner, data, block);
        block[Length..].Clear();
        block[Length] = 0x80;
        BinaryPrimitives.WriteUInt16BigEndian(block[^2..], (LibcryptoSha1.BlockLength + Length) * 8);
        LibcryptoSha1.Transform(_outer, block, tag);
    }

    public override void Dispose()
    {
        CryptographicOperations.ZeroMemory(_inner);
        CryptographicOperations.ZeroMemory(_outer);
    }

    private static void Pad(ReadOnlySpan<byte> key, byte with, Span<byte> block)
    {
        block.Fill(with);
        for (int i = 0; i < key.Length; i++)
            block[i] ^= key[i];
    }
}
