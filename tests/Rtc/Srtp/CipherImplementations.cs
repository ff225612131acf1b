using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Tests.Srtp;

/// <summary>The ciphers that this processor can run, by name.</summary>
internal static class CipherImplementations
{
    public static IEnumerable<string> Names
    {
        get
        {
            yield return "platform";
            if (IntrinsicAeadAes128Gcm.IsSupported)
                yield return "intrinsics";
            if (IntrinsicAeadAes128Gcm.IsWideSupported)
                yield return "wide intrinsics";
        }
    }

    public static AeadAes128Gcm Gcm(string name, byte[] key) => name switch
    {
        "intrinsics" => new IntrinsicAeadAes128Gcm(key, wide: false),
        "wide intrinsics" => new IntrinsicAeadAes128Gcm(key),
        _ => new PlatformAeadAes128Gcm(key),
    };

    public static AesCounterMode CounterMode(string name, byte[] key) =>
        name == "platform" ? new PlatformAesCounterMode(key) : new IntrinsicAesCounterMode(key);
}
