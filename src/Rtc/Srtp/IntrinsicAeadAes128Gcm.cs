using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using System.Security.Cryptography;

namespace Transcribe.Rtc.Srtp;

/// <summary>
/// AES-128-GCM (NIST SP 800-38D) by AES and carry-less multiply instructions, in two passes: counter mode and GHASH.
/// GHASH multiplies up to 16 blocks by as many powers of H and reduces once.
/// </summary>
internal sealed class IntrinsicAeadAes128Gcm : AeadAes128Gcm
{
    private const int Powers = 16;
    private const int TagLength = 16;

    private readonly Vector128<byte>[] _roundKeys = new Vector128<byte>[AesNi.RoundKeys];

    // H^16 ... H^1: byte-reversed and times x, so that products need no shift.
    private readonly Vector128<ulong>[] _powers = new Vector128<ulong>[Powers];
    private readonly int _width;

    /// <param name="key">16 bytes.</param>
    /// <param name="maxWidth">Widest vectors that may be used, in bits; for tests.</param>
    public IntrinsicAeadAes128Gcm(ReadOnlySpan<byte> key, int maxWidth = 512)
    {
        _width = Math.Min(maxWidth, Width);
        AesNi.ExpandKey(key, _roundKeys);
        Vector128<ulong> h = Reverse(AesNi.EncryptBlock(_roundKeys, Vector128<byte>.Zero)).AsUInt64();
        ulong low = h.GetElement(0);
        ulong high = h.GetElement(1);
        ulong carry = 0 - (high >> 63);
        h = Vector128.Create((low << 1) ^ (carry & 1), ((high << 1) | (low >> 63)) ^ (carry & 0xC200_0000_0000_0000));
        _powers[Powers - 1] = h;
        for (int i = Powers - 2; i >= 0; i--)
            _powers[i] = Multiply(_powers[i + 1], h);
    }

    public static bool IsSupported => AesNi.IsSupported && Pclmulqdq.IsSupported;

    /// <summary>Bits of the widest vectors that this processor multiplies: 128, 256 or 512.</summary>
    public static int Width => Pclmulqdq.V512.IsSupported && Avx512BW.IsSupported ? 512 : Pclmulqdq.V256.IsSupported && Avx2.IsSupported ? 256 : 128;

    public override void Encrypt(ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> plaintext, Span<byte> ciphertext, Span<byte> tag, ReadOnlySpan<byte> associated)
    {
        Vector128<byte> first = FirstCounter(nonce);
        AesNi.Transform(_roundKeys, Following(first), plaintext, ciphertext);
        Tag(first, ciphertext[..plaintext.Length], associated).CopyTo(tag);
    }

    public override bool Decrypt(ReadOnlySpan<byte> nonce, Span<byte> text, ReadOnlySpan<byte> tag, ReadOnlySpan<byte> associated)
    {
        Vector128<byte> first = FirstCounter(nonce);
        // One comparison of 128 bits takes the same time whatever differs.
        if (tag.Length != TagLength || Tag(first, text, associated) != Vector128.Create(tag))
            return false;
        AesNi.Transform(_roundKeys, Following(first), text, text);
        return true;
    }

    public override void Dispose()
    {
        CryptographicOperations.ZeroMemory(MemoryMarshal.AsBytes(_roundKeys.AsSpan()));
        CryptographicOperations.ZeroMemory(MemoryMarshal.AsBytes(_powers.AsSpan()));
    }

    private static Vector128<byte> FirstCounter(ReadOnlySpan<byte> nonce)
    {
        if (nonce.Length != 12)
            throw new ArgumentException("The nonce is 12 bytes.", nameof(nonce));
        return Vector128.Create(
            BinaryPrimitives.ReadUInt32LittleEndian(nonce),
            BinaryPrimitives.ReadUInt32LittleEndian(nonce[4..]),
            BinaryPrimitives.ReadUInt32LittleEndian(nonce[8..]),
            0x0100_0000u).AsByte();
    }

    // From counter 1, which masks the tag, to 2, in network order.
    private static Vector128<byte> Following(Vector128<byte> first) => first.AsUInt32().WithElement(3, 0x0200_0000u).AsByte();

    private Vector128<byte> Tag(Vector128<byte> first, ReadOnlySpan<byte> text, ReadOnlySpan<byte> associated)
    {
        Vector128<byte> mask = AesNi.EncryptBlock(_roundKeys, first);
        Vector128<ulong> lengths = Vector128.Create((ulong)text.Length * 8, (ulong)associated.Length * 8);
        return Reverse(Hash(associated, text, lengths).AsByte()) ^ mask;
    }

