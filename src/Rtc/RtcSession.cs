using System.Security.Cryptography;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Sctp;
using Transcribe.Rtc.Stun;

namespace Transcribe.Rtc;

/// <summary>
/// One WebRTC peer connection, sans-IO: offer and answer, ICE, DTLS, SRTP, RTP, RTCP and data channels over one bundled
/// transport. All calls come from one thread; datagrams, events and the next deadline come out through the observer
/// and <see cref="NextTimeout"/>. A server answers offers and is usually ICE-lite; a client makes them.
/// </summary>
public sealed partial class RtcSession : IDisposable
{
    private readonly RtcSessionOptions _options;
    private readonly IRtcSessionObserver _observer;
    private readonly List<RtcMedia> _media = [];
    private Instant _now;
    private bool _closed;
    private bool _disposed;

    /// <exception cref="ArgumentException">An option is out of range; the message names it.</exception>
    public RtcSession(RtcSessionOptions options, IRtcSessionObserver observer)
    {
        options.Validate();
        _options = options;
        _observer = observer;
        Statistics = new RtcSessionStatistics(options.DropTotals);
        _ice = new IceAgent(
            options.Ice with
            {
                IceLite = options.IceLite,
                MaxRemoteCandidates = options.Limits.MaxRemoteCandidates,
            },
            new IceEvents(this));
        _dtls = MakeDtls();
        NtpClock = new NtpClock(Instant.Zero, NtpTimestamp.From(options.WallClockAtZero));
        Cname = options.Cname ?? Convert.ToBase64String(RandomBytes(12));
        _cname = System.Text.Encoding.UTF8.GetBytes(Cname);
        _rtcpSsrc = NewSsrc();
        _sdpSessionId = BitConverter.ToUInt64(RandomBytes(8)) & (ulong.MaxValue >> 2);
        (_offerAudio, _offerVideo) = NumberOwnCodecs();
    }

    /// <summary>State of the connection; changes are told by <see cref="IRtcSessionObserver.OnStateChanged"/>.</summary>
    public RtcSessionState State { get; private set; }

    /// <summary>Why the session failed or was closed by the peer.</summary>
    public RtcSessionFailure Failure { get; private set; }

    /// <summary>
    /// Our ICE user name fragment, by which a server finds the session of a STUN check. Read it again after each
    /// description; the former one stays in use until <see cref="IRtcSessionObserver.OnLocalUfragRetired"/>.
    /// </summary>
    public string LocalUfrag => _ice.LocalCredentials.Ufrag;

    /// <summary>The path media takes; null while there is none.</summary>
    public TransportPath? SelectedPath => _ice.SelectedPath;

    /// <summary>RTCP canonical name of what we send.</summary>
    public string Cname { get; }

    /// <summary>The m-sections of audio and video, in the order of the descriptions; stopped ones included until recycled.</summary>
    public IReadOnlyList<RtcMedia> Media => _media;

    /// <summary>Data channels that are not closed.</summary>
    public IReadOnlyCollection<RtcDataChannel> DataChannels => _data?.Channels ?? [];

    /// <summary>True where the peer can open data channels, and we can: both descriptions have the m-section.</summary>
    public bool HasDataSection => _sections.Any(s => s is { IsData: true, Rejected: false });

    /// <summary>Counters.</summary>
    public RtcSessionStatistics Statistics { get; }

    /// <summary>Round-trip time from RTCP, else from ICE; null while neither is known.</summary>
    public TimeSpan? RoundTripTime => _roundTrip ?? _ice.RoundTripTime;

    /// <summary>
    /// When <see cref="HandleTimeout"/> has something to do; <see cref="Instant.Never"/> for nothing. May lie in the
    /// past after a call that made work. Cheap to read.
    /// </summary>
    public Instant NextTimeout
    {
        get
        {
            if (_closed)
                return Instant.Never;
            Instant next = Instant.Min(_ice.NextTimeout, _dtlsStarted ? _dtls.NextTimeout : Instant.Never);
            if (_data is not null)
                next = Instant.Min(next, _data.NextTimeout);
            return _srtpOut is null ? next : Instant.Min(next, _nextMediaTimeout);
        }
    }

    internal NtpClock NtpClock { get; }

