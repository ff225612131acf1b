using System.Collections.Concurrent;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Sfu;

namespace Transcribe.Signaling.Tests.Support;

/// <summary>An SFU node as the bus shows it: keeps what it is asked, answers what it is told to.</summary>
internal sealed class FakeSfu(IMessageBus bus, INodeDirectory nodes, string nodeId = "n1") : IAsyncDisposable
{
    public const string Answer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\na=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:srvu\r\na=ice-pwd:serverpasswordserverpass\r\na=candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host\r\na=end-of-candidates\r\n";

    private readonly List<IAsyncDisposable> _responders = [];

    public ConcurrentDictionary<string, OpenSession> Sessions { get; } = new();

    public ConcurrentQueue<object> Requests { get; } = new();

    /// <summary>Refuses or delays a request; null lets it pass.</summary>
    public Func<object, Task>? Intercept { get; set; }

    public IReadOnlyList<MediaAssignment> Assignments { get; set; } = [];

    public async Task StartAsync()
    {
        await AnnounceAsync();
        _responders.Add(await bus.RespondAsync<Ping, Pong>(
            NodeSubjects.Ping(NodeRole.Sfu, nodeId), (_, _) => ValueTask.FromResult(new Pong(nodeId, NodeState.Active))));
        await OnAsync<OpenSession, Ack>(SfuSubjects.Open(nodeId), request =>
        {
            Sessions[request.SessionId] = request;
            return new Ack();
        });
        await OnAsync<NegotiateSession, SessionNegotiated>(SfuSubjects.Negotiate(nodeId), request => new SessionNegotiated(
            Answer, [.. request.Tracks.Select(track => new NegotiatedMedia(track.Mid, "TR_" + track.Mid))], Assignments));
        await OnAsync<AddSessionCandidate, Ack>(SfuSubjects.AddCandidate(nodeId), _ => new Ack());
        await OnAsync<DescribeSession, SessionDescription>(SfuSubjects.Describe(nodeId), request => Sessions.ContainsKey(request.SessionId)
            ? new SessionDescription(request.SessionId, Connected, [], Assignments, null)
            : throw new BusException("session_not_found", "Gone."));
        await OnAsync<SetSubscription, Ack>(SfuSubjects.Subscribe(nodeId), _ => new Ack());
        await OnAsync<SetTrackMuted, Ack>(SfuSubjects.SetMuted(nodeId), _ => new Ack());
        await OnAsync<CloseSession, Ack>(SfuSubjects.Close(nodeId), request =>
        {
            Sessions.TryRemove(request.SessionId, out _);
            return new Ack();
        });
    }

    public ValueTask AnnounceAsync() => nodes.AnnounceAsync(new NodeInfo(nodeId, NodeRole.Sfu, "127.0.0.1:7882"));

    public IEnumerable<T> Asked<T>() => Requests.OfType<T>();

    public ValueTask TellAsync(string sessionId, SfuSessionEvent change) => bus.PublishAsync(SfuSubjects.SessionEvents(sessionId), change with { Node = nodeId });

    /// <summary>What it says of every session.</summary>
    public bool Connected { get; set; }

    /// <summary>As after a SIGKILL: it answers no more, and what it had is gone.</summary>
    public async Task DieAsync()
    {
        await DisposeAsync();
        await nodes.RemoveAsync(NodeRole.Sfu, nodeId);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IAsyncDisposable responder in _responders)
            await responder.DisposeAsync();
    }

    private async Task OnAsync<TRequest, TReply>(string subject, Func<TRequest, TReply> answer)
        where TRequest : class =>
        _responders.Add(await bus.RespondAsync<TRequest, TReply>(subject, async (request, _) =>
        {
            if (Intercept is { } intercept)
                await intercept(request);

            Requests.Enqueue(request);
            return answer(request);
        }));
}