    /// <summary>GHASH of the associated data, the text and the block of their lengths.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private unsafe Vector128<ulong> Hash(ReadOnlySpan<byte> associated, ReadOnlySpan<byte> text, Vector128<ulong> lengths)
    {
        Accumulator sum = default;
        fixed (Vector128<ulong>* powers = _powers)
        fixed (byte* a = associated)
        fixed (byte* t = text)
        {
            nint ofAssociated = (associated.Length + 15) / 16;
            nint ofText = (text.Length + 15) / 16;
            byte* from = t;
            nint left = text.Length;
            Vector128<ulong>* power;
            if (ofAssociated + ofText < Powers)
            {
                // All of a small packet, the lengths too, is summed up and reduced once.
                power = powers + (Powers - 1 - ofAssociated - ofText);
                sum.Add(a, associated.Length, ref power);
            }
            else
            {
                Vector128<ulong> hash = Whole(a, associated.Length, Vector128<ulong>.Zero, powers);
                if (_width >= 256)
                {
                    for (; left >= Powers * 16; left -= Powers * 16, from += Powers * 16)
                        hash = _width >= 512 ? Hash512(hash, from, (ulong*)powers) : Hash256(hash, from, (ulong*)powers);
                }

                // At most 15 blocks go with that of the lengths.
                nint before = left / 16 / (Powers - 1) * (Powers - 1) * 16;
                hash = Whole(from, before, hash, powers);
                from += before;
                left -= before;
                power = powers + (Powers - 1 - ((left + 15) / 16));
                sum.Carry = hash;
            }

            sum.Add(from, left, ref power);
            sum.Add(lengths, *power);
            return Reduce(sum.Low, sum.Middle, sum.High);
        }
    }

    /// <summary>Takes in whole blocks and at last, perhaps, a part of one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static unsafe Vector128<ulong> Whole(byte* from, nint length, Vector128<ulong> hash, Vector128<ulong>* powers)
    {
        while (length > 0)
        {
            nint part = Math.Min(length, Powers * 16);
            Vector128<ulong>* power = powers + (Powers - ((part + 15) / 16));
            Accumulator sum = new() { Carry = hash };
            sum.Add(from, part, ref power);
            hash = Reduce(sum.Low, sum.Middle, sum.High);
            from += part;
            length -= part;
        }

        return hash;
    }

    /// <summary>A sum of products, reduced later; the hash so far goes in with the first block.</summary>
    private struct Accumulator
    {
        public Vector128<ulong> Low;
        public Vector128<ulong> Middle;
        public Vector128<ulong> High;
        public Vector128<ulong> Carry;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public unsafe void Add(byte* from, nint length, ref Vector128<ulong>* power)
        {
            for (; length >= 16; length -= 16, from += 16)
                Add(Reverse(Vector128.Load(from)).AsUInt64(), *power++);
            if (length > 0)
                Add(Reverse(AesNi.LoadPart(from, (int)length)).AsUInt64(), *power++);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add(Vector128<ulong> block, Vector128<ulong> h)
        {
            block ^= Carry;
            Carry = Vector128<ulong>.Zero;
            Low ^= Pclmulqdq.CarrylessMultiply(block, h, 0x00);
            High ^= Pclmulqdq.CarrylessMultiply(block, h, 0x11);
            Middle ^= Pclmulqdq.CarrylessMultiply(block, h, 0x01) ^ Pclmulqdq.CarrylessMultiply(block, h, 0x10);
        }
    }

