using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Sctp;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc;

/// <summary>The transport: ICE finds a path, DTLS keys SRTP and carries SCTP.</summary>
public sealed partial class RtcSession
{
    private readonly IceAgent _ice;
    private readonly DtlsTransport _dtls;
    private DtlsRole? _dtlsRole;
    private IReadOnlyList<DtlsFingerprint> _remoteFingerprints = [];
    private bool _dtlsStarted;
    private bool _closing;
    private TransportPath? _validatedPath;
    private SrtpSender? _srtpOut;
    private SrtpReceiver? _srtpIn;
    private DataChannelManager? _data;
    private bool _dataStarted;
    private ushort _remoteSctpPort = 5000;

    private TransportPath _mediaPath;
    private bool _canSendMedia;

    internal bool CanSendMedia => _canSendMedia;

    /// <summary>The path media takes, without a copy; meaningful while an m-section can send.</summary>
    public ref readonly TransportPath MediaPath => ref _mediaPath;

    /// <summary>Adds a candidate of this host: what a server listens on, or what a client gathered.</summary>
    public void AddLocalCandidate(IceCandidate candidate) => _ice.AddLocalCandidate(candidate);

    /// <summary>Takes back a local address, e.g. of an interface that went down.</summary>
    public void RemoveLocalCandidate(Instant now, in TransportAddress address)
    {
        _now = now;
        _ice.RemoveLocalCandidate(now, address);
        UpdateState();
    }

    /// <summary>Takes a trickled candidate of the peer.</summary>
    /// <param name="candidate">Value of an SDP candidate attribute ("candidate:…"); null or empty for the end of candidates.</param>
    /// <returns>False where it is malformed or of no use (a TCP or mDNS one, too many); nothing else happens then.</returns>
    public bool TryAddRemoteCandidate(Instant now, string? candidate)
    {
        _now = now;
        if (_closed)
            return false;
        if (string.IsNullOrEmpty(candidate))
        {
            _ice.EndOfCandidates(now);
            return true;
        }

        return IceCandidate.TryParse(candidate, out IceCandidate? parsed) && _ice.AddRemoteCandidate(now, parsed);
    }

    /// <summary>Restarts ICE with the next offer (client side); media goes on over the old path until a new one is found.</summary>
    public void RestartIce(Instant now)
    {
        _now = now;
        if (!_closed)
            _ice.Restart(now);
        UpdateState();
    }

    /// <summary>
    /// Opens a data channel. It connects as soon as the session does; a client that has no data m-section yet must offer
    /// again.
    /// </summary>
    public RtcDataChannel CreateDataChannel(Instant now, string label, DataChannelOptions? options = null)
    {
        _now = now;
        return Data().Create(now, label, options);
    }

    private DtlsTransport MakeDtls() => new(
        new DtlsTransportOptions
        {
            Certificate = _options.Certificate,
            Executor = _options.DtlsExecutor,
            Wake = _options.Wake,
            SrtpProfiles = _options.SrtpProfiles,
            HandshakeTimeout = _options.DtlsHandshakeTimeout,
        },
        new DtlsEvents(this));

    private DataChannelManager Data() => _data ??= new DataChannelManager(
        new SctpOptions
        {
            MaxMessageSize = _options.Limits.MaxMessageSize,
            ReceiveBuffer = Math.Max(new SctpOptions().ReceiveBuffer, _options.Limits.MaxMessageSize * 2),
            Random = bytes => _options.Random.GetBytes(bytes),

            // ICE watches the path, at both ends: heartbeats would tell nothing new.
            HeartbeatInterval = null,
        },
        new DataEvents(this));

    /// <summary>True where RTP and RTCP from a path are to be looked at; counts the drop otherwise.</summary>
    private bool AcceptsMedia(in TransportPath path)
    {
        if (_srtpIn is null)
        {
            Statistics.Drop(RtcDropReason.NoKeysYet);
            return false;
        }

        if (_ice.SelectedPath != path && !_ice.IsValidated(path))
        {
            Statistics.Drop(RtcDropReason.UnvalidatedAddress);
            return false;
        }

        return true;
    }

    private void ReceiveDtls(Instant now, in TransportPath path, ReadOnlySpan<byte> datagram)
    {
        if (!_ice.IsValidated(path))
        {
            Statistics.Drop(RtcDropReason.UnvalidatedAddress);
            return;
        }

        _validatedPath = path;
        StartDtls(now);
        if (!_dtlsStarted)
        {
            Statistics.Drop(RtcDropReason.NoKeysYet);
            return;
        }

        long before = DtlsRefusals;
        _dtls.Receive(now, datagram);
        if (DtlsRefusals != before)
            Statistics.Drop(RtcDropReason.DtlsRefused);
    }

