using System.Security.Cryptography;

namespace Transcribe.Rtc.Sctp;

/// <summary>Settings of one <see cref="SctpAssociation"/>. The defaults suit a data channel transport over DTLS (RFC 8261, RFC 8831).</summary>
public sealed record SctpOptions
{
    /// <summary>Our SCTP port; "a=sctp-port" in our SDP.</summary>
    public ushort LocalPort { get; init; } = 5000;

    /// <summary>The peer's SCTP port; "a=sctp-port" in its SDP.</summary>
    public ushort RemotePort { get; init; } = 5000;

    /// <summary>Largest message taken from the peer, in bytes; "a=max-message-size" in our SDP. A peer that exceeds it is aborted.</summary>
    public int MaxMessageSize { get; init; } = 256 * 1024;

    /// <summary>Bytes of incomplete and out-of-order messages held at most; announced as the receiver window. At least twice <see cref="MaxMessageSize"/>.</summary>
    public int ReceiveBuffer { get; init; } = 1024 * 1024;

    /// <summary>Bytes of messages held for sending (unsent and unacknowledged) at most; a send beyond it is refused.</summary>
    public int SendBuffer { get; init; } = 1024 * 1024;

    /// <summary>Largest SCTP packet in bytes, i.e. the path's UDP payload less the DTLS record overhead. Rounded down to a multiple of 4; 512 to 65532.</summary>
    public int MaxPacketSize { get; init; } = 1152;

    /// <summary>Inbound streams offered and outbound streams requested (RFC 8831, section 6.2).</summary>
    public ushort MaxStreams { get; init; } = 65535;

    /// <summary>Congestion window of a new association, in packets.</summary>
    public int InitialCongestionWindow { get; init; } = 10;

    public TimeSpan RtoInitial { get; init; } = TimeSpan.FromMilliseconds(500);

    public TimeSpan RtoMin { get; init; } = TimeSpan.FromMilliseconds(250);

    public TimeSpan RtoMax { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>Longest time the acknowledgement of a lone packet is held back (RFC 9260 allows up to 500 ms).</summary>
    public TimeSpan DelayedAck { get; init; } = TimeSpan.FromMilliseconds(40);

    /// <summary>Consecutive retransmission time-outs after which the association is aborted; null never gives up (ICE consent will).</summary>
    public int? MaxRetransmissions { get; init; } = 20;

    /// <summary>Retransmissions of INIT and of COOKIE ECHO after which connecting is given up; null never gives up.</summary>
    public int? MaxInitRetransmissions { get; init; } = 30;

    /// <summary>
    /// Idle time after which the peer is probed with a HEARTBEAT; null sends none (RFC 9260 section 8.3 lets the upper
    /// layer choose), where something else, such as ICE consent, watches the path.
    /// </summary>
    public TimeSpan? HeartbeatInterval { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a state cookie we handed out is accepted.</summary>
    public TimeSpan CookieLifetime { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Fills a span with random bytes: tags, initial TSN, cookie secret. A seeded one makes tests repeatable.</summary>
    public Action<Span<byte>> Random { get; init; } = RandomNumberGenerator.Fill;

    /// <summary>Throws an <see cref="ArgumentException"/> that names the option and the fix.</summary>
    public void Validate()
    {
        if (MaxPacketSize is < 512 or > 65532)
            throw new ArgumentException($"SctpOptions.MaxPacketSize is {MaxPacketSize}; choose 512 to 65532 bytes.");
        if (MaxMessageSize < 1)
            throw new ArgumentException($"SctpOptions.MaxMessageSize is {MaxMessageSize}; choose at least 1 byte.");
        if (ReceiveBuffer / 2 < MaxMessageSize)
            throw new ArgumentException($"SctpOptions.ReceiveBuffer is {ReceiveBuffer}; choose at least twice MaxMessageSize ({MaxMessageSize}).");
        if (SendBuffer < 1)
            throw new ArgumentException($"SctpOptions.SendBuffer is {SendBuffer}; choose at least 1 byte.");
        if (MaxStreams < 1 || InitialCongestionWindow < 1)
            throw new ArgumentException("SctpOptions.MaxStreams and InitialCongestionWindow must be at least 1.");
        if (RtoMin <= TimeSpan.Zero || RtoInitial < RtoMin || RtoMax < RtoInitial)
            throw new ArgumentException("SctpOptions need 0 < RtoMin <= RtoInitial <= RtoMax.");
        if (DelayedAck < TimeSpan.Zero || DelayedAck > TimeSpan.FromMilliseconds(500))
            throw new ArgumentException("SctpOptions.DelayedAck must be 0 to 500 ms (RFC 9260, section 6.2).");
        if (HeartbeatInterval <= TimeSpan.Zero || CookieLifetime <= TimeSpan.Zero)
            throw new ArgumentException("SctpOptions.HeartbeatInterval and CookieLifetime must be positive.");
    }
}
