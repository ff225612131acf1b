using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Transcribe.Cluster.Rooms;

/// <summary>What rooms and participants may be called. The names are parts of URLs, store keys and bus subjects.</summary>
public static class RoomNames
{
    public const int MaxRoomLength = 64;
    public const int MaxParticipantLength = 128;
    public const int MaxDisplayNameLength = 128;

    /// <param name="problem">A sentence that says what is wrong and what is allowed.</param>
    public static bool IsRoom([NotNullWhen(true)] string? name, [NotNullWhen(false)] out string? problem)
    {
        problem = name switch
        {
            null or "" => "The room name is empty.",
            { Length: > MaxRoomLength } => $"The room name has {name.Length} characters.",
            _ when !char.IsAsciiLetterOrDigit(name[0]) => "The room name does not begin with a letter or digit.",
            _ when !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.') => "The room name has a character that is not allowed.",
            _ => null,
        };
        if (problem is null)
            return true;

        problem += $" Use 1 to {MaxRoomLength} of the characters A-Z a-z 0-9 - _ . and begin with a letter or digit.";
        return false;
    }

    /// <inheritdoc cref="IsRoom"/>
    public static bool IsParticipant([NotNullWhen(true)] string? id, [NotNullWhen(false)] out string? problem)
    {
        problem = id switch
        {
            null or "" => "The participant's identity is empty.",
            { Length: > MaxParticipantLength } => $"The participant's identity has {id.Length} characters.",
            _ when !id.EnumerateRunes().All(IsIdentityRune) => "The participant's identity has a character that is not allowed.",
            _ => null,
        };
        if (problem is null)
            return true;

        problem += $" Use 1 to {MaxParticipantLength} letters, digits and any of - _ . @ + = : | ~ (no blanks).";
        return false;
    }

    /// <summary>A name to show: anything a person can read, on one line.</summary>
    /// <inheritdoc cref="IsRoom"/>
    public static bool IsDisplayName(string? name, [NotNullWhen(false)] out string? problem)
    {
        problem = name switch
        {
            null => null,
            { Length: > MaxDisplayNameLength } =>
                $"The name has {name.Length} characters; use at most {MaxDisplayNameLength}.",
            _ when name.EnumerateRunes().Any(rune => Rune.IsControl(rune) || rune == Rune.ReplacementChar) =>
                "The name has a control character; use letters, digits, blanks and punctuation.",
            _ => null,
        };
        return problem is null;
    }

    private static bool IsIdentityRune(Rune rune) =>
        Rune.IsLetterOrDigit(rune) || (rune.IsAscii && "-_.@+=:|~".Contains((char)rune.Value, StringComparison.Ordinal));
}
