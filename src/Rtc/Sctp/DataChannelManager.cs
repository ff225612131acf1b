namespace Transcribe.Rtc.Sctp;

/// <summary>
/// The data channels of one peer connection: DCEP (RFC 8832) over one SCTP association (RFC 8831). Sans-IO like
/// <see cref="SctpAssociation"/>, which it owns; not thread-safe.
/// </summary>
public sealed class DataChannelManager
{
    private const uint PpidDcep = 50;
    private const uint PpidString = 51;
    private const uint PpidBinary = 53;
    private const uint PpidStringEmpty = 56;
    private const uint PpidBinaryEmpty = 57;

    private readonly Dictionary<ushort, RtcDataChannel> _byId = [];
    private readonly List<RtcDataChannel> _channels = [];
    private readonly IDataChannelObserver _observer;
    private readonly SctpOptions _options;
    private readonly SctpAssociation _association;
    private readonly List<(ushort Id, byte[] Message)> _control = [];
    private int _nextId;
    private bool _started;
    private bool _isDtlsClient;

    /// <param name="options">Of the association.</param>
    /// <param name="observer">Gets packets and events.</param>
    /// <param name="maxChannels">Channels at a time, of both sides; a peer that opens more sees them closed.</param>
    public DataChannelManager(SctpOptions options, IDataChannelObserver observer, int maxChannels = 1024)
    {
        _options = options;
        _observer = observer;
        MaxChannels = maxChannels;
        _association = new(options, new Adapter(this));
    }

    public int MaxChannels { get; }

    /// <summary>True while the association is established.</summary>
    public bool IsConnected => _association.State == SctpState.Established;

    /// <summary>True once the association is over.</summary>
    public bool IsClosed => _association.IsTerminated;

    /// <summary>When <see cref="HandleTimeout"/> must be called.</summary>
    public Instant NextTimeout => _association.NextTimeout;

    /// <summary>The channels that are not closed.</summary>
    public IReadOnlyCollection<RtcDataChannel> Channels => _channels;

    public SctpStatistics Statistics => _association.Statistics;

    /// <summary>DCEP messages that were malformed, and messages for channels that do not exist or of unknown kind.</summary>
    public long DroppedMessages { get; private set; }

    /// <summary>Largest message the peer takes ("a=max-message-size" of its SDP; RFC 8841: 65536 where absent, 0 is without limit).</summary>
    public int RemoteMaxMessageSize
    {
        get => _association.RemoteMaxMessageSize;
        set => _association.RemoteMaxMessageSize = value;
    }

    /// <summary>The association, for its state and counters.</summary>
    internal SctpAssociation Association => _association;

    /// <summary>Begins the association; call once DTLS is connected. Both sides of a peer connection call it.</summary>
    /// <param name="now">The current instant.</param>
    /// <param name="isDtlsClient">Decides which stream ids are ours: even for the client, odd for the server.</param>
    /// <param name="remotePort">"a=sctp-port" of the peer's SDP.</param>
    public void Start(Instant now, bool isDtlsClient, ushort remotePort = 5000)
    {
        if (_started)
            return;
        _started = true;
        _isDtlsClient = isDtlsClient;
        _association.RemotePort = remotePort;
        _association.Connect(now);
        foreach (RtcDataChannel channel in _channels.ToArray())
        {
            if (channel.Id is null)
                Announce(now, channel);
        }
    }

    /// <summary>Makes a channel. Before <see cref="Start"/> it waits for its stream id. Closed at once if no id or room is left.</summary>
    /// <exception cref="ArgumentException">The options contradict each other, the label is too long, or the negotiated id is taken.</exception>
    public RtcDataChannel Create(Instant now, string label, DataChannelOptions? options = null)
    {
        options ??= new();
        Validate(label, options);
        var open = new DcepOpen(
            options.Ordered, options.MaxRetransmits, options.MaxPacketLifetime, options.Priority, label, options.Protocol);
        var channel = new RtcDataChannel(this, open, isLocal: true, isNegotiated: options.NegotiatedId is not null);
        if (IsClosed || _channels.Count >= MaxChannels)
        {
            channel.State = DataChannelState.Closed;
            _observer.OnDataChannelClosed(now, channel);
            return channel;
        }

        _channels.Add(channel);
        if (options.NegotiatedId is { } id)
        {
            channel.Id = id;
            channel.PeerKnowsChannel = true;
            _byId.Add(id, channel);
            ApplyLowThreshold(channel);
            if (IsConnected)
                SetOpen(now, channel);
        }
        else if (_started)
        {
            Announce(now, channel);
        }

        return channel;
    }

