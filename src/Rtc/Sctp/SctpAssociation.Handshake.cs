using System.Buffers.Binary;

namespace Transcribe.Rtc.Sctp;

/// <content>INIT, INIT ACK, COOKIE ECHO, COOKIE ACK (RFC 9260, section 5).</content>
public sealed partial class SctpAssociation
{
    private Instant _initTimer = Instant.Never;
    private TimeSpan _initRto;
    private int _initTries;
    private byte[] _cookie = [];

    private readonly record struct PeerFeatures(bool ForwardTsn, bool Reconfig);

    private void SendInit()
    {
        Span<byte> value = stackalloc byte[64];
        int size = WriteInitFixed(value, _localTag, _localInitialTsn);
        Span<byte> to = AppendAlone(SctpChunkType.Init, 0, size, 0);
        value[..size].CopyTo(to);
        FlushPacket();
    }

    private int WriteInitFixed(Span<byte> to, uint tag, uint tsn)
    {
        BinaryPrimitives.WriteUInt32BigEndian(to, tag);
        BinaryPrimitives.WriteUInt32BigEndian(to[4..], (uint)_options.ReceiveBuffer);
        BinaryPrimitives.WriteUInt16BigEndian(to[8..], _options.MaxStreams);
        BinaryPrimitives.WriteUInt16BigEndian(to[10..], _options.MaxStreams);
        BinaryPrimitives.WriteUInt32BigEndian(to[12..], tsn);
        int size = InitChunk.FixedSize;
        ReadOnlySpan<byte> extensions = [(byte)SctpChunkType.Reconfig, (byte)SctpChunkType.ForwardTsn];
        size += SctpPacketWriter.WriteParameter(to[size..], (ushort)SctpParameterType.SupportedExtensions, extensions);
        size += SctpPacketWriter.WriteParameter(to[size..], (ushort)SctpParameterType.ForwardTsnSupported, []);
        return size;
    }

    private void OnInit(ReadOnlySpan<byte> value)
    {
        if (State == SctpState.ShutdownAckSent)
        {
            SendShutdownAck();
            return;
        }

        if (!InitChunk.TryRead(value, out InitChunk init) || init.InitiateTag == 0)
        {
            Statistics.DroppedMalformed++;
            return;
        }

        if (init.OutboundStreams == 0 || init.InboundStreams == 0)
        {
            Statistics.DroppedMalformed++;
            WriteCause(AppendAlone(SctpChunkType.Abort, 0, Tlv.HeaderSize, init.InitiateTag), SctpCause.InvalidParameter);
            FlushPacket();
            return;
        }

        // Before the handshake is done our side of a collision keeps its tag and TSN; later an INIT may be a restart.
        bool collides = State is SctpState.CookieWait or SctpState.CookieEchoed;
        bool exists = State is not (SctpState.Closed or SctpState.CookieWait);
        Span<byte> reply = stackalloc byte[512];
        Span<byte> unknown = stackalloc byte[256];
        PeerFeatures features = ReadFeatures(init.Parameters, (ushort)SctpParameterType.UnrecognizedParameter, unknown, out int unknownSize);
        var cookie = new StateCookie
        {
            Created = _now,
            LocalTag = collides ? _localTag : NewTag(),
            PeerTag = init.InitiateTag,
            LocalInitialTsn = collides || State == SctpState.Closed ? _localInitialTsn : RandomUInt32(),
            PeerInitialTsn = init.InitialTsn,
            PeerWindow = init.ReceiverWindow,
            PeerOutboundStreams = init.OutboundStreams,
            PeerInboundStreams = init.InboundStreams,
            LocalTieTag = exists ? _localTag : 0,
            PeerTieTag = exists ? _peerTag : 0,
            PeerForwardTsn = features.ForwardTsn,
            PeerReconfig = features.Reconfig,
        };
        int size = WriteInitFixed(reply, cookie.LocalTag, cookie.LocalInitialTsn);
        Span<byte> written = stackalloc byte[StateCookie.Size];
        cookie.Write(written, _secret);
        size += SctpPacketWriter.WriteParameter(reply[size..], (ushort)SctpParameterType.StateCookie, written);
        unknown[..unknownSize].CopyTo(reply[size..]);
        size += unknownSize;
        reply[..size].CopyTo(AppendAlone(SctpChunkType.InitAck, 0, size, init.InitiateTag));
        FlushPacket();
    }

