namespace Transcribe.Rtc.Srtp;

/// <summary>
/// What the DTLS-SRTP exporter yields (RFC 5764 section 4.2), already sorted into "ours" and "theirs".
/// Secret: never log it.
/// </summary>
public sealed class SrtpKeyingMaterial
{
    private readonly byte[] _localKey;
    private readonly byte[] _localSalt;
    private readonly byte[] _remoteKey;
    private readonly byte[] _remoteSalt;

    public SrtpKeyingMaterial(
        SrtpProfile profile,
        ReadOnlySpan<byte> localKey,
        ReadOnlySpan<byte> localSalt,
        ReadOnlySpan<byte> remoteKey,
        ReadOnlySpan<byte> remoteSalt)
    {
        Profile = profile;
        _localKey = localKey.ToArray();
        _localSalt = localSalt.ToArray();
        _remoteKey = remoteKey.ToArray();
        _remoteSalt = remoteSalt.ToArray();
    }

    public SrtpProfile Profile { get; }

    /// <summary>Master key for what this side sends.</summary>
    public ReadOnlySpan<byte> LocalMasterKey => _localKey;

    /// <summary>Master salt for what this side sends.</summary>
    public ReadOnlySpan<byte> LocalMasterSalt => _localSalt;

    /// <summary>Master key for what the peer sends.</summary>
    public ReadOnlySpan<byte> RemoteMasterKey => _remoteKey;

    /// <summary>Master salt for what the peer sends.</summary>
    public ReadOnlySpan<byte> RemoteMasterSalt => _remoteSalt;

    /// <summary>Length of the exporter output for a profile: two keys and two salts.</summary>
    public static int ExportLength(SrtpProfile profile) =>
        2 * (profile.MasterKeyLength() + profile.MasterSaltLength());

    /// <summary>
    /// Splits the exporter's output, which is client key, server key, client salt, server salt (RFC 5764 section 4.2).
    /// </summary>
    public static SrtpKeyingMaterial FromExporter(SrtpProfile profile, ReadOnlySpan<byte> exported, bool isClient)
    {
        int key = profile.MasterKeyLength();
        int salt = profile.MasterSaltLength();
        if (exported.Length != 2 * (key + salt))
            throw new ArgumentException("The exported keying material has the wrong length for the profile.", nameof(exported));
        ReadOnlySpan<byte> clientKey = exported[..key];
        ReadOnlySpan<byte> serverKey = exported.Slice(key, key);
        ReadOnlySpan<byte> clientSalt = exported.Slice(2 * key, salt);
        ReadOnlySpan<byte> serverSalt = exported.Slice((2 * key) + salt, salt);
        return isClient
            ? new(profile, clientKey, clientSalt, serverKey, serverSalt)
            : new(profile, serverKey, serverSalt, clientKey, clientSalt);
    }

    /// <summary>A sender for the local direction.</summary>
    public SrtpSender CreateSender() => new(Profile, _localKey, _localSalt);

    /// <summary>A receiver for the remote direction.</summary>
    public SrtpReceiver CreateReceiver() => new(Profile, _remoteKey, _remoteSalt);
}
