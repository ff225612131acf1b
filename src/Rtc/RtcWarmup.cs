using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sctp;

namespace Transcribe.Rtc;

/// <summary>
/// Whole sessions between a client and a server within the process: offer and answer, ICE, DTLS, media both ways, reports,
/// a data channel, goodbye. What they run through is compiled then, and does not hold up the first sessions of a server.
/// </summary>
public static class RtcWarmup
{
    private const int Packets = 12;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(400);
    private static int _started;

    /// <summary>
    /// Runs one session after another on the calling thread, in no time of any clock. The first in a process takes some
    /// hundred milliseconds of CPU, later ones a few.
    /// </summary>
    /// <returns>Whether each was connected, its media and messages arrived, and nobody canceled.</returns>
    public static bool Run(int sessions = 1, CancellationToken cancellationToken = default)
    {
        using DtlsCertificate certificate = DtlsCertificate.Generate(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
        RtcSessionOptions options = new() { Certificate = certificate, DtlsExecutor = DtlsLockStepExecutor.Instance };
        for (int i = 0; i < sessions && !cancellationToken.IsCancellationRequested; i++)
        {
            using Pair pair = new(options);
            if (!pair.Run())
                return false;
        }

        return !cancellationToken.IsCancellationRequested;
    }

    /// <summary>
    /// Runs sessions on a background thread of low priority until the run-time has compiled what is used most for speed,
    /// too: some seconds with pauses, for it does that while nothing new is met. Once in a process; later calls do nothing.
    /// </summary>
    public static void RunInBackground(CancellationToken cancellationToken)
    {
        if (Interlocked.Exchange(ref _started, 1) == 0)
            DtlsThread.Start(() => RunRounds(cancellationToken));
    }

    private static void RunRounds(CancellationToken cancellationToken)
    {
        DtlsPoolExecutor.LowerPriority(niceness: 10);
        try
        {
            for (int round = 0; round < 4 && Run(sessions: 32, cancellationToken); round++)
                Thread.Sleep(Pause);
        }
        catch (Exception)
        {
            // Speed is all that is lost here. What is broken shows in the first session, with somebody to tell it to.
        }
    }

    private sealed class Pair : IDisposable
    {
        private static readonly TransportAddress ServerAddress = TransportAddress.FromIPv4(0x7F00_0001, 1);
        private static readonly TransportAddress ClientAddress = TransportAddress.FromIPv4(0x7F00_0001, 2);

        private readonly Peer _client;
        private readonly Peer _server;
        private Instant _now = Instant.Zero + TimeSpan.FromHours(1);

        public Pair(RtcSessionOptions options)
        {
            _client = new Peer(options, ClientAddress);
            _server = new Peer(options with { IceLite = true, TransportFeedbackOnSending = false }, ServerAddress);
        }

        public bool Run()
        {
            RtcMedia audio = _client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
            RtcMedia video = _client.Session.AddMedia(MediaKind.Video, MediaDirection.SendOnly);
            _client.Session.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
            _client.Session.AddMedia(MediaKind.Video, MediaDirection.RecvOnly);
            RtcDataChannel channel = _client.Session.CreateDataChannel(_now, "warm-up");
            if (!_server.Session.TrySetRemoteOffer(_now, _client.Session.CreateOffer(_now), out _)
                || !_client.Session.TrySetRemoteAnswer(_now, _server.Session.CreateAnswer(_now), out _))
            {
                return false;
            }

            for (int i = 0; i < 100 && _server.Channel is null; i++)
                Step(TimeSpan.FromMilliseconds(50));
            channel.TrySend(_now, "hello"u8, isText: true);
            _server.Channel?.TrySend(_now, "hello"u8, isText: true);

            Span<byte> payload = stackalloc byte[200];
            payload.Clear();
            for (uint i = 0; i < Packets; i++)
            {
                audio.Send(_now, payload[..100], audio.Codecs[0].PayloadType, marker: false, i * 960, new AudioLevel(30, true));
                video.Send(_now, payload, video.Codecs[0].PayloadType, marker: true, i * 3000);
                Step(TimeSpan.FromMilliseconds(20));
            }

            // Reports follow.
            Step(TimeSpan.FromSeconds(2));
            bool done = _client.Packets == 2 * Packets && _server.Messages > 0 && _client.Messages > 0;
            _client.Session.Close(_now);
            Step(TimeSpan.Zero);
            return done;
        }

        public void Dispose()
        {
            _client.Session.Dispose();
            _server.Session.Dispose();
        }

        /// <summary>Delivers everything, and does what is due until the time has passed.</summary>
        private void Step(TimeSpan time)
        {
            Instant end = _now + time;
            while (true)
            {
                while (_client.DeliverTo(_server, _now) | _server.DeliverTo(_client, _now))
                {
                }

                Instant next = Instant.Min(_client.Session.NextTimeout, _server.Session.NextTimeout);
                if (next > end)
                    break;
                _now = Instant.Max(_now, next);
                _client.Session.HandleTimeout(_now);
                _server.Session.HandleTimeout(_now);
            }

            _now = end;
        }
    }

    private sealed class Peer : IRtcSessionObserver
    {
        private readonly TransportAddress _address;
        private readonly Queue<byte[]> _sent = new();
        private readonly byte[] _buffer = new byte[1500];
        private readonly bool _forwards;
        private ushort _sequenceNumber;

        public Peer(RtcSessionOptions options, TransportAddress address)
        {
            _address = address;
            _forwards = options.IceLite;
            Session = new RtcSession(options, this);
            Session.AddLocalCandidate(IceCandidate.CreateHost(address));
        }

        public RtcSession Session { get; }

        public RtcDataChannel? Channel { get; private set; }

        public int Messages { get; private set; }

        public int Packets { get; private set; }

        public bool DeliverTo(Peer other, Instant now)
        {
            bool any = false;
            while (_sent.TryDequeue(out byte[]? datagram))
            {
                other.Session.Receive(now, new TransportPath(other._address, _address), datagram);
                any = true;
            }

            return any;
        }

        public void OnSend(in TransportPath path, ReadOnlySpan<byte> datagram) => _sent.Enqueue(datagram.ToArray());

        public void OnStateChanged(RtcSessionState state)
        {
        }

        public void OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival)
        {
            Packets++;
            if (!_forwards)
                return;
            foreach (RtcMedia slot in Session.Media)
            {
                if (slot.Kind != media.Kind || !slot.Direction.Sends())
                    continue;
                RtpExtensionMap extensions = RtpExtensionMap.Between(media.HeaderExtensions, slot.HeaderExtensions);
                if (slot.TryGetPayloadType(media.Codecs[0], out byte payloadType)
                    && slot.TryWrite(arrival, new RtpOutline(packet, arrival), packet.Bytes, extensions, payloadType, _sequenceNumber++, packet.Timestamp, _buffer, out int length))
                {
                    _sent.Enqueue(_buffer[..length]);
                }
            }
        }

        public void OnDataChannelOpened(RtcDataChannel channel) => Channel = channel;

        public void OnDataChannelMessage(RtcDataChannel channel, ReadOnlySpan<byte> data, bool isText) => Messages++;
    }
}