    /// <summary>Takes one SCTP packet out of a DTLS record.</summary>
    public void Receive(Instant now, ReadOnlySpan<byte> packet)
    {
        if (_started)
            _association.Receive(now, packet);
    }

    /// <summary>Call at or after <see cref="NextTimeout"/>; earlier calls do nothing.</summary>
    public void HandleTimeout(Instant now) => _association.HandleTimeout(now);

    /// <summary>Aborts the association; every channel is closed.</summary>
    public void Close(Instant now) => _association.Abort(now, "closed");

    /// <summary>The first open or connecting channel of the label, or null.</summary>
    public RtcDataChannel? Find(string label) =>
        _channels.Find(c => c.Label == label && (c.State is DataChannelState.Open or DataChannelState.Connecting));

    internal int GetBufferedAmount(RtcDataChannel channel) =>
        channel.EarlyBytes + (channel.Id is { } id && channel.State != DataChannelState.Closed ? _association.GetBufferedAmount(id) : 0);

    internal void ApplyLowThreshold(RtcDataChannel channel)
    {
        if (channel.Id is { } id && channel.State != DataChannelState.Closed)
            _association.SetBufferedAmountLowThreshold(id, channel.BufferedAmountLowThreshold);
    }

    internal bool TrySend(Instant now, RtcDataChannel channel, ReadOnlySpan<byte> data, bool isText)
    {
        if (channel.State is not (DataChannelState.Open or DataChannelState.Connecting))
            return false;
        if (channel.Id is { } id && _started && !channel.AwaitsFormerReset)
            return Send(now, channel, id, data, isText) == SctpSendStatus.Queued;
        if (channel.EarlyBytes + data.Length + SendQueue.MessageOverhead > _options.SendBuffer)
            return false;
        (channel.Early ??= new()).Enqueue((data.ToArray(), isText));
        channel.EarlyBytes += data.Length + SendQueue.MessageOverhead;
        return true;
    }

    internal void Close(Instant now, RtcDataChannel channel)
    {
        if (channel.State is DataChannelState.Closing or DataChannelState.Closed)
            return;
        if (channel.Id is not { } id || !_started)
        {
            Forget(now, channel);
            return;
        }

        channel.State = DataChannelState.Closing;
        _association.ResetStreams(now, [id]);
    }

    private SctpSendStatus Send(Instant now, RtcDataChannel channel, ushort id, ReadOnlySpan<byte> data, bool isText)
    {
        var delivery = new SctpDelivery(
            Unordered: !channel.Ordered && channel.PeerKnowsChannel, channel.MaxRetransmits, channel.MaxPacketLifetime);

        // SCTP has no empty messages: one byte goes out, and the identifier says that it does not count (RFC 8831, section 6.6).
        return data.IsEmpty
            ? _association.Send(now, id, isText ? PpidStringEmpty : PpidBinaryEmpty, [0], delivery)
            : _association.Send(now, id, isText ? PpidString : PpidBinary, data, delivery);
    }

    /// <summary>Gives a local channel its stream id, tells the peer, and sends what was queued.</summary>
    private void Announce(Instant now, RtcDataChannel channel)
    {
        // Ids take turns: one just closed here may not be closed for the peer yet.
        int first = _isDtlsClient ? 0 : 1;
        int count = (Math.Min(65535, _association.OutboundStreams) - first + 1) / 2;
        int tries = 0;
        int id = first;
        while (tries < count && _byId.ContainsKey((ushort)(id = first + (2 * (_nextId++ % count)))))
            tries++;
        if (tries >= count)
        {
            Forget(now, channel);
            return;
        }

        channel.Id = (ushort)id;
        _byId.Add((ushort)id, channel);
        ApplyLowThreshold(channel);
        SendControl(now, (ushort)id, channel.Opening.ToBytes());
        SendEarly(now, channel);
    }

    private void SendEarly(Instant now, RtcDataChannel channel)
    {
        while (channel.Id is { } id && channel.Early is { } early && early.TryDequeue(out (byte[] Data, bool IsText) message))
        {
            channel.EarlyBytes -= message.Data.Length + SendQueue.MessageOverhead;
            if (Send(now, channel, id, message.Data, message.IsText) != SctpSendStatus.Queued)
                DroppedMessages++;
        }

        channel.Early = null;
        channel.EarlyBytes = 0;
    }

