using System.Buffers.Binary;

namespace Transcribe.Rtc.Sctp;

/// <summary>
/// One SCTP association over a datagram transport that is already secured (RFC 9260 with RFC 3758, RFC 6525 and RFC 7053,
/// as RFC 8831 profiles them): one path, no address management. Sans-IO: packets and instants go in, packets and events
/// come out through <see cref="ISctpObserver"/>. Not thread-safe.
/// </summary>
public sealed partial class SctpAssociation : Reassembly.IReceiver
{
    private readonly SctpOptions _options;
    private readonly ISctpObserver _observer;
    private readonly int _packetSize;
    private readonly SctpPacketWriter _writer;
    private readonly List<ushort> _toldLow = [];
    private readonly byte[] _secret = new byte[32];

    private SendQueue _sendQueue = new();
    private RetransmissionQueue _outstanding;
    private CongestionControl _congestion;
    private RtoEstimator _rto;
    private ReceiveTracker _received = new(0);
    private readonly Reassembly _reassembly;

    private uint _localTag;
    private uint _peerTag;
    private uint _localInitialTsn;
    private ushort _outboundStreams;
    private bool _peerReconfig;
    private bool _terminated;
    private int _depth;
    private int _errors;
    private Instant _now;

    private Instant _heartbeatTimer = Instant.Never;
    private uint _heartbeatNonce;
    private bool _heartbeatPending;

