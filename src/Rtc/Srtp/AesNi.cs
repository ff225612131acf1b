using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Instructions = System.Runtime.Intrinsics.X86.Aes;

namespace Transcribe.Rtc.Srtp;

/// <summary>AES-128 by the processor's instructions: key schedule and counter mode, eight blocks at a time.</summary>
internal static class AesNi
{
    /// <summary>Round keys of AES-128.</summary>
    public const int RoundKeys = 11;

    private const int Stride = 8;
    private const int BlockLength = 16;

    public static bool IsSupported => Instructions.IsSupported && Ssse3.IsSupported;

    public static void ExpandKey(ReadOnlySpan<byte> key, Span<Vector128<byte>> roundKeys)
    {
        Vector128<byte> k = Vector128.Create(key);
        roundKeys[0] = k;
        roundKeys[1] = k = Next(k, Instructions.KeygenAssist(k, 0x01));
        roundKeys[2] = k = Next(k, Instructions.KeygenAssist(k, 0x02));
        roundKeys[3] = k = Next(k, Instructions.KeygenAssist(k, 0x04));
        roundKeys[4] = k = Next(k, Instructions.KeygenAssist(k, 0x08));
        roundKeys[5] = k = Next(k, Instructions.KeygenAssist(k, 0x10));
        roundKeys[6] = k = Next(k, Instructions.KeygenAssist(k, 0x20));
        roundKeys[7] = k = Next(k, Instructions.KeygenAssist(k, 0x40));
        roundKeys[8] = k = Next(k, Instructions.KeygenAssist(k, 0x80));
        roundKeys[9] = k = Next(k, Instructions.KeygenAssist(k, 0x1B));
        roundKeys[10] = Next(k, Instructions.KeygenAssist(k, 0x36));

        static Vector128<byte> Next(Vector128<byte> k, Vector128<byte> assist)
        {
            assist = Sse2.Shuffle(assist.AsUInt32(), 0xFF).AsByte();
            k ^= Sse2.ShiftLeftLogical128BitLane(k, 4);
            k ^= Sse2.ShiftLeftLogical128BitLane(k, 4);
            k ^= Sse2.ShiftLeftLogical128BitLane(k, 4);
            return k ^ assist;
        }
    }

    public static Vector128<byte> EncryptBlock(ReadOnlySpan<Vector128<byte>> roundKeys, Vector128<byte> block)
    {
        block ^= roundKeys[0];
        for (int round = 1; round < RoundKeys - 1; round++)
            block = Instructions.Encrypt(block, roundKeys[round]);
        return Instructions.EncryptLast(block, roundKeys[RoundKeys - 1]);
    }