    /// <summary>16 blocks, four in each vector.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static unsafe Vector128<ulong> Hash512(Vector128<ulong> hash, byte* at, ulong* powers)
    {
        Vector512<byte> reverse = Vector512.Create(Vector256.Create(ReverseMask, ReverseMask), Vector256.Create(ReverseMask, ReverseMask));
        Vector512<ulong> b0 = Avx512BW.Shuffle(Vector512.Load(at), reverse).AsUInt64() ^ hash.ToVector256().ToVector512();
        Vector512<ulong> b1 = Avx512BW.Shuffle(Vector512.Load(at + 64), reverse).AsUInt64();
        Vector512<ulong> b2 = Avx512BW.Shuffle(Vector512.Load(at + 128), reverse).AsUInt64();
        Vector512<ulong> b3 = Avx512BW.Shuffle(Vector512.Load(at + 192), reverse).AsUInt64();
        Vector512<ulong> h0 = Vector512.Load(powers);
        Vector512<ulong> h1 = Vector512.Load(powers + 8);
        Vector512<ulong> h2 = Vector512.Load(powers + 16);
        Vector512<ulong> h3 = Vector512.Load(powers + 24);
        Vector512<ulong> low =
            Pclmulqdq.V512.CarrylessMultiply(b0, h0, 0x00) ^ Pclmulqdq.V512.CarrylessMultiply(b1, h1, 0x00)
            ^ Pclmulqdq.V512.CarrylessMultiply(b2, h2, 0x00) ^ Pclmulqdq.V512.CarrylessMultiply(b3, h3, 0x00);
        Vector512<ulong> high =
            Pclmulqdq.V512.CarrylessMultiply(b0, h0, 0x11) ^ Pclmulqdq.V512.CarrylessMultiply(b1, h1, 0x11)
            ^ Pclmulqdq.V512.CarrylessMultiply(b2, h2, 0x11) ^ Pclmulqdq.V512.CarrylessMultiply(b3, h3, 0x11);
        Vector512<ulong> middle =
            Pclmulqdq.V512.CarrylessMultiply(b0, h0, 0x01) ^ Pclmulqdq.V512.CarrylessMultiply(b0, h0, 0x10)
            ^ Pclmulqdq.V512.CarrylessMultiply(b1, h1, 0x01) ^ Pclmulqdq.V512.CarrylessMultiply(b1, h1, 0x10)
            ^ Pclmulqdq.V512.CarrylessMultiply(b2, h2, 0x01) ^ Pclmulqdq.V512.CarrylessMultiply(b2, h2, 0x10)
            ^ Pclmulqdq.V512.CarrylessMultiply(b3, h3, 0x01) ^ Pclmulqdq.V512.CarrylessMultiply(b3, h3, 0x10);
        return Reduce(Sum(low), Sum(middle), Sum(high));
    }

    /// <summary>16 blocks, two in each vector.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static unsafe Vector128<ulong> Hash256(Vector128<ulong> hash, byte* at, ulong* powers)
    {
        Vector256<byte> reverse = Vector256.Create(ReverseMask, ReverseMask);
        Vector256<ulong> low = Vector256<ulong>.Zero;
        Vector256<ulong> middle = Vector256<ulong>.Zero;
        Vector256<ulong> high = Vector256<ulong>.Zero;
        Vector256<ulong> carry = hash.ToVector256();
        for (nint i = 0; i < Powers / 2; i++)
        {
            Vector256<ulong> block = Avx2.Shuffle(Vector256.Load(at + (32 * i)), reverse).AsUInt64() ^ carry;
            Vector256<ulong> h = Vector256.Load(powers + (4 * i));
            carry = Vector256<ulong>.Zero;
            low ^= Pclmulqdq.V256.CarrylessMultiply(block, h, 0x00);
            high ^= Pclmulqdq.V256.CarrylessMultiply(block, h, 0x11);
            middle ^= Pclmulqdq.V256.CarrylessMultiply(block, h, 0x01) ^ Pclmulqdq.V256.CarrylessMultiply(block, h, 0x10);
        }

        return Reduce(Sum(low), Sum(middle), Sum(high));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ulong> Sum(Vector512<ulong> lanes) => Sum(lanes.GetLower() ^ lanes.GetUpper());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ulong> Sum(Vector256<ulong> lanes) => lanes.GetLower() ^ lanes.GetUpper();

    private static Vector128<ulong> Multiply(Vector128<ulong> a, Vector128<ulong> b) => Reduce(
        Pclmulqdq.CarrylessMultiply(a, b, 0x00),
        Pclmulqdq.CarrylessMultiply(a, b, 0x01) ^ Pclmulqdq.CarrylessMultiply(a, b, 0x10),
        Pclmulqdq.CarrylessMultiply(a, b, 0x11));

    /// <summary>
    /// From 256 bits to 128 modulo x^128 + x^127 + x^126 + x^121 + 1 (the polynomial of GHASH, bits reversed): the
    /// low half is folded up 64 bits at a time.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ulong> Reduce(Vector128<ulong> low, Vector128<ulong> middle, Vector128<ulong> high)
    {
        Vector128<ulong> polynomial = Vector128.Create(0xC200_0000_0000_0000UL, 0);
        low ^= Sse2.ShiftLeftLogical128BitLane(middle.AsByte(), 8).AsUInt64();
        high ^= Sse2.ShiftRightLogical128BitLane(middle.AsByte(), 8).AsUInt64();
        low = Sse2.Shuffle(low.AsUInt32(), 0x4E).AsUInt64() ^ Pclmulqdq.CarrylessMultiply(low, polynomial, 0x00);
        low = Sse2.Shuffle(low.AsUInt32(), 0x4E).AsUInt64() ^ Pclmulqdq.CarrylessMultiply(low, polynomial, 0x00);
        return low ^ high;
    }

    private static Vector128<byte> ReverseMask
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Reverse(Vector128<byte> block) => Ssse3.Shuffle(block, ReverseMask);
}
