using Org.BouncyCastle.Tls;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Dtls;

/// <summary>What client and server share: policy, the fingerprint check, and what is known when it ends.</summary>
internal sealed class DtlsPolicy(
    DtlsTransportOptions options,
    DtlsRole role,
    IReadOnlyList<DtlsFingerprint> remoteFingerprints)
{
    private const string Exporter = "EXTRACTOR-dtls_srtp";

    /// <summary>BouncyCastle's own timer, which runs on the wall clock: never reached, we keep the time.</summary>
    public const int ResendMilliseconds = 3_600_000;

    /// <summary>P-256 first: the platform's is the fastest.</summary>
    public static readonly int[] Groups = [NamedGroup.secp256r1, NamedGroup.x25519, NamedGroup.secp384r1];

    /// <summary>Forward secret AEAD only, as RFC 8827 section 6.5 asks.</summary>
    public static readonly int[] ServerSuites =
    [
        CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ];

    public static readonly int[] ClientSuites =
    [
        CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ];

    public SrtpKeyingMaterial? Keys { get; private set; }

    /// <summary>The key block of the record protection, once the handshake is done.</summary>
    public byte[]? RecordKeys { get; private set; }

    public bool FingerprintMismatch { get; private set; }

    public bool NoSrtpProfile { get; private set; }

    public bool RemoteClosed { get; private set; }

    public int? AlertReceived { get; private set; }

    public SrtpProfile Profile { get; private set; }

    public static IList<SignatureAndHashAlgorithm> SignatureAlgorithms() =>
    [
        new(HashAlgorithm.sha256, SignatureAlgorithm.ecdsa),
        new(HashAlgorithm.sha384, SignatureAlgorithm.ecdsa),
        new(HashAlgorithm.sha512, SignatureAlgorithm.ecdsa),
        SignatureAndHashAlgorithm.rsa_pss_rsae_sha256,
        new(HashAlgorithm.sha256, SignatureAlgorithm.rsa),
        new(HashAlgorithm.sha384, SignatureAlgorithm.rsa),
    ];

    public TlsCredentialedSigner Signer() => options.Certificate.Signer;

    /// <summary>RFC 8122 section 5: of the fingerprints given, those of the strongest hash count.</summary>
    public void CheckCertificate(Org.BouncyCastle.Tls.Certificate? certificate)
    {
        if (certificate is not null && !certificate.IsEmpty && remoteFingerprints.Count > 0)
        {
            byte[] encoded = certificate.GetCertificateAt(0).GetEncoded();
            string strongest = remoteFingerprints.MaxBy(candidate => candidate.Value.Length)!.Algorithm;
            if (remoteFingerprints.Any(candidate => candidate.Algorithm == strongest && candidate.Matches(encoded)))
                return;
        }

        FingerprintMismatch = true;
        throw new TlsFatalAlert(AlertDescription.bad_certificate);
    }

    public UseSrtpData OfferSrtp() => new([.. options.SrtpProfiles.Select(profile => (int)profile)], []);

    /// <summary>The server's choice among what the client offers, by the server's preference.</summary>
    public void SelectSrtp(UseSrtpData? offered)
    {
        Profile = options.SrtpProfiles.FirstOrDefault(profile => offered?.ProtectionProfiles.Contains((int)profile) == true);
        if (Profile == SrtpProfile.None)
        {
            NoSrtpProfile = true;
            throw new TlsFatalAlert(AlertDescription.handshake_failure);
        }
    }

    /// <summary>The client checks what the server chose.</summary>
    public void AcceptSrtp(UseSrtpData? chosen)
    {
        if (chosen is null || chosen.ProtectionProfiles is not [int number] || !options.SrtpProfiles.Contains((SrtpProfile)number))
        {
            NoSrtpProfile = true;
            throw new TlsFatalAlert(AlertDescription.handshake_failure);
        }

        if (chosen.Mki is { Length: > 0 })
            throw new TlsFatalAlert(AlertDescription.illegal_parameter);
        Profile = (SrtpProfile)number;
    }

    public void Export(TlsContext context)
    {
        byte[] exported = context.ExportKeyingMaterial(Exporter, null, SrtpKeyingMaterial.ExportLength(Profile));
        Keys = SrtpKeyingMaterial.FromExporter(Profile, exported, role == DtlsRole.Client);
        Array.Clear(exported);

        // RFC 5246 section 6.3: the server's random comes first here.
        SecurityParameters parameters = context.SecurityParameters;
        int keyLength = parameters.CipherSuite == CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 ? 32 : 16;
        RecordKeys = parameters.MasterSecret.DeriveUsingPrf(
            parameters.PrfAlgorithm,
            "key expansion",
            (byte[])[.. parameters.ServerRandom, .. parameters.ClientRandom],
            DtlsRecordLayer.KeyBlockLength(keyLength)).Extract();
    }

    public void NoteAlert(short level, short description)
    {
        if (description == AlertDescription.close_notify)
            RemoteClosed = true;
        else if (level == AlertLevel.fatal)
            AlertReceived = description;
    }
}

