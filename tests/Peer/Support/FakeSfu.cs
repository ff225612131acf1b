using System.Net;
using System.Net.Sockets;
using System.Text;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sctp;

namespace Transcribe.Peer.Tests.Support;

/// <summary>The server's end of one client's media: a real ICE-lite session on a loopback socket, on one thread of its own.</summary>
internal sealed class FakeSfu : IRtcSessionObserver, IDisposable
{
    private static readonly Lazy<DtlsCertificate> Certificate = new(() => DtlsCertificate.Generate(DateTimeOffset.UtcNow));

    private readonly Lock _gate = new();
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 5 };
    private readonly TransportAddress _local;
    private readonly RtcSession _session;
    private readonly Thread _thread;
    private readonly List<(string Label, string Text)> _messages = [];
    private readonly List<(string Mid, ushort Sequence, uint Timestamp, byte[] Payload)> _packets = [];
    private bool _stopping;

    public FakeSfu()
    {
        _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _local = TransportAddress.From((IPEndPoint)_socket.LocalEndPoint!);
        _session = new RtcSession(
            new RtcSessionOptions { Certificate = Certificate.Value, DtlsExecutor = DtlsLockStepExecutor.Instance, IceLite = true }, this);
        _session.AddLocalCandidate(IceCandidate.CreateHost(_local));
        _thread = new Thread(Run) { IsBackground = true, Name = "fake sfu" };
        _thread.Start();
    }

    /// <summary>Without it, media never gets through.</summary>
    public bool Deaf { get; set; }

    public RtcSessionState State
    {
        get
        {
            lock (_gate)
                return _session.State;
        }
    }

    public IReadOnlyList<(string Label, string Text)> Messages
    {
        get
        {
            lock (_gate)
                return [.. _messages];
        }
    }

    public IReadOnlyList<(string Mid, ushort Sequence, uint Timestamp, byte[] Payload)> Packets
    {
        get
        {
            lock (_gate)
                return [.. _packets];
        }
    }

    /// <summary>Mids on which the client receives, in the order of its offer.</summary>
    public IReadOnlyList<string> Slots(MediaKind kind)
    {
        lock (_gate)
            return [.. _session.Media.Where(m => m.Kind == kind && m.Direction == MediaDirection.SendOnly).Select(m => m.Mid)];
    }

    public SessionNegotiated Answer(string offer, IReadOnlyList<PublishedMedia> tracks)
    {
        lock (_gate)
        {
            if (!_session.TrySetRemoteOffer(Now, offer, out string? error))
                throw new InvalidOperationException(error);
            return new SessionNegotiated(_session.CreateAnswer(Now), [.. tracks.Select(t => new NegotiatedMedia(t.Mid, $"TR_{t.Mid}"))], []);
        }
    }

    public bool SendRtp(string mid, uint timestamp, params byte[] payload)
    {
        lock (_gate)
        {
            RtcMedia media = _session.Media.First(m => m.Mid == mid);
            return media.Send(Now, payload, media.Codecs[0].PayloadType, marker: false, timestamp);
        }
    }

    public bool SendText(string label, string text)
    {
        lock (_gate)
            return _session.DataChannels.First(c => c.Label == label).TrySend(Now, Encoding.UTF8.GetBytes(text), isText: true);
    }

    public void Close()
    {
        lock (_gate)
            _session.Close(Now);
    }

    public void Dispose()
    {
        if (Volatile.Read(ref _stopping))
            return;
        Volatile.Write(ref _stopping, true);
        _thread.Join();
        _socket.Dispose();
        _session.Dispose();
    }

    void IRtcSessionObserver.OnSend(in TransportPath path, ReadOnlySpan<byte> datagram) =>
        _socket.SendTo(datagram, SocketFlags.None, path.Remote.ToIPEndPoint());

    void IRtcSessionObserver.OnStateChanged(RtcSessionState state)
    {
    }

    void IRtcSessionObserver.OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival) =>
        _packets.Add((media.Mid, packet.SequenceNumber, packet.Timestamp, packet.Payload.ToArray()));

    void IRtcSessionObserver.OnDataChannelMessage(RtcDataChannel channel, ReadOnlySpan<byte> data, bool isText) =>
        _messages.Add((channel.Label, Encoding.UTF8.GetString(data)));

    private static Instant Now => Instant.Of(TimeProvider.System);

    private void Run()
    {
        byte[] buffer = new byte[2048];
        while (!Volatile.Read(ref _stopping))
        {
            EndPoint from = new IPEndPoint(IPAddress.Any, 0);
            int length = 0;
            try
            {
                length = _socket.ReceiveFrom(buffer, ref from);
            }
            catch (SocketException)
            {
                // Nothing within 5 ms, or an answer to what a client that is gone was sent.
            }

            lock (_gate)
            {
                if (length > 0 && !Deaf)
                    _session.Receive(Now, new TransportPath(_local, TransportAddress.From((IPEndPoint)from)), buffer.AsSpan(0, length));
                _session.Poll(Now);
                if (_session.NextTimeout <= Now)
                    _session.HandleTimeout(Now);
            }
        }
    }
}