    private void OnInitAck(ReadOnlySpan<byte> value)
    {
        if (State != SctpState.CookieWait)
            return;
        if (!InitChunk.TryRead(value, out InitChunk init) || init.InitiateTag == 0 || init.OutboundStreams == 0 || init.InboundStreams == 0)
        {
            Statistics.DroppedMalformed++;
            return;
        }

        ReadOnlySpan<byte> rest = init.Parameters;
        scoped ReadOnlySpan<byte> cookie = default;
        while (SctpParameter.TryRead(ref rest, out SctpParameter parameter))
        {
            if (parameter.Type == SctpParameterType.StateCookie)
            {
                cookie = parameter.Value;
                break;
            }
        }

        _peerTag = init.InitiateTag;
        if (cookie.IsEmpty || cookie.Length > _packetSize - SctpPacket.HeaderSize - Tlv.HeaderSize)
        {
            AbortNow(SctpCause.MissingParameter, "INIT ACK without a usable state cookie");
            return;
        }

        Span<byte> unknown = stackalloc byte[256];
        PeerFeatures features = ReadFeatures(init.Parameters, null, unknown, out int unknownSize);
        AdoptPeer(init.InitialTsn, init.ReceiverWindow, init.InboundStreams, features);
        _cookie = cookie.ToArray();
        State = SctpState.CookieEchoed;
        _initTries = 0;
        _initRto = _options.RtoInitial;
        SendCookieEcho();
        if (unknownSize > 0)
        {
            // What the peer sent and we do not know is reported after the cookie (section 3.2.2).
            Span<byte> error = Append(SctpChunkType.Error, 0, Tlv.HeaderSize + unknownSize);
            SctpPacketWriter.WriteParameter(error, (ushort)SctpCause.UnrecognizedParameters, unknown[..unknownSize]);
        }

        TransmitData(onePacketOnly: true);
        FlushPacket();
        _initTimer = _now + _initRto;
    }

    private void SendCookieEcho()
    {
        FlushPacket();
        _cookie.CopyTo(Append(SctpChunkType.CookieEcho, 0, _cookie.Length));
    }

    /// <returns>False if the rest of the packet is to be dropped.</returns>
    private bool OnCookieEcho(ReadOnlySpan<byte> value, uint tag)
    {
        if (!StateCookie.TryRead(value, _secret, out StateCookie cookie) || cookie.LocalTag != tag)
        {
            Statistics.DroppedBadCookies++;
            return false;
        }

        bool sameLocal = cookie.LocalTag == _localTag;
        bool samePeer = cookie.PeerTag == _peerTag;
        bool exists = State != SctpState.Closed;
        if (_now - cookie.Created > _options.CookieLifetime && !(exists && sameLocal && samePeer))
        {
            Statistics.DroppedBadCookies++;
            Span<byte> staleness = stackalloc byte[4];
            TimeSpan over = _now - cookie.Created - _options.CookieLifetime;
            BinaryPrimitives.WriteUInt32BigEndian(staleness, (uint)Math.Min(uint.MaxValue, over.TotalMicroseconds));
            SctpPacketWriter.WriteParameter(
                AppendAlone(SctpChunkType.Error, 0, Tlv.HeaderSize + 4, cookie.PeerTag), (ushort)SctpCause.StaleCookie, staleness);
            FlushPacket();
            return false;
        }

        // The table of RFC 9260, section 5.2.4.
        if (exists && !sameLocal && !samePeer)
        {
            if (cookie.LocalTieTag != _localTag || cookie.PeerTieTag != _peerTag || cookie.LocalTieTag == 0)
            {
                Statistics.DroppedBadCookies++;
                return false;
            }

            if (State == SctpState.ShutdownAckSent)
            {
                SendShutdownAck();
                WriteCause(Append(SctpChunkType.Error, 0, Tlv.HeaderSize), SctpCause.CookieWhileShuttingDown);
                return false;
            }

            Restart(cookie);
            return !_terminated;
        }

        if (exists && !sameLocal)
        {
            Statistics.DroppedBadCookies++;
            return false; // action C: a cookie of an earlier try that arrives late
        }

        if (!exists || !samePeer)
        {
            if (State is not (SctpState.Closed or SctpState.CookieWait or SctpState.CookieEchoed))
            {
                Statistics.DroppedBadCookies++;
                return false;
            }

            // A new association, or action B: the peer's INIT won the collision.
            _localTag = cookie.LocalTag;
            _peerTag = cookie.PeerTag;
            AdoptPeer(
                cookie.PeerInitialTsn, cookie.PeerWindow, cookie.PeerInboundStreams,
                new(cookie.PeerForwardTsn, cookie.PeerReconfig));
        }

        FlushPacket();
        Append(SctpChunkType.CookieAck, 0, 0);
        if (State is SctpState.Closed or SctpState.CookieWait or SctpState.CookieEchoed)
            Establish();
        return !_terminated;
    }

    private void OnCookieAck()
    {
        if (State == SctpState.CookieEchoed)
            Establish();
    }

    private void Establish()
    {
        State = SctpState.Established;
        _initTimer = Instant.Never;
        _cookie = [];
        _errors = 0;
        _heartbeatTimer = NextHeartbeat;
        if (_outstanding.Count > 0)
            _t3Timer = _now + _rto.Rto;
        _observer.OnConnected(_now);
    }