    /// <summary>Takes a datagram of any protocol. Decrypts in place: the bytes are changed.</summary>
    public void Receive(Instant now, in TransportPath path, Span<byte> datagram)
    {
        _now = now;
        Statistics.DatagramsReceived++;
        Statistics.BytesReceived += datagram.Length;
        if (_closed)
        {
            Statistics.Drop(RtcDropReason.Closed);
            return;
        }

        switch (DatagramClassifier.Classify(datagram))
        {
            case DatagramKind.Rtp when AcceptsMedia(path):
                ReceiveRtp(now, datagram);
                break;
            case DatagramKind.Rtcp when AcceptsMedia(path):
                ReceiveRtcp(now, datagram);
                break;
            case DatagramKind.Rtp or DatagramKind.Rtcp:
                break;
            case DatagramKind.Stun:
                if (!_ice.Receive(now, path, datagram))
                    Statistics.Drop(RtcDropReason.StunRefused);
                break;
            case DatagramKind.Dtls:
                ReceiveDtls(now, path, datagram);
                break;
            default:
                Statistics.Drop(RtcDropReason.NotAProtocol);
                break;
        }

        UpdateState();
    }

    /// <summary>Does what is due. Early calls do no harm.</summary>
    public void HandleTimeout(Instant now)
    {
        _now = now;
        if (_closed)
            return;
        if (_ice.NextTimeout <= now)
            _ice.HandleTimeout(now);
        if (!_closed && _dtlsStarted && _dtls.NextTimeout <= now)
            _dtls.HandleTimeout(now);
        if (!_closed && _data is not null && _data.NextTimeout <= now)
            _data.HandleTimeout(now);
        if (!_closed && _srtpOut is not null && _nextMediaTimeout <= now)
            HandleMediaTimeout(now);
        UpdateState();
    }

    /// <summary>Collects what the DTLS handshake's thread produced; call after <see cref="RtcSessionOptions.Wake"/>.</summary>
    public void Poll(Instant now)
    {
        _now = now;
        if (!_closed && _dtlsStarted)
            _dtls.Poll(now);
        UpdateState();
    }

    /// <summary>
    /// Ends the session: RTCP BYE, SCTP abort, DTLS close_notify, so that the peer sees it at once. Everything received
    /// later is dropped.
    /// </summary>
    public void Close(Instant now)
    {
        _now = now;
        if (_closed)
            return;
        SendGoodbye(now);
        _data?.Close(now);
        _closing = true;
        if (_dtlsStarted)
            _dtls.Close(now);
        Shut();
    }

    /// <summary>Frees the session without telling the peer; <see cref="Close"/> first where it should know.</summary>
    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _closed = true;
        _canSendMedia = false;
        _dtls.Dispose();
        _srtpIn?.Dispose();
        _srtpOut?.Dispose();
    }

    internal byte[] RandomBytes(int count)
    {
        byte[] bytes = new byte[count];
        _options.Random.GetBytes(bytes);
        return bytes;
    }

    /// <summary>A random SSRC that no stream of the session uses.</summary>
    internal uint NewSsrc()
    {
        while (true)
        {
            uint ssrc = BitConverter.ToUInt32(RandomBytes(4));
            if (ssrc is not 0 && ssrc != _rtcpSsrc && !_streams.ContainsKey(ssrc) && !_sending.ContainsKey(ssrc))
                return ssrc;
        }
    }

    private void Shut()
    {
        if (_closed)
            return;
        _closed = true;
        _canSendMedia = false;
        _ice.Close();
        State = RtcSessionState.Closed;
        _observer.OnStateChanged(State);
    }

    private void UpdateState()
    {
        if (_closed)
            return;
        RtcSessionState state = _ice.State switch
        {
            _ when Failure is RtcSessionFailure.DtlsHandshake or RtcSessionFailure.FingerprintMismatch => RtcSessionState.Failed,
            IceState.New => _hasRemoteDescription ? RtcSessionState.Connecting : RtcSessionState.New,
            IceState.Connected when _srtpOut is not null => RtcSessionState.Connected,
            IceState.Disconnected when _srtpOut is not null => RtcSessionState.Disconnected,
            IceState.Failed => RtcSessionState.Failed,
            _ => RtcSessionState.Connecting,
        };
        if (state == State)
            return;
        if (state == RtcSessionState.Failed && Failure == RtcSessionFailure.None)
            Failure = RtcSessionFailure.IceTimeout;
        else if (state != RtcSessionState.Failed && Failure == RtcSessionFailure.IceTimeout)
            Failure = RtcSessionFailure.None;
        State = state;
        _observer.OnStateChanged(state);
    }
}
