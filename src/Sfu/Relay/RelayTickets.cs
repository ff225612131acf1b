using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Transcribe.Cluster.Bus;

namespace Transcribe.Sfu.Relay;

/// <summary>
/// Proof that a node of this cluster asks another one for a relay session: names both, the session, and when it ends,
/// signed (HMAC-SHA-256) with a key derived from the cluster's. Each serves for one session.
/// </summary>
internal sealed class RelayTickets
{
    /// <summary>The refusal of a ticket that does not hold.</summary>
    public const string Refused = "relay_refused";

    private const string Version = "v1";

    /// <summary>Long enough for a slow bus and clocks that differ a little.</summary>
    private static readonly TimeSpan Validity = TimeSpan.FromSeconds(30);
    private const int MaxLength = 512;
    private const int MaxUsed = 16_384;

    private readonly byte[] _key;
    private readonly TimeProvider _time;
    private readonly Dictionary<string, long> _used = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();

    public RelayTickets(string clusterKey, TimeProvider time)
    {
        _key = HKDF.DeriveKey(HashAlgorithmName.SHA256, Encoding.UTF8.GetBytes(clusterKey), 32, info: "transcribe relay ticket v1"u8.ToArray());
        _time = time;
    }

    /// <param name="from">The asking node.</param>
    /// <param name="to">The node that is asked.</param>
    public string Issue(string from, string to, string sessionId)
    {
        long expires = (_time.GetUtcNow() + Validity).ToUnixTimeMilliseconds();
        string claims = string.Join('|', Version, from, to, sessionId, expires.ToString(CultureInfo.InvariantCulture));
        byte[] bytes = Encoding.UTF8.GetBytes(claims);
        return $"{Base64Url.EncodeToString(bytes)}.{Base64Url.EncodeToString(HMACSHA256.HashData(_key, bytes))}";
    }

    /// <summary>The node that asks.</summary>
    /// <exception cref="BusException"><see cref="Refused"/>: malformed, forged, for somebody else, expired or used.</exception>
    public string Check(string ticket, string to, string sessionId)
    {
        string[] parts = ticket.Length <= MaxLength ? ticket.Split('.') : [];
        if (parts.Length != 2 || !TryDecode(parts[0], out byte[] claims) || !TryDecode(parts[1], out byte[] signature))
            throw Refuse("is no relay ticket");
        if (!CryptographicOperations.FixedTimeEquals(HMACSHA256.HashData(_key, claims), signature))
            throw Refuse("is not signed with this cluster's key");

        string[] fields = Encoding.UTF8.GetString(claims).Split('|');
        if (fields.Length != 5 || fields[0] != Version || !long.TryParse(fields[4], CultureInfo.InvariantCulture, out long expires))
            throw Refuse("is of another version");
        if (fields[2] != to || fields[3] != sessionId)
            throw Refuse("is for another node or session");
        long now = _time.GetUtcNow().ToUnixTimeMilliseconds();
        if (expires < now || expires > now + (2 * (long)Validity.TotalMilliseconds))
            throw Refuse("has expired; compare the clocks of the nodes");
        if (!Use(sessionId, expires, now))
            throw Refuse("was used before");
        return fields[1];
    }

    /// <summary>What a node without the cluster's key answers.</summary>
    public static BusException NotEnabled() =>
        new(Refused, "This node takes no relays: it has no cluster key. Set Sfu:Relay:ClusterKey (TRANSCRIBE_CLUSTER_KEY) to the cluster's.");

    private static BusException Refuse(string why) => new(Refused, $"The relay ticket {why}.");

    private bool Use(string sessionId, long expires, long now)
    {
        lock (_lock)
        {
            if (_used.Count >= MaxUsed)
            {
                foreach (string old in _used.Where(pair => pair.Value < now).Select(pair => pair.Key).ToArray())
                    _used.Remove(old);
            }

            return _used.Count < MaxUsed && _used.TryAdd(sessionId, expires);
        }
    }

    private static bool TryDecode(string text, out byte[] bytes)
    {
        bytes = new byte[Base64Url.GetMaxDecodedLength(text.Length)];
        if (!Base64Url.IsValid(text) || !Base64Url.TryDecodeFromChars(text, bytes, out int length))
            return false;
        bytes = bytes[..length];
        return true;
    }
}
