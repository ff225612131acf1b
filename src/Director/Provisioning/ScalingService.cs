using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.State;
using Transcribe.Director.Nodes;

namespace Transcribe.Director.Provisioning;

/// <summary>Keeps the fleet as large as the policy wants it. One Director does it at a time; while the cluster is out of reach nobody does.</summary>
internal sealed partial class ScalingService(
    INodeProvisioner provisioner,
    ProvisioningOptions options,
    INodeDirectory nodes,
    DrainStore drains,
    NodeCommander commander,
    DirectorLeases leases,
    IClusterConnection connection,
    TimeProvider time,
    ILogger<ScalingService> log) : BackgroundService
{
    private const string LeaseName = "director/scaling";

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    /// <summary>After the cluster came back, nodes announce themselves anew: who judges at once sees an empty fleet.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan LongestRetry = TimeSpan.FromMinutes(5);

    /// <summary>When a Director is killed, another goes on after this.</summary>
    private static readonly TimeSpan LeaseLifetime = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan LeaseRenewal = TimeSpan.FromSeconds(3);

    private readonly Dictionary<string, DateTimeOffset> _seen = new(StringComparer.Ordinal);
    private readonly HashSet<string> _awaited = new(StringComparer.Ordinal);
    private ScalingDirector _scaling = new(options.Policy);
    private DateTimeOffset? _leadingSince;
    private DateTimeOffset _awayAt = DateTimeOffset.MinValue;
    private DateTimeOffset _startAgainAt = DateTimeOffset.MinValue;
    private int _failures;
    private Lease? _lease;

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        try
        {
            await provisioner.ShutdownAsync(cancellationToken);
            if (_lease is { } lease)
                await leases.ReleaseAsync(lease, cancellationToken);
        }
        catch (Exception e) when (e is ProvisioningException or ClusterUnavailableException or OperationCanceledException)
        {
            LogFailed(e, e.Message);
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        LogStarted(provisioner.Name, options.Policy.MinNodes, options.Policy.MaxNodes, options.Policy.Headroom);
        using var timer = new PeriodicTimer(Interval, time);
        string? complaint = null;
        void OnReconnected(ClusterReconnected _) => _awayAt = time.GetUtcNow();
        connection.Reconnected += OnReconnected;
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                string? wrong = null;
                try
                {
                    await RunOnceAsync(stoppingToken);
                }
                catch (Exception e) when (e is not OperationCanceledException)
                {
                    // Once each time something new is wrong: an outage lasts many ticks.
                    wrong = e is ProvisioningException ? e.Message : e.GetType().Name;
                    if (wrong != complaint && e is ProvisioningException)
                        LogFailed(e, e.Message);
                    else if (wrong != complaint)
                        LogAway(e);
                }

                complaint = wrong;
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            LogStopped();
        }
        finally
        {
            connection.Reconnected -= OnReconnected;
        }
    }

    internal async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        DateTimeOffset now = time.GetUtcNow();
        if (!connection.IsConnected)
        {
            _awayAt = now;
            return;
        }

        if (now - _awayAt < Settling)
            return;

        _lease = await leases.TryAcquireAsync(LeaseName, LeaseLifetime, cancellationToken);
        if (_lease is null)
        {
            // What was remembered is another's now.
            _leadingSince = null;
            return;
        }

        if (_leadingSince is null)
            (_leadingSince, _scaling) = (now, new ScalingDirector(options.Policy));

        // Starting and stopping nodes takes its time.
        using var done = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task keeping = KeepLeaseAsync(done.Token);
        try
        {
            await LeadAsync(now, cancellationToken);
        }
        finally
        {
            await done.CancelAsync();
            await keeping;
        }
    }

    private async Task KeepLeaseAsync(CancellationToken done)
    {
        while (_lease is { } lease)
        {
            await Task.Delay(LeaseRenewal, time, done).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (done.IsCancellationRequested)
                return;

            try
            {
                _lease = await leases.TryRenewAsync(lease, LeaseLifetime, done);
            }
            catch (Exception e) when (e is OperationCanceledException or ClusterUnavailableException)
            {
                // While the store is away nobody else gets it either.
                LogNotRenewed(e.GetType().Name);
            }
        }
    }

    private async ValueTask LeadAsync(DateTimeOffset now, CancellationToken cancellationToken)
    {
        IReadOnlyList<ProvisionedNode> ours = await provisioner.ListAsync(cancellationToken);
        IReadOnlyList<NodeInfo> announced = await nodes.ListAsync(NodeRole.Sfu, cancellationToken);
        foreach (NodeInfo node in announced)
        {
            _seen[node.Id] = now;
            if (_awaited.Remove(node.Id))
                _failures = 0;
        }

        ProvisionedNode[] silent = [.. ours.Where(node => announced.All(other => other.Id != node.Id))];
        string[] stuck = provisioner.HealsItself ? [] : [.. silent.Where(node => now - LastSign(node) >= options.Policy.StartupGrace).Select(node => node.Id)];
        NoteDead(ours, now);
        IReadOnlyList<(StateEntry Entry, Drain Drain)> orders = await drains.ListAsync(cancellationToken);
        var view = new FleetView(
            announced,
            ours.Select(node => node.Id).ToHashSet(StringComparer.Ordinal),
            silent.Count(node => !stuck.Contains(node.Id) && orders.All(order => order.Drain.Id != node.Id)),
            [.. orders.Select(order => order.Drain).Where(drain => drain.Role == NodeRole.Sfu)]);
        await ApplyAsync(_scaling.Decide(view, now), stuck, now, cancellationToken);
    }

    private async ValueTask ApplyAsync(ScalingDecision decision, string[] stuck, DateTimeOffset now, CancellationToken cancellationToken)
    {
        foreach (string id in decision.Keep)
            await commander.CancelAsync(NodeRole.Sfu, id, cancellationToken);

        if (provisioner.ChooseForRemoval(decision.Removable) is { } victim)
            await commander.DrainAsync(victim, options.Policy.DrainDeadline, Drain.ByScaling, cancellationToken);

        if (stuck.Length > 0)
        {
            LogStuck(string.Join(", ", stuck), options.Policy.StartupGrace.TotalSeconds);
            Fail(now);
        }

        string[] stop = [.. decision.Stop, .. stuck];
        if (stop.Length > 0)
        {
            await provisioner.StopAsync(stop, cancellationToken);
            LogStopping(string.Join(", ", stop));
            foreach (string id in stop)
            {
                _awaited.Remove(id);
                _seen.Remove(id);
                if (decision.Stop.Contains(id))
                    await drains.DeleteAsync(NodeRole.Sfu, id, cancellationToken);
            }
        }

        if (decision.Start > 0 && now >= _startAgainAt)
            await StartAsync(decision.Start, now, cancellationToken);
    }

    private async ValueTask StartAsync(int count, DateTimeOffset now, CancellationToken cancellationToken)
    {
        LogStarting(count, provisioner.Name);
        try
        {
            await provisioner.StartAsync(count, cancellationToken);
        }
        catch (ProvisioningException)
        {
            Fail(now);
            throw;
        }
    }

    /// <summary>A node that was started, never announced itself and is no more, failed to start.</summary>
    private void NoteDead(IReadOnlyList<ProvisionedNode> ours, DateTimeOffset now)
    {
        string[] dead = [.. _awaited.Where(id => ours.All(node => node.Id != id))];
        _awaited.ExceptWith(dead);
        if (dead.Length > 0 && !provisioner.HealsItself)
            Fail(now);

        foreach (ProvisionedNode node in ours)
        {
            if (!_seen.ContainsKey(node.Id))
                _awaited.Add(node.Id);
        }

        foreach ((string id, DateTimeOffset at) in _seen)
        {
            if (now - at > TimeSpan.FromHours(1))
                _seen.Remove(id);
        }
    }

    private void Fail(DateTimeOffset now)
    {
        TimeSpan wait = options.Policy.RetryAfter * Math.Pow(2, Math.Min(_failures++, 16));
        _startAgainAt = now + (wait < LongestRetry ? wait : LongestRetry);
        LogRetry((_startAgainAt - now).TotalSeconds);
    }

    private DateTimeOffset LastSign(ProvisionedNode node)
    {
        DateTimeOffset last = node.StartedAt > _awayAt ? node.StartedAt : _awayAt;
        if (_leadingSince is { } leading && leading > last)
            last = leading;

        if (_seen.TryGetValue(node.Id, out DateTimeOffset seen) && seen > last)
            last = seen;

        return last;
    }

    [LoggerMessage(4201, LogLevel.Information, "SFU nodes are provisioned by \"{Provisioner}\": {Min} to {Max} of them, {Headroom} of the fleet kept free")]
    private partial void LogStarted(string provisioner, int min, int max, double headroom);

    [LoggerMessage(4202, LogLevel.Information, "Starting {Count} SFU nodes by \"{Provisioner}\"")]
    private partial void LogStarting(int count, string provisioner);

    [LoggerMessage(4203, LogLevel.Information, "Stopped SFU nodes {Nodes}")]
    private partial void LogStopping(string nodes);

    [LoggerMessage(4204, LogLevel.Warning, "SFU nodes {Nodes} gave no sign for {Seconds} s and are replaced")]
    private partial void LogStuck(string nodes, double seconds);

    [LoggerMessage(4205, LogLevel.Warning, "An SFU node did not start; the next is started in {Seconds} s at the soonest")]
    private partial void LogRetry(double seconds);

    [LoggerMessage(4206, LogLevel.Error, "Provisioning failed: {Reason}")]
    private partial void LogFailed(Exception exception, string reason);

    [LoggerMessage(4207, LogLevel.Warning, "The fleet is not looked after: the state store or the bus is away")]
    private partial void LogAway(Exception exception);

    [LoggerMessage(4209, LogLevel.Debug, "The claim on the fleet was not renewed: {Reason}")]
    private partial void LogNotRenewed(string reason);

    [LoggerMessage(4208, LogLevel.Debug, "The fleet is no longer looked after")]
    private partial void LogStopped();
}
