using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Diagnostics;
using Transcribe.Rtc;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Srtp;
using Transcribe.Sfu.Workers;

namespace Transcribe.Bench;

/// <summary>What the driver saw in one phase of publishing.</summary>
internal sealed record DriverPhase(
    double Seconds, long Published, long Received, LatencyHistogram Latency, double DriverLoad, double LatestMs, long Dropped, double AudioBytes, double VideoBytes);

/// <summary>
/// All clients of a bench on one thread and one socket: timers, sessions, publishing by the clock. It reads lazily
/// while media flows, so that the process under test is not charged for waking it; arrivals are the kernel's.
/// </summary>
internal sealed class BenchDriver : IDisposable
{
    private static readonly TimeSpan LazyWait = TimeSpan.FromMilliseconds(0.5);

    private readonly BenchSocket _socket;
    private readonly IReadOnlyCollection<int> _processors;
    private readonly ConcurrentQueue<Action<Instant>> _commands = new();
    private readonly DtlsPoolExecutor _executor = new(new DtlsPoolOptions { MaxHandshakes = 64, MaxQueued = 100_000, MaxComputing = 1 });
    private readonly DtlsCertificate _certificate = DtlsCertificate.Generate(DateTimeOffset.UtcNow);
    private readonly RtcSessionOptions _options;
    private readonly List<BenchPeer?> _peers = [null];
    private readonly BenchSocket.Handler _handle;
    private readonly Thread _thread;
    private PublishPhase? _phase;
    private LatencyHistogram _latency = new();
    private LatencyHistogram[] _groups = [];
    private long _arrival;
    private long _received;
    private long _audioBytes;
    private long _audioCount;
    private long _videoBytes;
    private long _videoCount;
    private int _problems;
    private volatile bool _stopping;

    public BenchDriver(IReadOnlyCollection<int> processors, SrtpProfile profile, bool merge)
    {
        _socket = new BenchSocket(merge);
        _processors = processors;
        Wheel = new TimerWheel(Instant.Of(TimeProvider.System));
        _options = new RtcSessionOptions { Certificate = _certificate, DtlsExecutor = _executor, SrtpProfiles = [profile] };
        _handle = Handle;
        _thread = new Thread(Run) { Name = "bench driver", IsBackground = true };
        _thread.Start();
    }

    public TimerWheel Wheel { get; }

    public ushort Port => _socket.Port;

    /// <summary>Datagrams from here are the floor's.</summary>
    public ushort FloorPort { get; set; }

    public bool RealTime { get; private set; }

    /// <summary>How many groups of clients have a histogram of their own.</summary>
    public int Groups { get; init; }

    /// <summary>What went wrong, the first few.</summary>
    public ConcurrentQueue<string> Problems { get; } = new();

    /// <summary>Every client has its own address in 127.64.0.0/10.</summary>
    public static TransportAddress AddressOf(int index, ushort port) => TransportAddress.FromIPv4(0x7F40_0000u + (uint)index, port);

    /// <summary>Adds clients and joins them, some at a time; ends when each is connected or has failed.</summary>
    /// <returns>The connected ones.</returns>
    public Task<List<BenchPeer>> JoinAsync(IBenchServer server, IReadOnlyList<BenchPeerPlan> plans, int atOnce)
    {
        var completion = new TaskCompletionSource<List<BenchPeer>>(TaskCreationOptions.RunContinuationsAsynchronously);
        var connected = new List<BenchPeer>();
        int next = 0;
        int finished = 0;
        void Start(Instant now)
        {
            if (next == plans.Count)
                return;
            var peer = new BenchPeer(this, _peers.Count, plans[next++], _options);
            _peers.Add(peer);
            peer.Completed = (p, ok) =>
            {
                if (ok)
                    connected.Add(p);
                if (++finished == plans.Count)
                    completion.TrySetResult(connected);
                else
                    Post(Start);
            };
            server.Ask(peer.MakeJoin(now), reply => Post(later => peer.OnAnswer(later, reply)));
        }

        Post(now =>
        {
            for (int i = 0; i < atOnce; i++)
                Start(now);
        });
        return completion.Task;
    }

    /// <summary>Says goodbye for these clients and forgets them.</summary>
    public async Task CloseAsync(IReadOnlyList<BenchPeer> peers)
    {
        for (int i = 0; i < peers.Count; i += 32)
        {
            BenchPeer[] some = [.. peers.Skip(i).Take(32)];
            await InvokeAsync(now =>
            {
                foreach (BenchPeer peer in some)
                {
                    peer.Close(now);
                    _peers[peer.Index] = null;
                    peer.Dispose();
                }

                return true;
            });
            await Task.Delay(5);
        }
    }