    /// <param name="options">Validated here.</param>
    /// <param name="observer">Gets packets and events.</param>
    public SctpAssociation(SctpOptions options, ISctpObserver observer)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _options = options;
        _observer = observer;
        _packetSize = options.MaxPacketSize & ~3;
        _writer = new(_packetSize);
        RemotePort = options.RemotePort;
        options.Random(_secret);
        _reassembly = new(options.MaxMessageSize, this);
        _rto = new(options);
        _congestion = NewCongestionControl();
        _localInitialTsn = RandomUInt32();
        _outstanding = new(_localInitialTsn, _sendQueue);
        _outboundStreams = options.MaxStreams;
        _reconfigNext = _localInitialTsn;
    }

    public SctpState State { get; private set; }

    /// <summary>True once the association is over; it is not used again.</summary>
    public bool IsTerminated => _terminated;

    /// <summary>When <see cref="HandleTimeout"/> must be called; <see cref="Instant.Never"/> if it need not.</summary>
    public Instant NextTimeout { get; private set; } = Instant.Never;

    public SctpStatistics Statistics { get; } = new();

    /// <summary>The peer's SCTP port ("a=sctp-port" of its SDP); set before <see cref="Connect"/>.</summary>
    public ushort RemotePort { get; set; }

    /// <summary>Largest message the peer takes, in bytes ("a=max-message-size" of its SDP); 0 is without limit.</summary>
    public int RemoteMaxMessageSize { get; set; } = 65536;

    /// <summary>Bytes of all messages held for sending, until acknowledged.</summary>
    public int BufferedAmount => _sendQueue.HeldBytes;

    /// <summary>Streams we may send on: ids 0 to this less one.</summary>
    public int OutboundStreams => _outboundStreams;

    /// <summary>Bytes of incomplete messages held; bounded by <see cref="SctpOptions.ReceiveBuffer"/> and one message.</summary>
    internal int ReceiveHeldBytes => _reassembly.HeldBytes;

    internal int CongestionWindow => _congestion.Window;

    /// <summary>Smoothed round-trip time; zero before the first measurement.</summary>
    public TimeSpan RoundTripTime => _rto.SmoothedRtt;

    /// <summary>Sends INIT. In WebRTC both sides do; the collision is resolved (RFC 9260, section 5.2.1). No effect unless closed and new.</summary>
    public void Connect(Instant now)
    {
        if (State != SctpState.Closed || _terminated)
            return;
        Enter(now);
        _localTag = NewTag();
        State = SctpState.CookieWait;
        _initTries = 0;
        _initRto = _options.RtoInitial;
        SendInit();
        _initTimer = now + _initRto;
        Leave();
    }

    /// <summary>Takes one packet from the peer. Anything may be in it.</summary>
    public void Receive(Instant now, ReadOnlySpan<byte> packet)
    {
        Statistics.PacketsReceived++;
        if (!SctpPacket.TryRead(packet, out SctpPacket parsed))
        {
            Statistics.DroppedMalformed++;
            return;
        }

        if (!Crc32c.Verify(packet))
        {
            Statistics.DroppedBadChecksum++;
            return;
        }

        if (parsed.SourcePort != RemotePort || parsed.DestinationPort != _options.LocalPort)
        {
            Statistics.DroppedNotOurs++;
            return;
        }

        ReadOnlySpan<byte> peek = parsed.Chunks;
        if (!SctpChunk.TryRead(ref peek, out SctpChunk first))
        {
            Statistics.DroppedMalformed++;
            return;
        }

        Enter(now);
        if (_terminated)
            AnswerAfterEnd(first.Type, parsed.VerificationTag);
        else if (AcceptsTag(parsed.VerificationTag, first))
            HandleChunks(parsed);
        else
            Statistics.DroppedNotOurs++;
        Leave();
    }

    /// <summary>Call at or after <see cref="NextTimeout"/>; earlier calls do nothing.</summary>
    public void HandleTimeout(Instant now)
    {
        if (NextTimeout > now)
            return;
        Enter(now);
        if (_initTimer <= now)
            OnInitTimer();
        if (_sackTimer <= now)
            _sack = SackNeed.Immediate;
        if (_t3Timer <= now)
            OnT3Timer();
        if (_reconfigTimer <= now)
            OnReconfigTimer();
        if (_shutdownTimer <= now)
            OnShutdownTimer();
        if (_heartbeatTimer <= now)
            OnHeartbeatTimer();
        Leave();
    }

    /// <summary>
    /// Takes a message to send. It may be given before the association is established, once <see cref="Connect"/> was
    /// called. Messages of one stream keep their order unless unordered.
    /// </summary>
    public SctpSendStatus Send(
        Instant now, ushort streamId, uint payloadProtocolId, ReadOnlySpan<byte> message, SctpDelivery delivery = default) =>
        Enqueue(now, streamId, payloadProtocolId, message, delivery, isControl: false);

    /// <summary>Like <see cref="Send"/>, reliable and beyond the send buffer's size.</summary>
    internal SctpSendStatus SendControl(Instant now, ushort streamId, uint payloadProtocolId, ReadOnlySpan<byte> message) =>
        Enqueue(now, streamId, payloadProtocolId, message, default, isControl: true);

    private SctpSendStatus Enqueue(
        Instant now, ushort streamId, uint payloadProtocolId, ReadOnlySpan<byte> message, SctpDelivery delivery, bool isControl)
    {
        if (_terminated || State is not (SctpState.CookieWait or SctpState.CookieEchoed or SctpState.Established))
            return SctpSendStatus.Closed;
        int limit = RemoteMaxMessageSize > 0 ? Math.Min(RemoteMaxMessageSize, _options.SendBuffer) : _options.SendBuffer;
        if (message.IsEmpty || (message.Length > limit && !isControl))
            return SctpSendStatus.BadSize;
        if (streamId >= _outboundStreams)
            return SctpSendStatus.BadStream;
        if (_resetWanted.Contains(streamId) || _resetRequested.Contains(streamId))
            return SctpSendStatus.StreamResetting;
        if (!isControl && _sendQueue.Charge > 0 && _sendQueue.Charge + message.Length > _options.SendBuffer)
            return SctpSendStatus.BufferFull;
        Enter(now);
        _sendQueue.Enqueue(
            streamId, payloadProtocolId, message, delivery.Unordered, delivery.MaxRetransmits ?? -1,
            delivery.Lifetime is { } lifetime ? now + lifetime : Instant.Never);
        Statistics.MessagesSent++;
        Leave();
        return SctpSendStatus.Queued;
    }

    /// <summary>Bytes of a stream's messages that wait for their first transmission (W3C bufferedAmount).</summary>
    public int GetBufferedAmount(ushort streamId) => _sendQueue.GetBuffered(streamId);

    /// <summary>Bytes at which <see cref="ISctpObserver.OnBufferedAmountLow"/> is told when the amount falls to it.</summary>
    public void SetBufferedAmountLowThreshold(ushort streamId, int bytes) => _sendQueue.SetLowThreshold(streamId, bytes);

    bool Reassembly.IReceiver.Deliver(ushort streamId, uint payloadProtocolId, ReadOnlySpan<byte> message)
    {
        Statistics.MessagesReceived++;
        _observer.OnMessage(_now, streamId, payloadProtocolId, message);
        return !_terminated;
    }

    private CongestionControl NewCongestionControl() =>
        new(_packetSize, _options.InitialCongestionWindow, Math.Max(_options.SendBuffer, 64 * 1024));

    private uint RandomUInt32()
    {
        Span<byte> bytes = stackalloc byte[4];
        _options.Random(bytes);
        return BinaryPrimitives.ReadUInt32BigEndian(bytes);
    }

    private uint NewTag()
    {
        uint tag;
        do
        {
            tag = RandomUInt32();
        }
        while (tag == 0);
        return tag;
    }

    /// <summary>Every public call is between Enter and Leave; what was gathered is sent when the outermost one leaves.</summary>
    private void Enter(Instant now)
    {
        _depth++;
        _now = now;
    }

    private void Leave()
    {
        if (_depth == 1)
        {
            do
            {
                Transmit();
                FlushPacket();
            }
            while (TellLowStreams());
            NextTimeout = _terminated ? Instant.Never : Instant.Min(
                Instant.Min(Instant.Min(_initTimer, _sackTimer), Instant.Min(_t3Timer, _reconfigTimer)),
                Instant.Min(_shutdownTimer, _heartbeatTimer));
        }

        _depth--;
    }

    private bool TellLowStreams()
    {
        List<ushort> low = _sendQueue.LowStreams;
        if (low.Count == 0 || _terminated)
            return false;
        _toldLow.Clear();
        _toldLow.AddRange(low);
        low.Clear();
        foreach (ushort id in _toldLow)
        {
            if (!_terminated)
                _observer.OnBufferedAmountLow(_now, id);
        }

        return !_terminated;
    }

    /// <summary>RFC 9260, section 8.5.</summary>
    private bool AcceptsTag(uint tag, in SctpChunk first)
    {
        bool reflected = (first.Flags & 1) != 0;
        return first.Type switch
        {
            SctpChunkType.Init => tag == 0,
            SctpChunkType.CookieEcho => true, // the cookie tells which tag is right
            SctpChunkType.Abort or SctpChunkType.ShutdownComplete =>
                State != SctpState.Closed && (reflected ? tag == _peerTag && tag != 0 : tag == _localTag),
            SctpChunkType.ShutdownAck when State is SctpState.CookieWait or SctpState.CookieEchoed => true,
            _ => State != SctpState.Closed && tag == _localTag,
        };
    }

    private void HandleChunks(in SctpPacket packet)
    {
        ReadOnlySpan<byte> rest = packet.Chunks;
        bool sawData = false;
        bool isFirst = true;
        while (!rest.IsEmpty && !_terminated)
        {
            if (!SctpChunk.TryRead(ref rest, out SctpChunk chunk))
            {
                Statistics.DroppedMalformed++;
                break;
            }

            // INIT, INIT ACK and SHUTDOWN COMPLETE travel alone (section 6.10); a cookie comes first.
            bool alone = chunk.Type is SctpChunkType.Init or SctpChunkType.InitAck or SctpChunkType.ShutdownComplete;
            if (alone ? !isFirst || rest.Length >= Tlv.HeaderSize : chunk.Type == SctpChunkType.CookieEcho && !isFirst)
            {
                Statistics.DroppedMalformed++;
                break;
            }

            isFirst = false;
            sawData |= chunk.Type == SctpChunkType.Data;
            if (!HandleChunk(chunk, packet.VerificationTag))
                break;
        }

        if (sawData && !_terminated)
            OnDataPacket();
    }

    /// <returns>False if the rest of the packet must not be looked at.</returns>
    private bool HandleChunk(in SctpChunk chunk, uint tag)
    {
        switch (chunk.Type)
        {
            case SctpChunkType.Data:
                return OnData(chunk);
            case SctpChunkType.Init:
                OnInit(chunk.Value);
                return false;
            case SctpChunkType.InitAck:
                OnInitAck(chunk.Value);
                return false;
            case SctpChunkType.Sack:
                OnSack(chunk.Value);
                return true;
            case SctpChunkType.Heartbeat:
                if (State != SctpState.Closed && Tlv.HeaderSize + Tlv.Pad(chunk.Value.Length) <= _packetSize - SctpPacket.HeaderSize)
                    chunk.Value.CopyTo(Append(SctpChunkType.HeartbeatAck, 0, chunk.Value.Length));
                return true;
            case SctpChunkType.HeartbeatAck:
                OnHeartbeatAck(chunk.Value);
                return true;
            case SctpChunkType.Abort:
                Terminate(AbortReason(chunk.Value));
                return false;
            case SctpChunkType.Shutdown:
                OnShutdown(chunk.Value);
                return true;
            case SctpChunkType.ShutdownAck:
                OnShutdownAck(tag);
                return false;
            case SctpChunkType.ShutdownComplete:
                if (State == SctpState.ShutdownAckSent)
                    Terminate("shutdown complete");
                return false;
            case SctpChunkType.Error:
                OnError(chunk.Value);
                return true;
            case SctpChunkType.CookieEcho:
                return OnCookieEcho(chunk.Value, tag);
            case SctpChunkType.CookieAck:
                OnCookieAck();
                return true;
            case SctpChunkType.Reconfig:
                OnReconfig(chunk.Value);
                return true;
            case SctpChunkType.ForwardTsn:
                OnForwardTsn(chunk.Value);
                return true;
            default:
                // The two high bits of a type tell what becomes of it where it is unknown (section 3.2).
                Statistics.DroppedMalformed++;
                if (((byte)chunk.Type & 0x40) != 0 && State != SctpState.Closed)
                    ReportUnknownChunk(chunk);
                return ((byte)chunk.Type & 0x80) != 0;
        }
    }

    private void ReportUnknownChunk(in SctpChunk chunk)
    {
        int room = _packetSize - SctpPacket.HeaderSize - (3 * Tlv.HeaderSize);
        ReadOnlySpan<byte> value = chunk.Value[..Math.Min(chunk.Value.Length, room & ~3)];
        Span<byte> to = Append(SctpChunkType.Error, 0, (2 * Tlv.HeaderSize) + value.Length);
        BinaryPrimitives.WriteUInt16BigEndian(to, (ushort)SctpCause.UnrecognizedChunk);
        BinaryPrimitives.WriteUInt16BigEndian(to[2..], (ushort)to.Length);
        to[4] = (byte)chunk.Type;
        to[5] = chunk.Flags;
        BinaryPrimitives.WriteUInt16BigEndian(to[6..], (ushort)(Tlv.HeaderSize + chunk.Value.Length));
        value.CopyTo(to[8..]);
    }

    private Instant NextHeartbeat => _options.HeartbeatInterval is TimeSpan interval ? _now + interval : Instant.Never;

    private void OnHeartbeatTimer()
    {
        if (State is not (SctpState.Established or SctpState.ShutdownPending or SctpState.ShutdownReceived))
        {
            _heartbeatTimer = Instant.Never;
            return;
        }

        if (_heartbeatPending)
        {
            _rto.BackOff();
            if (CountError())
                return;
        }

        _heartbeatPending = true;
        _heartbeatNonce = RandomUInt32();
        Span<byte> info = stackalloc byte[12];
        BinaryPrimitives.WriteInt64BigEndian(info, _now.Ticks);
        BinaryPrimitives.WriteUInt32BigEndian(info[8..], _heartbeatNonce);
        Span<byte> to = Append(SctpChunkType.Heartbeat, 0, Tlv.HeaderSize + info.Length);
        SctpPacketWriter.WriteParameter(to, (ushort)SctpParameterType.HeartbeatInfo, info);
        _heartbeatTimer = _now + _rto.Rto;
    }

    private void OnHeartbeatAck(ReadOnlySpan<byte> value)
    {
        if (!_heartbeatPending || !SctpParameter.TryRead(ref value, out SctpParameter info)
            || info.Type != SctpParameterType.HeartbeatInfo || info.Value.Length != 12
            || BinaryPrimitives.ReadUInt32BigEndian(info.Value[8..]) != _heartbeatNonce)
        {
            return;
        }

        _heartbeatPending = false;
        _errors = 0;
        _rto.Sample(_now - new Instant(BinaryPrimitives.ReadInt64BigEndian(info.Value)));
        _heartbeatTimer = NextHeartbeat;
    }

    /// <summary>Counts a time-out without an answer. True if it was one too many, and the association is over.</summary>
    private bool CountError()
    {
        _errors++;
        if (_options.MaxRetransmissions is not { } most || _errors <= most)
            return false;
        AbortNow(SctpCause.ProtocolViolation, "too many retransmissions");
        return true;
    }

    /// <summary>Adds a chunk to the open packet, or to a new one where it does not fit.</summary>
    private Span<byte> Append(SctpChunkType type, byte flags, int valueLength)
    {
        // Control chunks go before DATA (section 6.10); usrsctp aborts where they do not.
        bool misplaced = _writer.HasData && type != SctpChunkType.Data;
        if (_writer.IsOpen && (misplaced || _writer.Remaining < Tlv.HeaderSize + Tlv.Pad(valueLength)))
            FlushPacket();
        if (!_writer.IsOpen)
            _writer.Begin(_options.LocalPort, RemotePort, _peerTag);
        return _writer.Append(type, flags, valueLength);
    }

    /// <summary>Sends one chunk in a packet of its own, with a tag that need not be the peer's.</summary>
    private Span<byte> AppendAlone(SctpChunkType type, byte flags, int valueLength, uint tag)
    {
        FlushPacket();
        _writer.Begin(_options.LocalPort, RemotePort, tag);
        return _writer.Append(type, flags, valueLength);
    }

    private void FlushPacket()
    {
        if (!_writer.HasChunks)
        {
            _writer.Discard();
            return;
        }

        Statistics.PacketsSent++;
        _observer.OnSend(_writer.Finish());
    }
}
