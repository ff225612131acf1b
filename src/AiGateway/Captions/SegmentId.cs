using System.Security.Cryptography;

namespace Transcribe.AiGateway.Captions;

/// <summary>Makes ULIDs: 48 bits of Unix milliseconds and 80 of randomness in Crockford's base 32; ids of one instance sort by time.</summary>
internal sealed class SegmentId(TimeProvider clock)
{
    private const string Alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    private long _last;

    public string Next()
    {
        _last = Math.Max(clock.GetUtcNow().ToUnixTimeMilliseconds(), _last + 1);
        return string.Create(26, _last, static (text, milliseconds) =>
        {
            for (int i = 9; i >= 0; i--, milliseconds >>= 5)
                text[i] = Alphabet[(int)(milliseconds & 31)];
            Span<byte> random = stackalloc byte[16];
            RandomNumberGenerator.Fill(random);
            for (int i = 0; i < 16; i++)
                text[10 + i] = Alphabet[random[i] & 31];
        });
    }
}
