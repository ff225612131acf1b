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
            foreach (int width in (int[])[128, 256, 512])
            {
                if (IntrinsicAeadAes128Gcm.IsSupported && IntrinsicAeadAes128Gcm.Width >= width)
                    yield return $"intrinsics of {width} bits";
            }
        }
    }

    public static AeadAes128Gcm Gcm(string name, byte[] key) => name switch
    {
        "intrinsics of 128 bits" => new IntrinsicAeadAes128Gcm(key, 128),
        "intrinsics of 256 bits" => new IntrinsicAeadAes128Gcm(key, 256),
        "intrinsics of 512 bits" => new IntrinsicAeadAes128Gcm(key, 512),
        _ => new PlatformAeadAes128Gcm(key),
    };

    public static AesCounterMode CounterMode(string name, byte[] key) =>
        name == "platform" ? new PlatformAesCounterMode(key) : new IntrinsicAesCounterMode(key);
}