    /// <summary>The peer lost its state and began anew, with our cookie as proof (action A).</summary>
    private void Restart(in StateCookie cookie)
    {
        _outstanding.Clear();
        _sendQueue.Clear();
        _reassembly.ResetAll();
        _localTag = cookie.LocalTag;
        _peerTag = cookie.PeerTag;
        _localInitialTsn = cookie.LocalInitialTsn;
        _sendQueue = new();
        _outstanding = new(_localInitialTsn, _sendQueue);
        _congestion = NewCongestionControl();
        _rto = new(_options);
        ClearResets();
        ClearTimers();
        AdoptPeer(
            cookie.PeerInitialTsn, cookie.PeerWindow, cookie.PeerInboundStreams, new(cookie.PeerForwardTsn, cookie.PeerReconfig));
        State = SctpState.Established;
        _errors = 0;
        _heartbeatPending = false;
        _heartbeatTimer = NextHeartbeat;
        FlushPacket();
        Append(SctpChunkType.CookieAck, 0, 0);
        _observer.OnRestarted(_now);
    }

    private void AdoptPeer(uint initialTsn, uint window, ushort inboundStreams, PeerFeatures features)
    {
        _received = new(initialTsn - 1);
        _reassembly.ResetAll();
        _peerWindow = window;
        _outboundStreams = Math.Min(_options.MaxStreams, inboundStreams);
        _outstanding.PartialReliability = features.ForwardTsn;
        _peerReconfig = features.Reconfig;
        _reconfigNext = _localInitialTsn;
        _peerReconfigNext = initialTsn;
        _sack = SackNeed.None;
        _sackTimer = Instant.Never;
        _dataPackets = 0;
    }

    private void OnInitTimer()
    {
        _initTries++;
        if (_options.MaxInitRetransmissions is { } most && _initTries > most)
        {
            Terminate("the peer does not answer");
            return;
        }

        _initRto = _initRto * 2 > _options.RtoMax ? _options.RtoMax : _initRto * 2;
        _initTimer = _now + _initRto;
        if (State == SctpState.CookieWait)
        {
            SendInit();
            return;
        }

        SendCookieEcho();
        _outstanding.MarkAllLost(_now);
        TransmitData(onePacketOnly: true);
        FlushPacket();
    }

    private void OnError(ReadOnlySpan<byte> value)
    {
        if (State != SctpState.CookieEchoed)
            return;
        while (Tlv.TryRead(ref value, out ushort cause, out _))
        {
            if (cause == (ushort)SctpCause.StaleCookie)
            {
                State = SctpState.CookieWait;
                _peerTag = 0;
                _outstanding.MarkAllLost(_now);
                SendInit();
                _initTimer = _now + _initRto;
                return;
            }
        }
    }

    /// <summary>Reads what the peer can do, and gathers what it wants reported because we do not know it.</summary>
    /// <param name="wrapAs">Type of the parameter that each unknown one is put into; null to put them side by side.</param>
    private static PeerFeatures ReadFeatures(ReadOnlySpan<byte> parameters, ushort? wrapAs, Span<byte> unknown, out int unknownSize)
    {
        bool forwardTsn = false;
        bool reconfig = false;
        unknownSize = 0;
        ReadOnlySpan<byte> rest = parameters;
        while (SctpParameter.TryRead(ref rest, out SctpParameter parameter))
        {
            switch (parameter.Type)
            {
                case SctpParameterType.ForwardTsnSupported:
                    forwardTsn = true;
                    break;
                case SctpParameterType.SupportedExtensions:
                    forwardTsn |= parameter.Value.Contains((byte)SctpChunkType.ForwardTsn);
                    reconfig |= parameter.Value.Contains((byte)SctpChunkType.Reconfig);
                    break;
                case SctpParameterType.IPv4Address or SctpParameterType.IPv6Address or SctpParameterType.StateCookie
                    or SctpParameterType.UnrecognizedParameter or SctpParameterType.CookiePreservative
                    or SctpParameterType.HostName or SctpParameterType.SupportedAddressTypes:
                    break;
                default:
                    ushort type = (ushort)parameter.Type;
                    int size = Tlv.HeaderSize + Tlv.Pad(parameter.Value.Length) + (wrapAs is null ? 0 : Tlv.HeaderSize);
                    if ((type & 0x4000) != 0 && unknownSize + size <= unknown.Length)
                    {
                        Span<byte> to = unknown[unknownSize..];
                        if (wrapAs is { } wrapper)
                        {
                            BinaryPrimitives.WriteUInt16BigEndian(to, wrapper);
                            BinaryPrimitives.WriteUInt16BigEndian(to[2..], (ushort)((2 * Tlv.HeaderSize) + parameter.Value.Length));
                            to = to[Tlv.HeaderSize..];
                        }

                        SctpPacketWriter.WriteParameter(to, type, parameter.Value);
                        unknownSize += size;
                    }

                    if ((type & 0x8000) == 0)
                        return new(forwardTsn, reconfig);
                    break;
            }
        }

        return new(forwardTsn, reconfig);
    }

    private static void WriteCause(Span<byte> to, SctpCause cause) => SctpPacketWriter.WriteParameter(to, (ushort)cause, []);
}