    private long DtlsRefusals =>
        _dtls.Counters.MalformedRecords + _dtls.Counters.UnexpectedRecords + _dtls.Counters.DiscardedRecords;

    /// <summary>Starts the handshake once a path is there and both descriptions are known.</summary>
    private void StartDtls(Instant now)
    {
        if (_dtlsStarted || _closed || _dtlsRole is not DtlsRole role || _remoteFingerprints.Count == 0)
            return;
        if (_ice.SelectedPath is null && _validatedPath is null)
            return;
        _dtlsStarted = true;
        _dtls.Start(now, role, _remoteFingerprints);
    }

    private void StartData(Instant now)
    {
        if (_dataStarted || _srtpOut is null || _closed || !HasDataSection)
            return;
        _dataStarted = true;
        Data().Start(now, _dtlsRole == DtlsRole.Client, _remoteSctpPort);
    }

    private void UpdateMediaPath(TransportPath? path)
    {
        _mediaPath = path ?? default;
        _canSendMedia = path is not null && _srtpOut is not null && !_closed;
    }

    private void SendDatagram(in TransportPath path, ReadOnlySpan<byte> datagram)
    {
        Statistics.DatagramsSent++;
        Statistics.BytesSent += datagram.Length;
        _observer.OnSend(path, datagram);
    }

    private sealed class IceEvents(RtcSession session) : IIceObserver
    {
        public void OnSend(in TransportPath path, ReadOnlySpan<byte> datagram) => session.SendDatagram(path, datagram);

        // The session's own state follows at the end of the call that brought this about.
        public void OnStateChanged(IceState state)
        {
        }

        public void OnSelectedPathChanged(TransportPath? path)
        {
            session.UpdateMediaPath(path);
            if (path is TransportPath selected && !session._closed)
            {
                session._observer.OnPathChanged(selected);
                session.StartDtls(session._now);
            }
        }

        public void OnPathValidated(in TransportPath path)
        {
            if (session._closed)
                return;
            session._validatedPath ??= path;
            session.StartDtls(session._now);
        }

        public void OnPathExpired(in TransportPath path)
        {
            if (session._validatedPath == path)
                session._validatedPath = null;
        }

        public void OnLocalUfragRetired(string ufrag) => session._observer.OnLocalUfragRetired(ufrag);
    }

    private sealed class DtlsEvents(RtcSession session) : IDtlsObserver
    {
        public void OnDtlsSend(ReadOnlySpan<byte> datagram)
        {
            // Before the peer nominates, the answer goes where the peer's DTLS came from; that address is validated.
            if ((session._ice.SelectedPath ?? session._validatedPath) is TransportPath path)
                session.SendDatagram(path, datagram);
        }

        public void OnDtlsConnected(SrtpKeyingMaterial keys)
        {
            session._srtpOut = keys.CreateSender();
            session._srtpIn = keys.CreateReceiver();
            session.UpdateMediaPath(session._ice.SelectedPath);
            session.StartMedia(session._now);
            session.StartData(session._now);
        }

        public void OnDtlsData(ReadOnlySpan<byte> data) => session._data?.Receive(session._now, data);

        public void OnDtlsClosed(DtlsCloseReason reason)
        {
            if (session._closed || session._closing)
                return;
            if (session._srtpOut is not null)
            {
                // An established association ends by the peer's close_notify or alert, both authentic.
                session.Failure = RtcSessionFailure.ClosedByPeer;
                session._data?.Close(session._now);
                session.Shut();
                return;
            }

            session.Failure = reason == DtlsCloseReason.FingerprintMismatch
                ? RtcSessionFailure.FingerprintMismatch
                : RtcSessionFailure.DtlsHandshake;
        }
    }

    private sealed class DataEvents(RtcSession session) : IDataChannelObserver
    {
        public void OnSctpPacket(ReadOnlySpan<byte> packet) => session._dtls.Send(session._now, packet);

        public void OnDataChannelOpened(Instant now, RtcDataChannel channel) => session._observer.OnDataChannelOpened(channel);

        public void OnDataChannelMessage(Instant now, RtcDataChannel channel, ReadOnlySpan<byte> data, bool isText) =>
            session._observer.OnDataChannelMessage(channel, data, isText);

        public void OnDataChannelClosed(Instant now, RtcDataChannel channel) => session._observer.OnDataChannelClosed(channel);

        public void OnBufferedAmountLow(Instant now, RtcDataChannel channel) => session._observer.OnBufferedAmountLow(channel);
    }
}
