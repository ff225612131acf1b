using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.Cluster;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Redis;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tests.Support;
using Transcribe.Cluster.Tokens;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Sfu.Control;
using Transcribe.Sfu.Relay;
using Transcribe.Sfu.Tests.Simulation;

namespace Transcribe.Sfu.Tests.Relay;

/// <summary>Several nodes with real UDP on loopback, over one bus and one store in this process.</summary>
internal sealed class RelayCluster : IAsyncDisposable
{
    public const string Key = "0123456789abcdef0123456789abcdef";

    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    public static readonly Grants Everything = new() { Publish = true, Subscribe = true, PublishData = true, PublishDataLabels = ["captions"] };

    private readonly InProcessStateStore _state = new(TimeProvider.System);
    private readonly AwayStore _seen;
    private readonly INodeDirectory _nodes;
    private readonly RedisServer? _redis;
    private readonly List<IAsyncDisposable> _members = [];
    private readonly List<UdpPeer> _peers = [];
    private int _sessions;

    /// <summary>Every node with services of its own, over one Redis.</summary>
    public RelayCluster(RedisServer redis)
    {
        _redis = redis;
        IServiceProvider services = Member();
        Bus = services.GetRequiredService<IMessageBus>();
        Rooms = services.GetRequiredService<IRoomDirectory>();
        _nodes = services.GetRequiredService<INodeDirectory>();
        _seen = new AwayStore(services.GetRequiredService<IStateStore>());
        Tree = new RelayTree(_seen, TimeProvider.System, 8, 3);
    }

    public RelayCluster()
    {
        Bus = new InProcessMessageBus(NullLogger<InProcessMessageBus>.Instance, TimeProvider.System);
        Rooms = new RoomDirectory(_state, new InProcessEventLog(TimeProvider.System), Bus, TimeProvider.System);
        _nodes = new NodeDirectory(_state);
        _seen = new AwayStore(_state);
        Tree = new RelayTree(_state, TimeProvider.System, 8, 3);
    }

    public IMessageBus Bus { get; }

    public IRoomDirectory Rooms { get; }

    public RelayTree Tree { get; }

    /// <summary>The relays' store does not answer.</summary>
    public bool StoreIsAway { set => _seen.IsAway = value; }

    public Dictionary<string, SfuNode> Nodes { get; } = [];

    public static async Task WaitAsync(Func<bool> condition, string what, TimeSpan? patience = null)
    {
        DateTime end = DateTime.UtcNow + (patience ?? Patience);
        while (!condition())
        {
            Assert.True(DateTime.UtcNow < end, $"waited in vain for: {what}");
            await Task.Delay(10);
        }
    }

    public async Task<SfuNode> StartAsync(string id, Action<SfuOptions>? configure = null, bool withKey = true)
    {
        var options = new SfuOptions { NodeId = id, UdpPort = 0, Workers = 1, BindAddress = "127.0.0.1" };
        options.Relay.ClusterKey = withKey && _redis is null ? Key : null;
        configure?.Invoke(options);
        SfuNode node = _redis is not null ? OverRedis(options) : new SfuNode(options, Bus, Rooms, _nodes, TimeProvider.System, TestLog.Instance, state: _seen);
        await node.StartAsync(CancellationToken.None);
        Nodes.Add(id, node);
        return node;
    }

    public async Task StopAsync(string id)
    {
        if (!Nodes.Remove(id, out SfuNode? node))
            return;
        await node.StopAsync(CancellationToken.None);
        node.Dispose();
    }

    public Task<TReply> AskAsync<TRequest, TReply>(string subject, TRequest request) => Bus.RequestAsync<TRequest, TReply>(subject, request, Patience).AsTask();

    /// <summary>A node as it announced itself last.</summary>
    public async Task<NodeInfo> DescribeAsync(string id) => (await _nodes.ListAsync(NodeRole.Sfu)).Single(node => node.Id == id);

    /// <summary>Joins on a node; slots are assigned as tracks come.</summary>
    public async Task<Member> JoinAsync(string node, string participant, int publishAudio = 0, int publishVideo = 0, int audioSlots = 0, int videoSlots = 0, string room = "demo", bool moved = false)
    {
        string session = $"S{Interlocked.Increment(ref _sessions)}";
        var peer = new UdpPeer();
        lock (_peers)
            _peers.Add(peer);
        var member = new Member(this, node, session, peer);
        await Bus.SubscribeAsync<SfuSessionEvent>(SfuSubjects.SessionEvents(session), (e, _) =>
        {
            if (e is SessionAssigned assigned)
            {
                foreach (MediaAssignment assignment in assigned.Assignments)
                    member.Assignments[assignment.Mid] = assignment.TrackId;
            }

            return ValueTask.CompletedTask;
        });
        await AskAsync<OpenSession, Ack>(SfuSubjects.Open(node), new OpenSession(session, room, participant, moved ? Everything with { PublishDataLabels = [] } : Everything, Moved: moved));
        await Rooms.JoinAsync(room, session, participant, null, true);
        (string offer, PublishedMedia[] tracks) = peer.Do((rtc, now) =>
        {
            List<PublishedMedia> published = [];
            for (int i = 0; i < publishAudio; i++)
                published.Add(new(rtc.AddMedia(MediaKind.Audio, MediaDirection.SendOnly).Mid, TrackSource.Microphone));
            for (int i = 0; i < publishVideo; i++)
                published.Add(new(rtc.AddMedia(MediaKind.Video, MediaDirection.SendOnly).Mid, TrackSource.Camera));
            for (int i = 0; i < audioSlots; i++)
                rtc.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
            for (int i = 0; i < videoSlots; i++)
                rtc.AddMedia(MediaKind.Video, MediaDirection.RecvOnly);
            return (rtc.CreateOffer(now), published.ToArray());
        });
        member.Answer = await AskAsync<NegotiateSession, SessionNegotiated>(SfuSubjects.Negotiate(node), new NegotiateSession(session, offer, tracks));
        foreach (MediaAssignment assignment in member.Answer.Assignments)
            member.Assignments.TryAdd(assignment.Mid, assignment.TrackId);
        Assert.True(peer.Do((rtc, now) => rtc.TrySetRemoteAnswer(now, member.Answer.Sdp, out _)));
        await peer.Connected.WaitAsync(Patience);
        return member;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (UdpPeer peer in _peers)
            peer.Dispose();
        foreach (string id in Nodes.Keys.ToArray())
            await StopAsync(id);
        foreach (IAsyncDisposable member in _members)
            await member.DisposeAsync();
        if (Bus is InProcessMessageBus own)
            await own.DisposeAsync();
    }

