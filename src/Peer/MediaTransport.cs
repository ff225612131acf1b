using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Transcribe.Rtc;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sctp;

namespace Transcribe.Peer;

/// <summary>What a <see cref="MediaTransport"/> tells its owner; called under the transport's lock: be brief.</summary>
internal interface IMediaTransportObserver
{
    void OnStateChanged(RtcSessionState state);

    void OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival);

    void OnSenderReport(RtcMedia media, in SenderReport report);

    void OnChannelOpened(string label);

    void OnMessage(string label, ReadOnlySpan<byte> data);
}

/// <summary>
/// A UDP socket, a timer and the <see cref="RtcSession"/> they drive. A client has one session and little traffic, so
/// one lock serves; the SFU's workers are built otherwise.
/// </summary>
internal sealed partial class MediaTransport : IRtcSessionObserver, IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly Socket _socket;
    private readonly TransportAddress _local4;
    private readonly TransportAddress _local6;
    private readonly SocketAddress _sendAddress = new(AddressFamily.InterNetworkV6);
    private readonly TimeProvider _clock;
    private readonly IMediaTransportObserver _observer;
    private readonly ILogger _logger;
    private readonly ITimer _timer;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _receiving;
    private readonly List<RtcDataChannel> _channels = [];
    private volatile bool _woken;
    private bool _closed;

    public MediaTransport(RtcSessionOptions options, IMediaTransportObserver observer, TimeProvider clock, ILogger logger)
    {
        (_observer, _clock, _logger) = (observer, clock, logger);
        _socket = new Socket(AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp) { DualMode = true };
        _socket.Bind(new IPEndPoint(IPAddress.IPv6Any, 0));
        _socket.ReceiveBufferSize = 1 << 20;
        int port = ((IPEndPoint)_socket.LocalEndPoint!).Port;
        _timer = clock.CreateTimer(_ => OnTimer(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        Session = new RtcSession(options, this);
        foreach (IPAddress address in LocalAddresses.Pick())
        {
            TransportAddress local = TransportAddress.From(address, port);
            if (local.IsIPv4)
                _local4 = local;
            else
                _local6 = local;
            Session.AddLocalCandidate(IceCandidate.CreateHost(local));
        }

        _receiving = ReceiveAsync();
    }

    /// <summary>The session. Touch it only inside <see cref="Run{T}"/>.</summary>
    public RtcSession Session { get; }

    public Instant Now => Instant.Of(_clock);

    /// <summary>Runs a step on the session under the lock and re-arms the timer.</summary>
    public T Run<T>(Func<RtcSession, Instant, T> step)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            T result = step(Session, Now);
            Arm();
            return result;
        }
    }

    /// <summary>As <see cref="Run{T}"/>; does nothing, and says false, where the transport is closed.</summary>
    public bool TryRun<T>(Func<RtcSession, Instant, T> step)
    {
        lock (_gate)
        {
            if (_closed)
                return false;
            step(Session, Now);
            Arm();
            return true;
        }
    }

    /// <summary>A value under the lock, without a step; also where the transport is closed.</summary>
    public T Read<T>(Func<T> read)
    {
        lock (_gate)
            return read();
    }

    /// <summary>Originates an RTP packet; false while the session is not connected.</summary>
    public bool SendRtp(RtcMedia media, ReadOnlySpan<byte> payload, byte payloadType, bool marker, uint timestamp, AudioLevel? audioLevel)
    {
        lock (_gate)
        {
            if (_closed || Session.State != RtcSessionState.Connected)
                return false;
            bool sent = media.Send(Now, payload, payloadType, marker, timestamp, audioLevel);
            Arm();
            return sent;
        }
    }

    /// <summary>Sends a text message on the open channel of this label; false where there is none or its buffer is full.</summary>
    public bool SendText(string label, ReadOnlySpan<byte> utf8)
    {
        lock (_gate)
        {
            if (_closed)
                return false;
            bool sent = _channels.Find(c => c.Label == label)?.TrySend(Now, utf8, isText: true) ?? false;
            Arm();
            return sent;
        }
    }

    public async ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            if (_closed)
                return;
            Session.Close(Now);
            _closed = true;
        }

        await _stopping.CancelAsync();
        await _timer.DisposeAsync();
        _socket.Dispose();
        await _receiving;
        Session.Dispose();
        _stopping.Dispose();
    }

    /// <summary>DTLS finished work on another thread.</summary>
    public void Wake()
    {
        // Noted first: who holds the lock may be about to arm the timer for later.
        _woken = true;
        _timer.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan);
    }

    void IRtcSessionObserver.OnSend(in TransportPath path, ReadOnlySpan<byte> datagram)
    {
        Write(path.Remote, _sendAddress);
        try
        {
            _socket.SendTo(datagram, SocketFlags.None, _sendAddress);
        }
        catch (SocketException e)
        {
            // UDP promises nothing; ICE notices a path that stays dead.
            LogSendFailed(_logger, e.SocketErrorCode);
        }
    }

    void IRtcSessionObserver.OnStateChanged(RtcSessionState state) => _observer.OnStateChanged(state);

    void IRtcSessionObserver.OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival) => _observer.OnRtp(media, packet, arrival);

    void IRtcSessionObserver.OnSenderReport(RtcMedia media, in SenderReport report, Instant arrival) => _observer.OnSenderReport(media, report);

    void IRtcSessionObserver.OnDataChannelOpened(RtcDataChannel channel)
    {
        _channels.Add(channel);
        _observer.OnChannelOpened(channel.Label);
    }

    void IRtcSessionObserver.OnDataChannelClosed(RtcDataChannel channel) => _channels.Remove(channel);

    void IRtcSessionObserver.OnDataChannelMessage(RtcDataChannel channel, ReadOnlySpan<byte> data, bool isText) =>
        _observer.OnMessage(channel.Label, data);

    private async Task ReceiveAsync()
    {
        byte[] buffer = GC.AllocateArray<byte>(2048, pinned: true);
        var from = new SocketAddress(AddressFamily.InterNetworkV6);
        while (!_stopping.IsCancellationRequested)
        {
            int length;
            try
            {
                length = await _socket.ReceiveFromAsync(buffer, SocketFlags.None, from, _stopping.Token);
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionRefused or SocketError.ConnectionReset or SocketError.MessageSize)
            {
                // An ICMP answer to something we sent, or a datagram no peer of ours would send.
                continue;
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException or SocketException { SocketErrorCode: SocketError.OperationAborted })
            {
                return;
            }

            TransportAddress remote = Read(from);
            lock (_gate)
            {
                if (_closed)
                    return;
                try
                {
                    Session.Receive(Now, new TransportPath(remote.IsIPv4 ? _local4 : _local6, remote), buffer.AsSpan(0, length));
                }
                catch (Exception e)
                {
                    LogHandlerFailed(_logger, e);
                }

                Arm();
            }
        }
    }

    private void OnTimer()
    {
        lock (_gate)
        {
            if (_closed)
                return;
            _woken = false;
            try
            {
                Session.Poll(Now);
                Session.HandleTimeout(Now);
            }
            catch (Exception e)
            {
                LogHandlerFailed(_logger, e);
            }

            Arm();
        }
    }

    private void Arm()
    {
        Instant next = Session.NextTimeout;
        TimeSpan wait = next == Instant.Never ? Timeout.InfiniteTimeSpan : next - Now;
        _timer.Change(wait < TimeSpan.Zero && next != Instant.Never ? TimeSpan.Zero : wait, Timeout.InfiniteTimeSpan);
        if (_woken)
            _timer.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan);
    }

    /// <summary>sockaddr_in6: family 2 bytes, port 2 bytes, flow 4, address 16, scope 4.</summary>
    private static TransportAddress Read(SocketAddress from)
    {
        ReadOnlySpan<byte> bytes = from.Buffer.Span;
        return new TransportAddress(
            System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(bytes[8..]),
            System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(bytes[16..]),
            System.Buffers.Binary.BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]));
    }

    private static void Write(TransportAddress address, SocketAddress to)
    {
        Span<byte> bytes = to.Buffer.Span;
        System.Buffers.Binary.BinaryPrimitives.WriteUInt16BigEndian(bytes[2..], address.Port);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(bytes[4..], 0);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(bytes[8..], address.High);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(bytes[16..], address.Low);
        bytes[24..].Clear();
    }

    [LoggerMessage(1, LogLevel.Debug, "A datagram could not be sent: {Error}")]
    private static partial void LogSendFailed(ILogger logger, SocketError error);

    [LoggerMessage(2, LogLevel.Error, "A media handler failed")]
    private static partial void LogHandlerFailed(ILogger logger, Exception exception);
}