    /// <summary>
    /// XORs the key stream from <paramref name="counter"/> on, whose last 32 bits count up in network order, over
    /// <paramref name="source"/> into <paramref name="destination"/>, which is the same memory or does not overlap.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    [SkipLocalsInit]
    public static unsafe void Transform(
        ReadOnlySpan<Vector128<byte>> roundKeys, Vector128<byte> counter, ReadOnlySpan<byte> source, Span<byte> destination)
    {
        if (roundKeys.Length != RoundKeys || destination.Length < source.Length)
            throw new ArgumentException("Wrong length.");

        // The counter is kept with its last dword in the processor's order, and swapped as it is used.
        Vector128<byte> swap = Vector128.Create((byte)0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 14, 13, 12);
        Vector128<uint> count = Ssse3.Shuffle(counter, swap).AsUInt32();
        byte* tail = stackalloc byte[Stride * BlockLength];
        fixed (Vector128<byte>* k = roundKeys)
        fixed (byte* from = source)
        fixed (byte* to = destination)
        {
            nint length = source.Length;
            for (nint at = 0; at < length; at += Stride * BlockLength)
            {
                Vector128<byte> key = k[0];
                Vector128<byte> b0 = Ssse3.Shuffle(count.AsByte(), swap) ^ key;
                Vector128<byte> b1 = Ssse3.Shuffle((count + Vector128.Create(0u, 0, 0, 1)).AsByte(), swap) ^ key;
                Vector128<byte> b2 = Ssse3.Shuffle((count + Vector128.Create(0u, 0, 0, 2)).AsByte(), swap) ^ key;
                Vector128<byte> b3 = Ssse3.Shuffle((count + Vector128.Create(0u, 0, 0, 3)).AsByte(), swap) ^ key;
                Vector128<byte> b4 = Ssse3.Shuffle((count + Vector128.Create(0u, 0, 0, 4)).AsByte(), swap) ^ key;
                Vector128<byte> b5 = Ssse3.Shuffle((count + Vector128.Create(0u, 0, 0, 5)).AsByte(), swap) ^ key;
                Vector128<byte> b6 = Ssse3.Shuffle((count + Vector128.Create(0u, 0, 0, 6)).AsByte(), swap) ^ key;
                Vector128<byte> b7 = Ssse3.Shuffle((count + Vector128.Create(0u, 0, 0, 7)).AsByte(), swap) ^ key;
                count += Vector128.Create(0u, 0, 0, 8);
                for (int round = 1; round < RoundKeys - 1; round++)
                {
                    key = k[round];
                    b0 = Instructions.Encrypt(b0, key);
                    b1 = Instructions.Encrypt(b1, key);
                    b2 = Instructions.Encrypt(b2, key);
                    b3 = Instructions.Encrypt(b3, key);
                    b4 = Instructions.Encrypt(b4, key);
                    b5 = Instructions.Encrypt(b5, key);
                    b6 = Instructions.Encrypt(b6, key);
                    b7 = Instructions.Encrypt(b7, key);
                }

                key = k[RoundKeys - 1];
                b0 = Instructions.EncryptLast(b0, key);
                b1 = Instructions.EncryptLast(b1, key);
                b2 = Instructions.EncryptLast(b2, key);
                b3 = Instructions.EncryptLast(b3, key);
                b4 = Instructions.EncryptLast(b4, key);
                b5 = Instructions.EncryptLast(b5, key);
                b6 = Instructions.EncryptLast(b6, key);
                b7 = Instructions.EncryptLast(b7, key);

                byte* s = from + at;
                byte* d = to + at;
                if (length - at >= Stride * BlockLength)
                {
                    (b0 ^ Vector128.Load(s)).Store(d);
                    (b1 ^ Vector128.Load(s + 16)).Store(d + 16);
                    (b2 ^ Vector128.Load(s + 32)).Store(d + 32);
                    (b3 ^ Vector128.Load(s + 48)).Store(d + 48);
                    (b4 ^ Vector128.Load(s + 64)).Store(d + 64);
                    (b5 ^ Vector128.Load(s + 80)).Store(d + 80);
                    (b6 ^ Vector128.Load(s + 96)).Store(d + 96);
                    (b7 ^ Vector128.Load(s + 112)).Store(d + 112);
                    continue;
                }

                b0.Store(tail);
                b1.Store(tail + 16);
                b2.Store(tail + 32);
                b3.Store(tail + 48);
                b4.Store(tail + 64);
                b5.Store(tail + 80);
                b6.Store(tail + 96);
                b7.Store(tail + 112);
                nint left = length - at;
                nint i = 0;
                for (; i + BlockLength <= left; i += BlockLength)
                    (Vector128.Load(tail + i) ^ Vector128.Load(s + i)).Store(d + i);
                if (i < left)
                    StorePart(Vector128.Load(tail + i) ^ LoadPart(s + i, (int)(left - i)), d + i, (int)(left - i));
            }
        }
    }

    /// <summary>1 to 15 bytes, and zeros after them. Reads nothing beside them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe Vector128<byte> LoadPart(byte* from, int length)
    {
        if (length >= 8)
        {
            // The last 8 bytes, less those that the first 8 have already.
            ulong high = length == 8 ? 0 : *(ulong*)(from + length - 8) >> (8 * (16 - length));
            return Vector128.Create(*(ulong*)from, high).AsByte();
        }

        ulong low;
        if (length >= 4)
            low = *(uint*)from | ((ulong)*(uint*)(from + length - 4) << (8 * (length - 4)));
        else
            low = from[0] | ((ulong)from[length >> 1] << (8 * (length >> 1))) | ((ulong)from[length - 1] << (8 * (length - 1)));
        return Vector128.Create(low, 0).AsByte();
    }

    /// <summary>Writes the first 1 to 15 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static unsafe void StorePart(Vector128<byte> block, byte* to, int length)
    {
        ulong rest = block.AsUInt64().GetElement(0);
        if (length >= 8)
        {
            *(ulong*)to = rest;
            rest = block.AsUInt64().GetElement(1);
            to += 8;
            length -= 8;
        }

        if (length >= 4)
        {
            *(uint*)to = (uint)rest;
            rest >>= 32;
            to += 4;
            length -= 4;
        }

        for (; length > 0; length--, rest >>= 8)
            *to++ = (byte)rest;
    }
}

/// <summary>Counter mode over <see cref="AesNi"/>.</summary>
internal sealed class IntrinsicAesCounterMode : AesCounterMode
{
    private readonly Vector128<byte>[] _roundKeys = new Vector128<byte>[AesNi.RoundKeys];

    public IntrinsicAesCounterMode(ReadOnlySpan<byte> key) => AesNi.ExpandKey(key, _roundKeys);

    public static bool IsSupported => AesNi.IsSupported;

    public override void Transform(ReadOnlySpan<byte> counter, ReadOnlySpan<byte> source, Span<byte> destination) =>
        AesNi.Transform(_roundKeys, Vector128.Create(counter), source, destination);

    public override void Dispose() => System.Security.Cryptography.CryptographicOperations.ZeroMemory(MemoryMarshal.AsBytes(_roundKeys.AsSpan()));
}
