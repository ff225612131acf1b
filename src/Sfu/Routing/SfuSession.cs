using System.Security.Cryptography;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sctp;
using Transcribe.Sfu.Net;
using Transcribe.Sfu.Relay;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Routing;

/// <summary>
/// One client's session on its worker: the RTC session, what it publishes and the slots in which it receives.
/// Everything runs on the worker's thread.
/// </summary>
internal sealed partial class SfuSession : IRtcSessionObserver, IDisposable
{
    private readonly SfuSessionSettings _settings;
    private readonly RtcSession _rtc;
    private readonly List<(RtcMedia Media, Publication Track)> _published = [];
    private readonly List<Downtrack> _slots = [];
    private readonly Dictionary<string, RtcDataChannel> _channels = new(StringComparer.Ordinal);
    private TransportAddress _checkFrom;
    private Instant _connectBy;
    private bool _wasConnected;
    private int _woken;
    private int _batchGroup;
    private int _batchEpoch = -1;

    public SfuSession(SfuWorker worker, SfuRoom room, SfuSessionSettings settings, RtcSessionOptions options)
    {
        Worker = worker;
        Room = room;
        _settings = settings;
        Timer = new SessionTimer(this);
        _connectBy = worker.Now + worker.Limits.ConnectTimeout;
        _rtc = new RtcSession(options with { Wake = () => Worker.WakeSession(this) }, this);
    }

    public SfuWorker Worker { get; }

    public SfuRoom Room { get; }

    public string Id => _settings.SessionId;

    public string Participant => _settings.Participant;

    public Grants Grants => _settings.Grants;

    /// <summary>In no roster: its tracks are announced to nobody.</summary>
    public bool Hidden => Grants.Hidden;

    public WheelTimer Timer { get; }

    /// <summary>Ufrags that lead to the session, the current one last.</summary>
    public List<string> Ufrags { get; } = [];

    /// <summary>Addresses that lead to the session, the oldest first.</summary>
    public List<TransportAddress> Addresses { get; } = [];

    /// <summary>Its deadline is looked at at the end of the turn.</summary>
    public bool IsTouched { get; set; }

    /// <summary>To be closed as soon as none of its code runs.</summary>
    public bool IsDoomed { get; set; }

    public bool IsClosed { get; private set; }

    public RtcSessionState State => _rtc.State;

    public RtcSessionStatistics Statistics => _rtc.Statistics;

    /// <summary>The tracks it publishes.</summary>
    public IEnumerable<Publication> Publications => _published.Select(p => p.Track);

    /// <summary>Its receive transceivers.</summary>
    public IReadOnlyList<Downtrack> Slots => _slots;

    public Instant NextTimeout => Instant.Min(_rtc.NextTimeout, _connectBy);

    public void Receive(Instant now, in TransportPath path, Span<byte> datagram)
    {
        if (IsDoomed || Relay?.Loses?.Invoke(Relay.Peer, datagram[0]) == true)
            return;

        // A check that gets a success response was authenticated: its source may bring DTLS and media, too.
        _checkFrom = datagram[0] < 4 ? path.Remote : default;
        _rtc.Receive(now, path, datagram);
        _checkFrom = default;
    }

    /// <summary>The deadline has come, perhaps: it may have moved since it was scheduled.</summary>
    public void HandleTimeout(Instant now)
    {
        if (IsDoomed)
            return;
        try
        {
            if (_rtc.NextTimeout <= now)
                _rtc.HandleTimeout(now);
        }
        catch (Exception e)
        {
            Worker.Fault(this, e);
        }

        if (_connectBy <= now)
            Worker.Doom(this, "timeout");
        Worker.Touch(this);
    }

    /// <summary>From a handshake's thread: true if a command has to be posted, false if one is under way.</summary>
    public bool TryMarkWoken() => Interlocked.Exchange(ref _woken, 1) == 0;

    public void OnWoken(Instant now)
    {
        Volatile.Write(ref _woken, 0);
        if (IsDoomed)
            return;
        try
        {
            _rtc.Poll(now);
        }
        catch (Exception e)
        {
            Worker.Fault(this, e);
        }

        Worker.Touch(this);
    }

    /// <summary>Says goodbye to the client and frees the RTC session.</summary>
    public void Close(Instant now)
    {
        IsClosed = true;
        try
        {
            _rtc.Close(now);
        }
        finally
        {
            Dispose();
            Relay?.Observer.OnClosed(Id);
        }
    }

    public void Dispose() => _rtc.Dispose();

    public void OnSend(in TransportPath path, ReadOnlySpan<byte> datagram)
    {
        // 0x0101: binding success response (RFC 8489 section 5).
        if (datagram.Length > 1 && datagram[0] == 1 && datagram[1] == 1 && !_checkFrom.IsNone && path.Remote == _checkFrom)
            Worker.LearnAddress(this, path.Remote);

        // The responses to our own checks (0x0001) carry no user name.
        if (Relay is { IsClient: true } && datagram.Length > 1 && datagram[0] == 0 && datagram[1] == 1)
            Worker.LearnAddress(this, path.Remote);
        Worker.Send(path, datagram);
    }

    public void OnPathChanged(in TransportPath path)
    {
        _batchEpoch = -1;
        Worker.LearnAddress(this, path.Remote);
    }

