using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Transcribe.Rtc.Dtls;

/// <summary>A self-signed ECDSA P-256 certificate with its key. Thread-safe; one may serve every session of a process.</summary>
public sealed class DtlsCertificate : IDisposable
{
    private readonly ECDsa _key;
    private readonly Lock _lock = new();
    private Org.BouncyCastle.Tls.TlsCredentialedSigner? _signer;

    private DtlsCertificate(ECDsa key, byte[] encoded, DateTimeOffset notAfter)
    {
        _key = key;
        Encoded = encoded;
        NotAfter = notAfter;
        Fingerprint = DtlsFingerprint.Sha256(encoded);
    }

    /// <summary>sha-256 fingerprint, for SDP.</summary>
    public DtlsFingerprint Fingerprint { get; }

    /// <summary>End of validity. Peers check the fingerprint only, so this is a hint to make a new one.</summary>
    public DateTimeOffset NotAfter { get; }

    internal byte[] Encoded { get; }

    /// <summary>What the handshakes show, parsed once.</summary>
    internal Org.BouncyCastle.Tls.TlsCredentialedSigner Signer =>
        _signer ?? Interlocked.CompareExchange(ref _signer, PlatformTlsCrypto.Instance.CreateSigner(this), null) ?? _signer;

    /// <summary>Makes a new key and certificate.</summary>
    /// <param name="now">The current date, from the host's clock.</param>
    /// <param name="validity">How long it is valid; 30 days by default. It starts a day before <paramref name="now"/>, for skewed clocks.</param>
    public static DtlsCertificate Generate(DateTimeOffset now, TimeSpan? validity = null)
    {
        ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new("CN=WebRTC", key, HashAlgorithmName.SHA256);
        DateTimeOffset end = now + (validity ?? TimeSpan.FromDays(30));
        using X509Certificate2 certificate = request.CreateSelfSigned(now - TimeSpan.FromDays(1), end);
        return new(key, certificate.RawData, end);
    }

    /// <summary>Signs a digest; the signature is DER, as TLS wants it.</summary>
    internal byte[] SignHash(byte[] digest)
    {
        lock (_lock)
            return _key.SignHash(digest, DSASignatureFormat.Rfc3279DerSequence);
    }

    public void Dispose() => _key.Dispose();
}
