using System.Text.Json;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Sfu;

namespace Transcribe.Signaling.Sessions;

/// <summary>
/// Empties this node while it is being drained. Its clients are told, spread over the time until the deadline, to go on at other signalling
/// nodes, where they resume their sessions; WHIP and WHEP sessions are given to other nodes as they are. Media is touched by neither. Who is
/// still here after the deadline is told too, and cut a moment later. While there is no other active node, nobody is sent away.
/// </summary>
internal sealed partial class SignalingDrain(
    SignalingOptions options, NodeStandings standings, INodeDirectory nodes, SessionManager sessions, IMessageBus bus, TimeProvider time,
    ILogger<SignalingDrain> logger)
{
    /// <summary>Who is still here this long after it was told is told again: it may have found nobody.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    /// <summary>After the deadline: how long who was told may take to go.</summary>
    private static readonly TimeSpan LastPatience = TimeSpan.FromSeconds(5);

    /// <summary>After the deadline everybody is told within this, however many they are.</summary>
    private static readonly TimeSpan LastSpread = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan TakeTimeout = TimeSpan.FromSeconds(2);

    /// <summary>Part of the time that is left in which everybody is to be told: the last ones need some to go.</summary>
    private const double Share = 0.8;

    private readonly ILogger _logger = logger;
    private readonly Dictionary<string, DateTimeOffset> _told = new(StringComparer.Ordinal);
    private bool _wasDraining;
    private int _turn;

    /// <summary>To be called once a second.</summary>
    public async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        NodeStanding standing = standings[NodeRole.Signaling];
        IReadOnlyList<NodeInfo> others = standing.IsDraining ? await ListOthersAsync(cancellationToken).ConfigureAwait(false) : [];
        DateTimeOffset now = time.GetUtcNow();
        bool late = standing.Deadline is { } deadline && now >= deadline;
        sessions.RefusesJoins = others.Count > 0;
        sessions.RefusesResumes = others.Count > 0 && late;
        if (others.Count == 0)
        {
            _told.Clear();
            if (_wasDraining && !standing.IsDraining)
                LogStays(sessions.Count);
            _wasDraining = standing.IsDraining;
            return;
        }

        if (!_wasDraining)
            LogDraining(sessions.Count, others.Count);
        _wasDraining = true;
        ClientSession[] all = [.. sessions.All.Where(session => !session.Ended)];
        foreach (string gone in _told.Keys.Except(all.Select(session => session.Id)).ToArray())
            _told.Remove(gone);

        if (late)
            Cut(all, now);

        ClientSession[] waiting = [.. all.Where(session => IsToBeTold(session, now))];
        TimeSpan left = standing.Deadline is { } end ? end + (late ? LastSpread : TimeSpan.Zero) - now : LastSpread;
        int most = late ? int.MaxValue : options.MaxGoAwaysPerSecond;
        int count = Math.Clamp((int)Math.Ceiling(waiting.Length / Math.Max(1, left.TotalSeconds * Share)), 1, most);
        await Task.WhenAll(waiting.Take(count).Select(session => SendAwayAsync(session, others, now, cancellationToken))).ConfigureAwait(false);
    }

    /// <summary>The store is away: nobody else could take a session now, so who comes is taken here.</summary>
    public void Suspend() => sessions.RefusesJoins = sessions.RefusesResumes = false;

    private bool IsToBeTold(ClientSession session, DateTimeOffset now) =>
        (session.Outbox is null || session.Outbox.IsConnected)
        && (!_told.TryGetValue(session.Id, out DateTimeOffset told) || now - told >= Patience);

    private void Cut(ClientSession[] all, DateTimeOffset now)
    {
        int cut = 0;
        foreach (ClientSession session in all)
        {
            if (session.Outbox is not { IsConnected: true } outbox
                || !_told.TryGetValue(session.Id, out DateTimeOffset told) || now - told < LastPatience)
            {
                continue;
            }

            outbox.Abort();
            cut++;
        }

        if (cut > 0)
            LogCut(cut);
    }

    private Task SendAwayAsync(ClientSession session, IReadOnlyList<NodeInfo> others, DateTimeOffset now, CancellationToken cancellationToken)
    {
        _told[session.Id] = now;
        int first = _turn++ % others.Count;
        if (session.Outbox is not { } outbox)
            return GiveAsync(session.Id, others[first].Id, cancellationToken);

        // Everybody gets another order, so that no node is overrun.
        string[] urls = [.. others.Skip(first).Concat(others.Take(first)).Select(node => HubMethods.UrlOf(node.Address)).OfType<string>()];
        if (urls.Length > 0)
            outbox.Post(new Outgoing(HubMethods.GoAway, JsonSerializer.SerializeToElement(new GoAway(urls), ClusterJson.Options)));

        return Task.CompletedTask;
    }

    private async Task GiveAsync(string session, string node, CancellationToken cancellationToken)
    {
        try
        {
            await bus.RequestAsync<TakeSession, Ack>(SignalingSubjects.Take(node), new TakeSession(session), TakeTimeout, cancellationToken).ConfigureAwait(false);
        }
        catch (BusException e)
        {
            // It is asked again, or another one is.
            LogNotTaken(session, node, e.Code);
        }
    }

    /// <summary>The other active nodes, those of our region first.</summary>
    private async Task<IReadOnlyList<NodeInfo>> ListOthersAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<NodeInfo> all = await nodes.ListAsync(NodeRole.Signaling, cancellationToken).ConfigureAwait(false);
        NodeInfo[] active = [.. all.Where(node => node.Id != options.NodeId && node.State == NodeState.Active)];
        NodeInfo[] near = [.. active.Where(node => node.Region == options.Region)];
        return near.Length > 0 ? near : active;
    }

    [LoggerMessage(2601, LogLevel.Information, "Draining: {Sessions} sessions are sent to {Nodes} other signalling nodes")]
    private partial void LogDraining(int sessions, int nodes);

    [LoggerMessage(2602, LogLevel.Information, "No longer draining: {Sessions} sessions stay")]
    private partial void LogStays(int sessions);

    [LoggerMessage(2603, LogLevel.Warning, "The drain's deadline has passed: {Connections} connections that did not go by themselves are cut")]
    private partial void LogCut(int connections);

    [LoggerMessage(2604, LogLevel.Debug, "Session {Session} was not taken by signalling node {Node}: {Code}")]
    private partial void LogNotTaken(string session, string node, string code);
}