    /// <summary>The group of the session's media in the batch; looked up once a batch.</summary>
    public int OpenGroup(SendBatch batch)
    {
        if (_batchEpoch != batch.Epoch)
        {
            _batchGroup = batch.Open(_rtc.MediaPath);
            _batchEpoch = batch.Epoch;
        }

        return _batchGroup;
    }

    public void OnLocalUfragRetired(string ufrag) => Worker.ForgetUfrag(this, ufrag);

    public void OnStateChanged(RtcSessionState state)
    {
        if (IsClosed)
            return;
        if (Relay is not null)
            OnRelayState(state);
        switch (state)
        {
            case RtcSessionState.Connected:
                _connectBy = Instant.Never;
                if (!_wasConnected)
                {
                    _wasConnected = true;
                    if (Relay is null)
                        Worker.Raise(new SessionEventRaised(Id, new SessionConnected()));
                }

                foreach (Downtrack slot in _slots)
                    slot.OnConnected();
                break;
            case RtcSessionState.Failed:
                Worker.Doom(this, _rtc.Failure == RtcSessionFailure.IceTimeout ? "timeout" : "failed");
                break;
            case RtcSessionState.Closed:
                Worker.Doom(this, "left");
                break;
            default:
                break;
        }
    }

    public void OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival)
    {
        if (media.Tag is RelayOrigin origin)
        {
            Worker.Counters.PacketsIn++;
            origin.OnPacket(arrival, packet);
            return;
        }

        if (media.Tag is not Publication publication)
        {
            Worker.Counters.Drop(SfuDropReason.NotPublished);
            return;
        }

        Worker.Counters.PacketsIn++;
        publication.OnPacket(arrival, packet);
    }

    public void OnSenderReport(RtcMedia media, in SenderReport report, Instant arrival)
    {
        if (media.Tag is RelayOrigin origin)
            origin.OnSenderReport(report, arrival);
        else
            (media.Tag as Publication)?.OnSenderReport(report, arrival);
    }

    public void OnKeyframeRequest(RtcMedia media)
    {
        if (media.Tag is not Downtrack { Source: Publication source })
            return;
        Worker.Counters.KeyframesAsked++;
        source.RequestKeyframe(Worker.Now);
    }

    public void OnNack(RtcMedia media, ReadOnlySpan<ushort> sequenceNumbers) =>
        (media.Tag as Downtrack)?.OnNack(Worker.Now, sequenceNumbers);

    public void OnDataChannelOpened(RtcDataChannel channel)
    {
        if (Relay is not null)
        {
            OnRelayChannelOpened(channel);
            return;
        }

        // The client's own channel is preferred over one the server opened for fan-out.
        if (!channel.IsLocal || !_channels.ContainsKey(channel.Label))
            _channels[channel.Label] = channel;

        // Who may send captions is a gateway, and has what it said.
        if (_settings.Moved && channel.Label == CaptionMessage.ChannelLabel && !Grants.AllowsData(channel.Label))
            Worker.Raise(new CaptionsMissed(Id, Room.Name));
    }

    public void OnDataChannelClosed(RtcDataChannel channel)
    {
        if (_channels.TryGetValue(channel.Label, out RtcDataChannel? known) && ReferenceEquals(known, channel))
            _channels.Remove(channel.Label);
    }

    public void OnDataChannelMessage(RtcDataChannel channel, ReadOnlySpan<byte> data, bool isText)
    {
        if (Relay is not null)
        {
            OnRelayEnvelope(channel, data);
            return;
        }

        if (!Grants.AllowsData(channel.Label))
        {
            Worker.Counters.Drop(SfuDropReason.DataNotGranted);
            return;
        }

        Room.FanOut(
            this,
            new DataMessage(channel.Label, isText, channel.Ordered, channel.MaxRetransmits, channel.MaxPacketLifetime, channel.Protocol),
            data);
    }

    /// <summary>Delivers another session's message; opens a channel for its label where there is none.</summary>
    public void SendData(in DataMessage message, ReadOnlySpan<byte> data)
    {
        if (IsDoomed || _rtc.State != RtcSessionState.Connected || !_rtc.HasDataSection)
            return;
        if (!_channels.TryGetValue(message.Label, out RtcDataChannel? channel))
        {
            if (_channels.Count >= Worker.Limits.MaxDataChannelsPerSession)
            {
                Worker.Counters.Drop(SfuDropReason.DataBackpressure);
                return;
            }

            channel = _rtc.CreateDataChannel(Worker.Now, message.Label, new DataChannelOptions
            {
                Ordered = message.Ordered,
                MaxRetransmits = message.MaxRetransmits,
                MaxPacketLifetime = message.MaxPacketLifetime,
                Protocol = message.Protocol,
            });
            _channels[message.Label] = channel;
        }

        if (channel.BufferedAmount + data.Length <= Worker.Limits.MaxDataBuffered && channel.TrySend(Worker.Now, data, message.IsText))
            Worker.Counters.DataMessagesForwarded++;
        else
            Worker.Counters.Drop(SfuDropReason.DataBackpressure);
        Worker.Touch(this);
    }

    private static string NewTrackId() => "TR_" + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(6));

    private static ushort NewSequenceNumber() => (ushort)RandomNumberGenerator.GetInt32(0, 0x4000);

    private sealed class SessionTimer(SfuSession session) : WheelTimer
    {
        public override void Fire(Instant now) => session.HandleTimeout(now);
    }
}