    /// <summary>DCEP messages are reliable and ordered, and must not be lost to a full send buffer.</summary>
    private void SendControl(Instant now, ushort id, byte[] message)
    {
        SctpSendStatus status = _association.SendControl(now, id, PpidDcep, message);
        if (status is SctpSendStatus.StreamResetting)
            _control.Add((id, message)); // goes out when the stream's former use has ended
    }

    private void FlushControl(Instant now)
    {
        if (_control.Count == 0)
            return;
        (ushort Id, byte[] Message)[] waiting = [.. _control];
        _control.Clear();
        foreach ((ushort id, byte[] message) in waiting)
            SendControl(now, id, message);
    }

    private void SetOpen(Instant now, RtcDataChannel channel)
    {
        if (channel.State != DataChannelState.Connecting)
            return;
        channel.State = DataChannelState.Open;
        _observer.OnDataChannelOpened(now, channel);
    }

    private void OnConnected(Instant now)
    {
        _observer.OnSctpConnected(now);
        foreach (RtcDataChannel channel in _channels.ToArray())
        {
            if (channel.Id >= _association.OutboundStreams)
            {
                Forget(now, channel);
            }
            else if (channel.IsNegotiated)
            {
                SendEarly(now, channel);
                SetOpen(now, channel);
            }
        }
    }

    private void OnMessage(Instant now, ushort id, uint ppid, ReadOnlySpan<byte> message)
    {
        if (ppid == PpidDcep)
        {
            OnControl(now, id, message);
            return;
        }

        bool isText = ppid is PpidString or PpidStringEmpty;
        if (!_byId.TryGetValue(id, out RtcDataChannel? channel) || channel.IncomingReset
            || !(isText || ppid is PpidBinary or PpidBinaryEmpty))
        {
            DroppedMessages++;
            return;
        }

        PeerKnows(now, channel);
        if (channel.State == DataChannelState.Open)
            _observer.OnDataChannelMessage(now, channel, ppid is PpidStringEmpty or PpidBinaryEmpty ? [] : message, isText);
        else
            DroppedMessages++;
    }

    private void OnControl(Instant now, ushort id, ReadOnlySpan<byte> message)
    {
        _byId.TryGetValue(id, out RtcDataChannel? channel);
        if (message.Length >= 1 && message[0] == DcepOpen.Ack)
        {
            if (channel is { IsLocal: true, IsNegotiated: false })
                PeerKnows(now, channel);
            else
                DroppedMessages++;
            return;
        }

        bool reopened = channel is { IncomingReset: true };
        if ((channel is not null && !reopened) || !DcepOpen.TryRead(message, out DcepOpen open))
        {
            DroppedMessages++;
            if (channel is null)
                _association.ResetStreams(now, [id]);
            return;
        }

        // The peer's ids have the other parity (RFC 8832, section 6).
        if ((id & 1) == (_isDtlsClient ? 0 : 1) || _channels.Count >= MaxChannels || id >= _association.OutboundStreams)
        {
            DroppedMessages++;
            _association.ResetStreams(now, [id]);
            return;
        }

        // The peer has seen both resets; its confirmation of ours is still on its way.
        if (reopened)
            Forget(now, channel!);
        channel = new(this, open, isLocal: false, isNegotiated: false)
        {
            Id = id,
            PeerKnowsChannel = true,
            AwaitsFormerReset = reopened,
        };
        _channels.Add(channel);
        _byId.Add(id, channel);
        SendControl(now, id, [DcepOpen.Ack]);
        SetOpen(now, channel);
    }

    /// <summary>An ACK or any message shows that the OPEN has arrived (RFC 8832, section 6).</summary>
    private void PeerKnows(Instant now, RtcDataChannel channel)
    {
        channel.PeerKnowsChannel = true;
        if (!channel.IsNegotiated)
            SetOpen(now, channel);
    }

    private void OnIncomingReset(Instant now, ReadOnlySpan<ushort> ids)
    {
        RtcDataChannel[] reset = ids.IsEmpty ? [.. _channels] : Select(ids);
        foreach (RtcDataChannel channel in reset)
        {
            if (channel.Id is not { } id || channel.State == DataChannelState.Closed)
                continue;
            channel.IncomingReset = true;
            if (channel.State is DataChannelState.Open or DataChannelState.Connecting)
            {
                channel.State = DataChannelState.Closing;
                _association.DiscardUnsent(id);
                _association.ResetStreams(now, [id]);
            }

            ForgetIfReset(now, channel);
        }
    }