    /// <summary>Publishes for a while, to the SFU or straight to the floor's process.</summary>
    public async Task<DriverPhase> PublishAsync(IReadOnlyList<BenchStream> streams, TimeSpan duration, bool toFloor, int audioBytes = 0, int videoBytes = 0)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        (long cpu, long at) = await InvokeAsync(now =>
        {
            _latency = new LatencyHistogram();
            _groups = [.. Enumerable.Range(0, Groups).Select(_ => new LatencyHistogram())];
            _received = _audioBytes = _audioCount = _videoBytes = _videoCount = 0;
            _phase = new PublishPhase(this, streams, now, duration, toFloor, audioBytes, videoBytes, done);
            return (BenchNative.ThreadCpu(), Stopwatch.GetTimestamp());
        });
        PublishPhase phase = _phase!;
        long droppedBefore = _socket.Dropped;
        await done.Task;

        // What is still under way belongs to the phase, and so do repairs of what was lost.
        await Task.Delay(300);
        return await InvokeAsync(_ =>
        {
            _phase = null;
            double load = (BenchNative.ThreadCpu() - cpu) / (Stopwatch.GetElapsedTime(at).TotalSeconds * 1e9);
            return new DriverPhase(
                duration.TotalSeconds, phase.Expected, _received, _latency, load, phase.Latest.TotalMilliseconds, _socket.Dropped - droppedBefore,
                _audioCount == 0 ? 0 : (double)_audioBytes / _audioCount, _videoCount == 0 ? 0 : (double)_videoBytes / _videoCount);
        });
    }

    /// <summary>Latencies of a group's clients in the last phase.</summary>
    public LatencyHistogram GroupLatency(int group) => _groups[group];

    public void Problem(string text)
    {
        if (Interlocked.Increment(ref _problems) <= 5)
            Problems.Enqueue(text);
    }

    public void WakePeer(BenchPeer peer) => Post(peer.Poll);

    /// <summary>On the driver's thread.</summary>
    public void Send(in TransportPath path, ReadOnlySpan<byte> datagram) => _socket.Send(path, datagram);

    /// <summary>A media packet came out of a session.</summary>
    public void OnMedia(long sent, int group = 0)
    {
        _received++;
        if (sent == 0)
            return;
        _latency.Add(_arrival - sent);
        if (group < _groups.Length)
            _groups[group].Add(_arrival - sent);
    }

    public void Dispose()
    {
        _stopping = true;
        _socket.Wake();
        _thread.Join();
        foreach (BenchPeer? peer in _peers)
            peer?.Dispose();
        _socket.Dispose();
        _certificate.Dispose();
    }

    private void Post(Action<Instant> command)
    {
        _commands.Enqueue(command);
        _socket.Wake();
    }

    private Task<T> InvokeAsync<T>(Func<Instant, T> function)
    {
        var completion = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(now => completion.SetResult(function(now)));
        return completion.Task;
    }

    private void Run()
    {
        BenchNative.TryPin(_processors);
        RealTime = BenchNative.TryRealTime();
        long wallOffset = BenchNative.WallOffset();
        Instant offsetUntil = Instant.Of(TimeProvider.System) + TimeSpan.FromSeconds(1);
        while (!_stopping)
        {
            Instant now = Instant.Of(TimeProvider.System);
            while (_commands.TryDequeue(out Action<Instant>? command))
                command(now);
            Wheel.Advance(now);
            Instant publish = _phase?.Step(now) ?? Instant.Never;
            _socket.Flush();
            bool more = _socket.Receive(wallOffset, _handle);
            _socket.Flush();
            if (more || !_commands.IsEmpty)
                continue;
            now = Instant.Of(TimeProvider.System);
            if (now > offsetUntil)
            {
                wallOffset = BenchNative.WallOffset();
                offsetUntil = now + TimeSpan.FromSeconds(1);
            }

            Instant next = Instant.Min(publish, Wheel.NextDue);
            TimeSpan wait = next == Instant.Never ? TimeSpan.FromSeconds(1) : next - now;
            if (_phase is null)
                _socket.Wait(wait, forDatagrams: true);
            else
                _socket.Wait(wait < LazyWait ? wait : LazyWait, forDatagrams: false);
        }
    }

    private void Handle(in TransportPath path, Span<byte> datagram, long arrival)
    {
        _arrival = arrival;
        if (path.Remote.Port == FloorPort && FloorPort != 0)
        {
            OnMedia(datagram.Length >= 12 + BenchPeer.StampOffset + 8 ? BinaryPrimitives.ReadInt64LittleEndian(datagram[(12 + BenchPeer.StampOffset)..]) : 0);
            return;
        }

        uint index = path.Local.IPv4 - 0x7F40_0000u;
        if (index >= (uint)_peers.Count || _peers[(int)index] is not BenchPeer peer)
            return;

        // RTP, not RTCP (RFC 5761), of the media sizes: what the floor will have to send, too.
        if (datagram.Length > 64 && datagram[0] >> 6 == 2 && (datagram[1] & 0x7F) is < 64 or > 95)
        {
            if (datagram.Length > 600)
                (_videoBytes, _videoCount) = (_videoBytes + datagram.Length, _videoCount + 1);
            else
                (_audioBytes, _audioCount) = (_audioBytes + datagram.Length, _audioCount + 1);
        }

        peer.Receive(Instant.Of(TimeProvider.System), path, datagram);
    }
}