internal sealed class DtlsServerPeer(DtlsPolicy policy) : AbstractTlsServer(PlatformTlsCrypto.Instance)
{
    public override bool IgnoreCorruptDtlsRecords => true;

    public override int GetHandshakeTimeoutMillis() => 0;

    public override int GetHandshakeResendTimeMillis() => DtlsPolicy.ResendMilliseconds;

    public override bool RequiresExtendedMasterSecret() => true;

    // Certificates are self-signed and the fingerprint vouches for them.
    public override bool ShouldCheckSigAlgOfPeerCerts() => false;

    public override bool PreferLocalSupportedGroups() => true;

    public override int[] GetSupportedGroups() => DtlsPolicy.Groups;

    public override TlsCredentials GetCredentials() => policy.Signer();

    public override Org.BouncyCastle.Tls.CertificateRequest GetCertificateRequest() =>
        new([ClientCertificateType.ecdsa_sign, ClientCertificateType.rsa_sign], DtlsPolicy.SignatureAlgorithms(), null);

    public override void NotifyClientCertificate(Org.BouncyCastle.Tls.Certificate clientCertificate) =>
        policy.CheckCertificate(clientCertificate);

    public override void ProcessClientExtensions(IDictionary<int, byte[]> clientExtensions)
    {
        base.ProcessClientExtensions(clientExtensions);
        policy.SelectSrtp(clientExtensions is null ? null : TlsSrtpUtilities.GetUseSrtpExtension(clientExtensions));
    }

    public override IDictionary<int, byte[]> GetServerExtensions()
    {
        IDictionary<int, byte[]> extensions = base.GetServerExtensions() ?? new Dictionary<int, byte[]>();
        TlsSrtpUtilities.AddUseSrtpExtension(extensions, new UseSrtpData([(int)policy.Profile], []));
        return extensions;
    }

    public override void NotifyHandshakeComplete()
    {
        base.NotifyHandshakeComplete();
        policy.Export(m_context);
    }

    public override void NotifyAlertReceived(short alertLevel, short alertDescription) =>
        policy.NoteAlert(alertLevel, alertDescription);

    protected override ProtocolVersion[] GetSupportedVersions() => ProtocolVersion.DTLSv12.Only();

    protected override int[] GetSupportedCipherSuites() => DtlsPolicy.ServerSuites;

    protected override bool PreferLocalCipherSuites() => true;
}

internal sealed class DtlsClientPeer(DtlsPolicy policy) : AbstractTlsClient(PlatformTlsCrypto.Instance), TlsAuthentication
{
    public override bool IgnoreCorruptDtlsRecords => true;

    public override int GetHandshakeTimeoutMillis() => 0;

    public override int GetHandshakeResendTimeMillis() => DtlsPolicy.ResendMilliseconds;

    public override bool RequiresExtendedMasterSecret() => true;

    public override bool ShouldCheckSigAlgOfPeerCerts() => false;

    public override IDictionary<int, byte[]> GetClientExtensions()
    {
        IDictionary<int, byte[]> extensions = base.GetClientExtensions() ?? new Dictionary<int, byte[]>();
        TlsSrtpUtilities.AddUseSrtpExtension(extensions, policy.OfferSrtp());
        return extensions;
    }

    public override void ProcessServerExtensions(IDictionary<int, byte[]> serverExtensions)
    {
        base.ProcessServerExtensions(serverExtensions);
        policy.AcceptSrtp(serverExtensions is null ? null : TlsSrtpUtilities.GetUseSrtpExtension(serverExtensions));
    }

    public override TlsAuthentication GetAuthentication() => this;

    public void NotifyServerCertificate(TlsServerCertificate serverCertificate) =>
        policy.CheckCertificate(serverCertificate.Certificate);

    public TlsCredentials GetClientCredentials(Org.BouncyCastle.Tls.CertificateRequest certificateRequest) => policy.Signer();

    public override void NotifyHandshakeComplete()
    {
        base.NotifyHandshakeComplete();
        policy.Export(m_context);
    }

    public override void NotifyAlertReceived(short alertLevel, short alertDescription) =>
        policy.NoteAlert(alertLevel, alertDescription);

    protected override ProtocolVersion[] GetSupportedVersions() => ProtocolVersion.DTLSv12.Only();

    protected override int[] GetSupportedCipherSuites() => DtlsPolicy.ClientSuites;

    protected override IList<int> GetSupportedGroups(IList<int> namedGroupRoles) => [.. DtlsPolicy.Groups];

    protected override IList<SignatureAndHashAlgorithm> GetSupportedSignatureAlgorithms() => DtlsPolicy.SignatureAlgorithms();

    protected override CertificateStatusRequest? GetCertificateStatusRequest() => null;
}
