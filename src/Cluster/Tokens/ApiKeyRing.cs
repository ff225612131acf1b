using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using Microsoft.IdentityModel.Tokens;

namespace Transcribe.Cluster.Tokens;

/// <summary>An API key with its secret, as configured.</summary>
public sealed record ApiKey(string Key, string Secret)
{
    /// <summary>The secret as an HMAC key.</summary>
    internal SymmetricSecurityKey ToSecurityKey()
    {
        // The library refuses short keys. HMAC itself fills them up with zeros (RFC 2104), so doing it here changes no signature.
        byte[] bytes = Encoding.UTF8.GetBytes(Secret);
        if (bytes.Length < ApiKeyRing.RecommendedSecretBytes)
            Array.Resize(ref bytes, ApiKeyRing.RecommendedSecretBytes);
        return new SymmetricSecurityKey(bytes);
    }

    // The compiler's own would print the secret.
    public override string ToString() => $"ApiKey {{ Key = {Key} }}";
}

/// <summary>The API keys of this installation. The first one signs, all of them are accepted (so keys can be rotated).</summary>
public sealed class ApiKeyRing
{
    /// <summary>Shorter secrets are refused: they can be guessed from one token.</summary>
    public const int MinSecretBytes = 8;

    /// <summary>RFC 7518 §3.2: an HS256 key has at least 256 bits. Shorter secrets work and deserve a warning.</summary>
    public const int RecommendedSecretBytes = 32;

    private readonly Dictionary<string, ApiKey> _keys;

    /// <param name="keys">At least one.</param>
    /// <param name="isDevelopment">The key was made up at start and is shown to whoever asks.</param>
    /// <exception cref="ArgumentException">A key or secret that cannot be used; the message says which and what to do.</exception>
    public ApiKeyRing(IReadOnlyList<ApiKey> keys, bool isDevelopment = false)
    {
        if (keys.Count == 0)
            throw new ArgumentException("There is no API key. Set TRANSCRIBE_API_KEY and TRANSCRIBE_API_SECRET.", nameof(keys));

        _keys = new(StringComparer.Ordinal);
        foreach (ApiKey key in keys)
        {
            if (Problem(key) is { } problem)
                throw new ArgumentException(problem, nameof(keys));

            if (!_keys.TryAdd(key.Key, key))
                throw new ArgumentException($"The API key \"{key.Key}\" is there twice. Remove one of them.", nameof(keys));
        }

        Signing = keys[0];
        IsDevelopment = isDevelopment;
    }

    /// <summary>The key new tokens are signed with.</summary>
    public ApiKey Signing { get; }

    /// <summary>True for a key that was made up at start: the development helpers are open.</summary>
    public bool IsDevelopment { get; }

    /// <summary>A random key for a process that was configured without one.</summary>
    public static ApiKeyRing CreateDevelopment() =>
        new([new ApiKey("dev" + RandomNumberGenerator.GetHexString(8, lowercase: true), RandomNumberGenerator.GetHexString(64, lowercase: true))], isDevelopment: true);

    /// <summary>Keys whose secret is shorter than <see cref="RecommendedSecretBytes"/>.</summary>
    public IEnumerable<string> WeakKeys =>
        _keys.Values.Where(k => Encoding.UTF8.GetByteCount(k.Secret) < RecommendedSecretBytes).Select(k => k.Key);

    public bool TryGet(string? key, [NotNullWhen(true)] out ApiKey? found)
    {
        found = null;
        return key is not null && _keys.TryGetValue(key, out found);
    }

    /// <summary>Whether this is the secret of the key, in time that does not depend on where they differ.</summary>
    public bool Matches(string? key, string? secret)
    {
        bool known = TryGet(key, out ApiKey? found);

        // An unknown key costs the same comparison as a known one.
        byte[] expected = SHA256.HashData(Encoding.UTF8.GetBytes((found ?? Signing).Secret));
        byte[] actual = SHA256.HashData(Encoding.UTF8.GetBytes(secret ?? ""));
        return CryptographicOperations.FixedTimeEquals(expected, actual) & known;
    }

    private static string? Problem(ApiKey key)
    {
        if (key.Key.Length is 0 or > 64 || !key.Key.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
            return $"The API key \"{key.Key}\" (TRANSCRIBE_API_KEY) cannot be used. Use 1 to 64 of the characters A-Z a-z 0-9 - _.";

        int bytes = Encoding.UTF8.GetByteCount(key.Secret);
        return bytes < MinSecretBytes
            ? $"The secret of API key \"{key.Key}\" (TRANSCRIBE_API_SECRET) has {bytes} bytes, and at least {MinSecretBytes} are needed. Make one with: openssl rand -hex 32"
            : null;
    }
}
