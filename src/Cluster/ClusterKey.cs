using System.Security.Cryptography;
using System.Text;

namespace Transcribe.Cluster;

/// <summary>
/// The secret that all processes of a cluster share (TRANSCRIBE_CLUSTER_KEY). It authenticates bus messages, announcements of nodes
/// and relay tickets, each with a key of its own derived from it (HKDF-SHA256, RFC 5869).
/// </summary>
public sealed class ClusterKey
{
    public const string EnvironmentVariable = "TRANSCRIBE_CLUSTER_KEY";

    /// <summary>RFC 2104 §3: an HMAC-SHA256 key should have at least 32 bytes.</summary>
    public const int MinBytes = 32;

    /// <summary>Bytes of a <see cref="Sign(string, ReadOnlySpan{byte})">signature</see>.</summary>
    public const int SignatureBytes = 32;

    private readonly byte[] _secret;

    /// <param name="secret">UTF-8 text of at least <see cref="MinBytes"/> bytes.</param>
    /// <exception cref="ArgumentException">It is missing or too short; the message names the key and the fix, not the secret.</exception>
    public ClusterKey(string? secret)
    {
        if (Problem(secret) is { } problem)
            throw new ArgumentException(problem, nameof(secret));

        _secret = Encoding.UTF8.GetBytes(secret!);
    }

    private ClusterKey(byte[] secret) => _secret = secret;

    /// <summary>A key nobody else has: for a process that is its own cluster.</summary>
    public static ClusterKey CreateRandom() => new(RandomNumberGenerator.GetBytes(MinBytes));

    /// <summary>What is wrong with a configured secret, as a sentence; null where nothing is.</summary>
    public static string? Problem(string? secret)
    {
        if (string.IsNullOrEmpty(secret))
            return $"{EnvironmentVariable} is not set. Every process of a cluster needs the same one; make it with: openssl rand -hex 32";

        int bytes = Encoding.UTF8.GetByteCount(secret);
        return bytes < MinBytes
            ? $"{EnvironmentVariable} has {bytes} bytes, and at least {MinBytes} are needed. Make one with: openssl rand -hex 32"
            : null;
    }

    /// <summary>A 32-byte key for one purpose ("bus", "nodes", "relay"); knowing it tells nothing of the others.</summary>
    public byte[] Derive(string purpose) =>
        HKDF.DeriveKey(HashAlgorithmName.SHA256, _secret, SignatureBytes, salt: null, Encoding.UTF8.GetBytes("transcribe/" + purpose));

    /// <summary>HMAC-SHA256 of the data under the purpose's key.</summary>
    public byte[] Sign(string purpose, ReadOnlySpan<byte> data) => HMACSHA256.HashData(Derive(purpose), data);

    /// <summary>Whether the signature is the purpose's of this data, in time that does not depend on where they differ.</summary>
    public bool Verify(string purpose, ReadOnlySpan<byte> data, ReadOnlySpan<byte> signature) =>
        CryptographicOperations.FixedTimeEquals(Sign(purpose, data), signature);

    // The secret must not get into a log by accident.
    public override string ToString() => nameof(ClusterKey);
}
