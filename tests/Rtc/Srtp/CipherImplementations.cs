using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Tests.Srtp;

/// <summary>The ciphers that this processor can run, by name.</summary>
internal static class CipherImplementations
{
    public static IEnumerable<string> Names => ["platform"];

    public static AeadAes128Gcm Gcm(string name, byte[] key) => new PlatformAeadAes128Gcm(key);

    public static AesCounterMode CounterMode(string name, byte[] key) => new PlatformAesCounterMode(key);
}