    private SfuNode OverRedis(SfuOptions options)
    {
        IServiceProvider services = Member();
        return new SfuNode(
            options, services.GetRequiredService<IMessageBus>(), services.GetRequiredService<IRoomDirectory>(),
            services.GetRequiredService<INodeDirectory>(), TimeProvider.System, TestLog.Instance, services.GetRequiredService<IClusterConnection>(),
            NodeHeartbeat.Cluster, services.GetRequiredService<IStateStore>(), services.GetRequiredService<RedisClusterOptions>());
    }

    private ServiceProvider Member()
    {
        var services = new ServiceCollection();
        services.AddSingleton<ILoggerFactory>(NullLoggerFactory.Instance);
        services.AddSingleton(typeof(ILogger<>), typeof(NullLogger<>));
        services.AddRedisCluster(
            new RedisClusterOptions { Redis = _redis!.ConnectionString, ClusterKey = Key, Prefix = "test" }, ApiKeyRing.CreateDevelopment());
        ServiceProvider member = services.BuildServiceProvider();
        _members.Add(member);
        return member;
    }

    private sealed class AwayStore(IStateStore inner) : IStateStore
    {
        private volatile bool _away;

        public bool IsAway { set => _away = value; }

        private IStateStore Inner => _away ? throw new ClusterUnavailableException("away") : inner;

        public ValueTask<StateEntry?> GetAsync(string key, CancellationToken cancellationToken = default) => Inner.GetAsync(key, cancellationToken);

        public ValueTask<StateEntry> SetAsync(string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) =>
            Inner.SetAsync(key, value, timeToLive, cancellationToken);

        public ValueTask<StateEntry?> TryAddAsync(string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) =>
            Inner.TryAddAsync(key, value, timeToLive, cancellationToken);

        public ValueTask<StateEntry?> TryReplaceAsync(string key, long version, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) =>
            Inner.TryReplaceAsync(key, version, value, timeToLive, cancellationToken);

        public ValueTask<bool> TryDeleteAsync(string key, long version, CancellationToken cancellationToken = default) =>
            Inner.TryDeleteAsync(key, version, cancellationToken);

        public ValueTask<bool> DeleteAsync(string key, CancellationToken cancellationToken = default) => Inner.DeleteAsync(key, cancellationToken);

        public ValueTask<IReadOnlyList<StateEntry>> ListAsync(string prefix, CancellationToken cancellationToken = default) =>
            Inner.ListAsync(prefix, cancellationToken);
    }

    private sealed class TestLog : ILogger<SfuNode>
    {
        public static TestLog Instance { get; } = new();

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information || Environment.GetEnvironmentVariable("RELAY_LOG") is not null;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (Environment.GetEnvironmentVariable("RELAY_LOG") is not null)
                Console.Error.WriteLine($"{DateTime.UtcNow:ss.fff} {logLevel} {formatter(state, exception)} {exception}");
        }
    }
}

/// <summary>A participant on one of the nodes.</summary>
internal sealed class Member(RelayCluster cluster, string node, string session, UdpPeer peer)
{
    private readonly DateTime _born = DateTime.UtcNow;

    public UdpPeer Peer { get; } = peer;

    public string Session { get; } = session;

    public SessionNegotiated Answer { get; set; } = null!;

    public ConcurrentDictionary<string, string?> Assignments { get; } = new();

    public string TrackId(int index = 0) => Answer.Published[index].TrackId;

    public bool Receives(string trackId) => Assignments.Values.Contains(trackId);

    public bool Speak(uint timestamp) => Peer.Do((rtc, now) =>
    {
        RtcMedia media = rtc.Media.First(m => m.Kind == MediaKind.Audio && m.Direction == MediaDirection.SendOnly);
        return media.Send(now, [1, 2, 3, (byte)(timestamp / 960)], media.Codecs[0].PayloadType, false, timestamp);
    });

    /// <summary>With the timestamp of a microphone that runs all the time.</summary>
    public bool SpeakNow() => Speak((uint)(long)((DateTime.UtcNow - _born).TotalMilliseconds * 48));

    public bool Show(uint timestamp, bool keyframe) => Peer.Do((rtc, now) =>
    {
        RtcMedia media = rtc.Media.First(m => m.Kind == MediaKind.Video && m.Direction == MediaDirection.SendOnly);
        return media.Send(
            now, keyframe ? [0x10, 0x10, 0, 0, 0x9D, 0x01, 0x2A, 64, 0, 64, 0] : [0x10, 0x11, 0, 0, 7], media.Codecs[0].PayloadType, true, timestamp);
    });

    public Task LeaveAsync() => cluster.AskAsync<CloseSession, Ack>(SfuSubjects.Close(node), new CloseSession(Session, "left"));
}