    private void OnOutgoingReset(Instant now, ReadOnlySpan<ushort> ids, bool performed)
    {
        FlushControl(now);
        foreach (RtcDataChannel channel in Select(ids))
        {
            if (channel.AwaitsFormerReset)
            {
                channel.AwaitsFormerReset = false;
                SendEarly(now, channel);
                continue;
            }

            // A peer that refuses will not reset its side either.
            channel.OutgoingReset = true;
            channel.IncomingReset |= !performed;
            ForgetIfReset(now, channel);
        }
    }

    private RtcDataChannel[] Select(ReadOnlySpan<ushort> ids)
    {
        var found = new List<RtcDataChannel>(ids.Length);
        foreach (ushort id in ids)
        {
            if (_byId.TryGetValue(id, out RtcDataChannel? channel))
                found.Add(channel);
        }

        return [.. found];
    }

    private void ForgetIfReset(Instant now, RtcDataChannel channel)
    {
        if (channel is { IncomingReset: true, OutgoingReset: true })
            Forget(now, channel);
    }

    private void Forget(Instant now, RtcDataChannel channel)
    {
        if (channel.State == DataChannelState.Closed)
            return;
        channel.State = DataChannelState.Closed;
        channel.Early = null;
        channel.EarlyBytes = 0;
        _channels.Remove(channel);
        if (channel.Id is { } id && _byId.TryGetValue(id, out RtcDataChannel? mine) && mine == channel)
            _byId.Remove(id);
        _observer.OnDataChannelClosed(now, channel);
    }

    private void ForgetAll(Instant now)
    {
        _control.Clear();
        foreach (RtcDataChannel channel in _channels.ToArray())
            Forget(now, channel);
    }

    private void Validate(string label, DataChannelOptions options)
    {
        ArgumentNullException.ThrowIfNull(label);
        if (System.Text.Encoding.UTF8.GetByteCount(label) > 65535 || System.Text.Encoding.UTF8.GetByteCount(options.Protocol) > 65535)
            throw new ArgumentException("The label and the protocol of a data channel take at most 65535 bytes each.", nameof(label));
        if (options is { MaxRetransmits: not null, MaxPacketLifetime: not null })
            throw new ArgumentException("Set MaxRetransmits or MaxPacketLifetime, not both.", nameof(options));
        if (options.MaxRetransmits is < 0 or > 65535 || options.MaxPacketLifetime is { TotalMilliseconds: < 0 or > 65535 })
            throw new ArgumentException("MaxRetransmits and MaxPacketLifetime (ms) are 0 to 65535.", nameof(options));
        if (options.NegotiatedId is { } id && (id == 65535 || _byId.ContainsKey(id)))
            throw new ArgumentException($"The stream id {id} is taken or not allowed; choose a free one of 0 to 65534.", nameof(options));
    }

    private sealed class Adapter(DataChannelManager manager) : ISctpObserver
    {
        public void OnSend(ReadOnlySpan<byte> packet) => manager._observer.OnSctpPacket(packet);

        public void OnConnected(Instant now) => manager.OnConnected(now);

        public void OnRestarted(Instant now)
        {
            // The peer knows nothing of the channels any more.
            manager.ForgetAll(now);
            manager._observer.OnSctpConnected(now);
        }

        public void OnMessage(Instant now, ushort streamId, uint payloadProtocolId, ReadOnlySpan<byte> message) =>
            manager.OnMessage(now, streamId, payloadProtocolId, message);

        public void OnIncomingStreamsReset(Instant now, ReadOnlySpan<ushort> streamIds) => manager.OnIncomingReset(now, streamIds);

        public void OnOutgoingStreamsReset(Instant now, ReadOnlySpan<ushort> streamIds, bool performed) =>
            manager.OnOutgoingReset(now, streamIds, performed);

        public void OnBufferedAmountLow(Instant now, ushort streamId)
        {
            if (manager._byId.TryGetValue(streamId, out RtcDataChannel? channel) && channel.State == DataChannelState.Open)
                manager._observer.OnBufferedAmountLow(now, channel);
        }

        public void OnClosed(Instant now, string reason)
        {
            manager.ForgetAll(now);
            manager._observer.OnSctpClosed(now, reason);
        }
    }
}
