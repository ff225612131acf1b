namespace Transcribe.Rtc;

/// <summary>Direction of an m-section as its owner sees it (RFC 8866 §6.7).</summary>
[Flags]
public enum MediaDirection
{
    /// <summary>Neither side sends.</summary>
    Inactive = 0,

    /// <summary>We send, the peer receives.</summary>
    SendOnly = 1,

    /// <summary>The peer sends, we receive.</summary>
    RecvOnly = 2,

    /// <summary>Both send.</summary>
    SendRecv = SendOnly | RecvOnly,
}

/// <summary>Questions one asks of a <see cref="MediaDirection"/>.</summary>
public static class MediaDirectionExtensions
{
    /// <summary>True where the owner of the direction sends.</summary>
    public static bool Sends(this MediaDirection direction) => (direction & MediaDirection.SendOnly) != 0;

    /// <summary>True where the owner of the direction receives.</summary>
    public static bool Receives(this MediaDirection direction) => (direction & MediaDirection.RecvOnly) != 0;

    /// <summary>The same direction seen from the other side: send and receive exchanged.</summary>
    public static MediaDirection Reversed(this MediaDirection direction) =>
        (direction.Sends() ? MediaDirection.RecvOnly : MediaDirection.Inactive)
        | (direction.Receives() ? MediaDirection.SendOnly : MediaDirection.Inactive);
}
