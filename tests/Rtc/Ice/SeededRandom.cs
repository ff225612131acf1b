using System.Security.Cryptography;

namespace Transcribe.Rtc.Tests.Ice;

/// <summary>A repeatable stand-in for the cryptographic generator.</summary>
internal sealed class SeededRandom(int seed) : RandomNumberGenerator
{
    private readonly Random _random = new(seed);

    public override void GetBytes(byte[] data) => _random.NextBytes(data);

    public override void GetBytes(Span<byte> data) => _random.NextBytes(data);
}
