using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Sfu.Relay;

/// <summary>Payload types and header extension ids of one kind of media.</summary>
internal sealed record RelayFormat(IReadOnlyList<RtpCodec> Codecs, RtpExtensionIds HeaderExtensions);

/// <summary>
/// What links between nodes carry. The node that opens a link numbers its formats, always in the same way, so that a remote
/// track can be told to subscribers before there is a link.
/// </summary>
internal sealed record RelayFormats(RelayFormat Audio, RelayFormat Video)
{
    /// <summary>Links repair audio as well: what a link loses, every viewer behind it has lost.</summary>
    private static readonly RtpCodec[] AudioCodecs =
    [
        .. RtcCodecs.Audio.Select((codec, index) => codec with { RtxPayloadType = (byte)(110 - index), Feedback = [RtcpFeedback.Nack] })
    ];

    /// <summary>Options of either end of a link.</summary>
    public static RtcSessionOptions Options(RtcSessionOptions session, bool client, TimeSpan cutAfter) => session with
    {
        IceLite = !client,
        AudioCodecs = AudioCodecs,
        ReceiverEstimatedMaximumBitrate = null,
        TransportFeedbackOnSending = false,
        AudioExtensions = [.. RtcCodecs.AudioExtensions.Where(uri => uri != RtpExtensionUris.TransportSequenceNumber)],
        VideoExtensions = [.. RtcCodecs.VideoExtensions.Where(uri => uri != RtpExtensionUris.TransportSequenceNumber)],
        Limits = session.Limits with
        {
            MaxSdpLength = 4 << 20,
            MaxMediaSections = 4096,
            MaxStreams = 16_384,
            MaxMessageSize = session.Limits.MaxMessageSize + RelayEnvelope.MaxOverhead,
        },
        Ice = client
            ? session.Ice with
            {
                Pacing = TimeSpan.FromMilliseconds(20),
                InitialRto = TimeSpan.FromMilliseconds(100),
                MaxRto = TimeSpan.FromMilliseconds(400),
                NominationDelay = TimeSpan.FromMilliseconds(40),
                ConsentInterval = cutAfter / 4,
                DisconnectedAfter = cutAfter,
                FailedAfter = cutAfter * 3,
            }
            : session.Ice with { DisconnectedAfter = cutAfter * 2, FailedAfter = cutAfter * 5 },
    };

    /// <summary>The formats as two sessions with these options agree on them.</summary>
    public static RelayFormats Of(RtcSessionOptions session)
    {
        TimeSpan any = TimeSpan.FromSeconds(1);
        var nobody = new Nobody();
        using var client = new RtcSession(Options(session, client: true, any), nobody);
        using var server = new RtcSession(Options(session, client: false, any), nobody);
        RtcMedia audio = client.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
        RtcMedia video = client.AddMedia(MediaKind.Video, MediaDirection.RecvOnly);
        string offer = client.CreateOffer(Instant.Zero);
        if (!server.TrySetRemoteOffer(Instant.Zero, offer, out string? error)
            || !client.TrySetRemoteAnswer(Instant.Zero, server.CreateAnswer(Instant.Zero), out error))
        {
            throw new InvalidOperationException($"The nodes' own formats do not match: {error}");
        }

        return new RelayFormats(new(audio.Codecs, audio.HeaderExtensions), new(video.Codecs, video.HeaderExtensions));
    }

    private sealed class Nobody : IRtcSessionObserver
    {
        public void OnSend(in TransportPath path, ReadOnlySpan<byte> datagram)
        {
        }

        public void OnStateChanged(RtcSessionState state)
        {
        }

        public void OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival)
        {
        }
    }
}
