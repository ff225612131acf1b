using System.Net;
using System.Net.Sockets;
using Transcribe.Rtc;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sctp;

namespace Transcribe.Sfu.Tests.Simulation;

/// <summary>A client over real UDP on loopback: a thread of its own drives the session, tests reach it through <see cref="Do"/>.</summary>
internal sealed class UdpPeer : IRtcSessionObserver, IDisposable
{
    private static readonly DtlsCertificate Certificate = DtlsCertificate.Generate(DateTimeOffset.UtcNow);

    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
    private readonly TransportAddress _local;
    private readonly Lock _lock = new();
    private readonly Thread _thread;
    private readonly TaskCompletionSource _connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _stopping;

    public UdpPeer()
    {
        _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _local = TransportAddress.From((IPEndPoint)_socket.LocalEndPoint!);
        Rtc = new RtcSession(new RtcSessionOptions { Certificate = Certificate, DtlsExecutor = DtlsLockStepExecutor.Instance }, this);
        Rtc.AddLocalCandidate(IceCandidate.CreateHost(_local));
        _thread = new Thread(Run) { IsBackground = true };
        _thread.Start();
    }

    public RtcSession Rtc { get; }

    public Task Connected => _connected.Task;

    public int PacketsReceived { get; private set; }

    public uint LastTimestamp { get; private set; }

    public List<string> Messages { get; } = [];

    /// <summary>Everything received, in order.</summary>
    public List<(string Mid, ushort SequenceNumber, uint Timestamp, DateTime At)> Received { get; } = [];

    public List<(string Mid, SenderReport Report)> SenderReports { get; } = [];

    public int KeyframeRequests { get; private set; }

    public RtcSessionState State { get; private set; }

    public T Do<T>(Func<RtcSession, Instant, T> act)
    {
        lock (_lock)
            return act(Rtc, Instant.Of(TimeProvider.System));
    }

    public void SendRaw(byte[] datagram, IPEndPoint to) => _socket.SendTo(datagram, to);

    public void OnSend(in TransportPath path, ReadOnlySpan<byte> datagram)
    {
        if (path.Remote.IsIPv4 && IPAddress.IsLoopback(path.Remote.ToIPAddress()))
            _socket.SendTo(datagram, path.Remote.ToIPEndPoint());
    }

    public void OnStateChanged(RtcSessionState state)
    {
        State = state;
        if (state == RtcSessionState.Connected)
            _connected.TrySetResult();
    }

    public void OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival)
    {
        PacketsReceived++;
        LastTimestamp = packet.Timestamp;
        Received.Add((media.Mid, packet.SequenceNumber, packet.Timestamp, DateTime.UtcNow));
    }

    public void OnSenderReport(RtcMedia media, in SenderReport report, Instant arrival) => SenderReports.Add((media.Mid, report));

    public void OnKeyframeRequest(RtcMedia media) => KeyframeRequests++;

    public void OnDataChannelMessage(RtcDataChannel channel, ReadOnlySpan<byte> data, bool isText) =>
        Messages.Add(System.Text.Encoding.UTF8.GetString(data));

    public void Dispose()
    {
        _stopping = true;
        _thread.Join();
        Rtc.Dispose();
        _socket.Dispose();
    }

    private void Run()
    {
        byte[] buffer = new byte[2048];
        EndPoint from = new IPEndPoint(IPAddress.Any, 0);
        while (!_stopping)
        {
            bool readable = _socket.Poll(2_000, SelectMode.SelectRead);
            lock (_lock)
            {
                Instant now = Instant.Of(TimeProvider.System);
                if (readable)
                {
                    int length = _socket.ReceiveFrom(buffer, ref from);
                    Rtc.Receive(now, new TransportPath(_local, TransportAddress.From((IPEndPoint)from)), buffer.AsSpan(0, length));
                }

                if (Rtc.NextTimeout <= now)
                    Rtc.HandleTimeout(now);
            }
        }
    }
}
