using System.Security.Cryptography;
using Org.BouncyCastle.Asn1.X509;
using Org.BouncyCastle.Crypto.Prng;
using Org.BouncyCastle.Security;
using Org.BouncyCastle.Tls;
using Org.BouncyCastle.Tls.Crypto;
using Org.BouncyCastle.Tls.Crypto.Impl.BC;

namespace Transcribe.Rtc.Dtls;

/// <summary>
/// BouncyCastle's cryptography with the platform's P-256 in place of its own, which takes most of a handshake's time.
/// </summary>
internal sealed class PlatformTlsCrypto : BcTlsCrypto
{
    /// <summary>Thread-safe, since its source of randomness is.</summary>
    public static readonly PlatformTlsCrypto Instance = new();

    private PlatformTlsCrypto()
        : base(new SecureRandom(new CryptoApiRandomGenerator()))
    {
    }

    public override TlsECDomain CreateECDomain(TlsECConfig ecConfig) =>
        ecConfig.NamedGroup == NamedGroup.secp256r1 ? new P256Domain(this) : base.CreateECDomain(ecConfig);

    public override TlsCertificate CreateCertificate(short type, byte[] encoding) =>
        type == CertificateType.X509 ? new PlatformCertificate(this, encoding) : base.CreateCertificate(type, encoding);

    /// <summary>The credentials of a session: our certificate and its key.</summary>
    public TlsCredentialedSigner CreateSigner(DtlsCertificate certificate) =>
        new Signer(certificate, new Org.BouncyCastle.Tls.Certificate([CreateCertificate(CertificateType.X509, certificate.Encoded)]));

    private sealed class P256Domain(PlatformTlsCrypto crypto) : TlsECDomain
    {
        public TlsAgreement CreateECDH() => new P256Agreement(crypto);
    }

    private sealed class P256Agreement(PlatformTlsCrypto crypto) : TlsAgreement
    {
        private const int Coordinate = 32;
        private const byte Uncompressed = 4;

        private ECDiffieHellman? _own;
        private ECDiffieHellman? _peer;

        public byte[] GenerateEphemeral()
        {
            _own = ECDiffieHellman.Create(ECCurve.NamedCurves.nistP256);
            ECPoint point = _own.ExportParameters(includePrivateParameters: false).Q;
            byte[] encoded = new byte[1 + (2 * Coordinate)];
            encoded[0] = Uncompressed;
            point.X!.CopyTo(encoded, 1);
            point.Y!.CopyTo(encoded, 1 + Coordinate);
            return encoded;
        }

        public void ReceivePeerValue(byte[] peerValue)
        {
            if (peerValue.Length != 1 + (2 * Coordinate) || peerValue[0] != Uncompressed)
                throw new TlsFatalAlert(AlertDescription.illegal_parameter);
            try
            {
                // Refuses a point that is not on the curve.
                _peer = ECDiffieHellman.Create(new ECParameters
                {
                    Curve = ECCurve.NamedCurves.nistP256,
                    Q = new ECPoint { X = peerValue[1..(1 + Coordinate)], Y = peerValue[(1 + Coordinate)..] },
                });
            }
            catch (CryptographicException e)
            {
                throw new TlsFatalAlert(AlertDescription.illegal_parameter, e);
            }
        }

        public TlsSecret CalculateSecret()
        {
            if (_own is null || _peer is null)
                throw new TlsFatalAlert(AlertDescription.internal_error);
            byte[] secret = _own.DeriveRawSecretAgreement(_peer.PublicKey);
            _own.Dispose();
            _peer.Dispose();
            return crypto.CreateSecret(secret);
        }
    }

    private sealed class PlatformCertificate(BcTlsCrypto crypto, byte[] encoding) : BcTlsCertificate(crypto, encoding)
    {
        private const string P256 = "1.2.840.10045.3.1.7";

        public override TlsVerifier CreateVerifier(short signatureAlgorithm)
        {
            SubjectPublicKeyInfo key = X509CertificateStructure.SubjectPublicKeyInfo;
            if (signatureAlgorithm != SignatureAlgorithm.ecdsa || key.Algorithm.Parameters?.ToString() != P256)
                return base.CreateVerifier(signatureAlgorithm);
            if (!SupportsKeyUsage(KeyUsage.DigitalSignature))
                throw new TlsFatalAlert(AlertDescription.certificate_unknown);
            ECDsa verifier = ECDsa.Create();
            try
            {
                verifier.ImportSubjectPublicKeyInfo(key.GetDerEncoded(), out _);
                return new Verifier(verifier);
            }
            catch (CryptographicException e)
            {
                verifier.Dispose();
                throw new TlsFatalAlert(AlertDescription.bad_certificate, e);
            }
        }
    }

    private sealed class Verifier(ECDsa key) : TlsVerifier
    {
        public TlsStreamVerifier? GetStreamVerifier(DigitallySigned digitallySigned) => null;

        public bool VerifyRawSignature(DigitallySigned digitallySigned, byte[] hash)
        {
            if (digitallySigned.Algorithm is { } algorithm && algorithm.Signature != SignatureAlgorithm.ecdsa)
                throw new TlsFatalAlert(AlertDescription.illegal_parameter);
            try
            {
                return key.VerifyHash(hash, digitallySigned.Signature, DSASignatureFormat.Rfc3279DerSequence);
            }
            catch (CryptographicException)
            {
                return false;
            }
            finally
            {
                key.Dispose();
            }
        }
    }

    private sealed class Signer(DtlsCertificate certificate, Org.BouncyCastle.Tls.Certificate chain) : TlsCredentialedSigner
    {
        public Org.BouncyCastle.Tls.Certificate Certificate => chain;

        public SignatureAndHashAlgorithm SignatureAndHashAlgorithm { get; } = new(Org.BouncyCastle.Tls.HashAlgorithm.sha256, SignatureAlgorithm.ecdsa);

        public byte[] GenerateRawSignature(byte[] hash) => certificate.SignHash(hash);

        public TlsStreamSigner? GetStreamSigner() => null;
    }
}
