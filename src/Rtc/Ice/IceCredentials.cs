using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;

namespace Transcribe.Rtc.Ice;

/// <summary>A username fragment and its password (RFC 8839 section 5.4). <see cref="ToString"/> hides the password.</summary>
public sealed record IceCredentials
{
    private const string Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    private const int UfragSize = 8;
    private const int PasswordSize = 24;

    private static readonly SearchValues<char> IceChars = SearchValues.Create(Alphabet);

    private IceCredentials(string ufrag, string password)
    {
        Ufrag = ufrag;
        Password = password;
    }

    /// <summary>4 to 256 characters of ALPHA, DIGIT, "+", "/".</summary>
    public string Ufrag { get; }

    /// <summary>22 to 256 characters of ALPHA, DIGIT, "+", "/".</summary>
    public string Password { get; }

    /// <summary>Fresh credentials: 48 bits of fragment, 144 bits of password.</summary>
    public static IceCredentials Create(RandomNumberGenerator random)
    {
        Span<byte> bytes = stackalloc byte[UfragSize + PasswordSize];
        random.GetBytes(bytes);
        Span<char> text = stackalloc char[bytes.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            text[i] = Alphabet[bytes[i] & 63];
        }

        return new IceCredentials(new string(text[..UfragSize]), new string(text[UfragSize..]));
    }

    /// <summary>Takes credentials from outside; false where length or characters are against RFC 8839.</summary>
    public static bool TryCreate(string? ufrag, string? password, [NotNullWhen(true)] out IceCredentials? credentials)
    {
        bool valid = ufrag is { Length: >= 4 and <= 256 } && password is { Length: >= 22 and <= 256 }
            && !ufrag.AsSpan().ContainsAnyExcept(IceChars) && !password.AsSpan().ContainsAnyExcept(IceChars);
        credentials = valid ? new IceCredentials(ufrag!, password!) : null;
        return valid;
    }

    internal static bool IsIceText(ReadOnlySpan<char> text) => !text.ContainsAnyExcept(IceChars);

    public override string ToString() => $"IceCredentials {{ Ufrag = {Ufrag} }}";
}
