using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;

namespace Transcribe.Rtc.Dtls;

/// <summary>A certificate fingerprint as in <c>a=fingerprint</c> (RFC 8122): sha-256, sha-384 or sha-512.</summary>
public sealed class DtlsFingerprint : IEquatable<DtlsFingerprint>
{
    private readonly byte[] _digest;
    private string? _value;

    private DtlsFingerprint(string algorithm, byte[] digest) => (Algorithm, _digest) = (algorithm, digest);

    /// <summary>"sha-256", "sha-384" or "sha-512".</summary>
    public string Algorithm { get; }

    /// <summary>The digest as upper-case hex bytes with colons between: "AB:CD:...".</summary>
    public string Value => _value ??= Format(_digest);

    /// <summary>Parses the value of an SDP fingerprint attribute: "sha-256 AB:CD:...". Other hashes are not accepted.</summary>
    public static bool TryParse([NotNullWhen(true)] string? attribute, [NotNullWhen(true)] out DtlsFingerprint? fingerprint)
    {
        fingerprint = null;
        string[] parts = (attribute ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return parts.Length == 2 && TryParse(parts[0], parts[1], out fingerprint);
    }

    /// <summary>Parses hash name and hex digest apart.</summary>
    public static bool TryParse(string algorithm, string value, [NotNullWhen(true)] out DtlsFingerprint? fingerprint)
    {
        fingerprint = null;
        (string name, int length) = algorithm.ToUpperInvariant() switch
        {
            "SHA-256" => ("sha-256", 32),
            "SHA-384" => ("sha-384", 48),
            "SHA-512" => ("sha-512", 64),
            _ => ("", 0),
        };
        if (length == 0 || value.Length != (3 * length) - 1)
            return false;
        byte[] digest = new byte[length];
        for (int i = 0; i < length; i++)
        {
            ReadOnlySpan<char> hex = value.AsSpan(3 * i, 2);
            if (!char.IsAsciiHexDigit(hex[0]) || !char.IsAsciiHexDigit(hex[1]) || (i < length - 1 && value[(3 * i) + 2] != ':'))
                return false;
            digest[i] = byte.Parse(hex, System.Globalization.NumberStyles.AllowHexSpecifier, null);
        }

        fingerprint = new(name, digest);
        return true;
    }

    /// <summary>The sha-256 fingerprint of a DER certificate.</summary>
    public static DtlsFingerprint Sha256(ReadOnlySpan<byte> certificate) => new("sha-256", SHA256.HashData(certificate));

    /// <summary>Whether a DER certificate has this fingerprint.</summary>
    public bool Matches(ReadOnlySpan<byte> certificate)
    {
        Span<byte> digest = stackalloc byte[64];
        int length = Algorithm switch
        {
            "sha-256" => SHA256.HashData(certificate, digest),
            "sha-384" => SHA384.HashData(certificate, digest),
            _ => SHA512.HashData(certificate, digest),
        };
        return CryptographicOperations.FixedTimeEquals(digest[..length], _digest);
    }

    private static string Format(ReadOnlySpan<byte> digest)
    {
        Span<char> text = stackalloc char[(3 * 64) - 1];
        for (int i = 0; i < digest.Length; i++)
        {
            digest[i].TryFormat(text[(3 * i)..], out _, "X2");
            if (i > 0)
                text[(3 * i) - 1] = ':';
        }

        return text[..((3 * digest.Length) - 1)].ToString();
    }

    public bool Equals(DtlsFingerprint? other) =>
        other is not null && Algorithm == other.Algorithm && _digest.AsSpan().SequenceEqual(other._digest);

    public override bool Equals(object? obj) => Equals(obj as DtlsFingerprint);

    public override int GetHashCode() => BitConverter.ToInt32(_digest);

    /// <summary>As in SDP: "sha-256 AB:CD:...".</summary>
    public override string ToString() => $"{Algorithm} {Value}";
}
