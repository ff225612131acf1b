using Microsoft.Extensions.Time.Testing;
using Transcribe.Cluster;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.State;

namespace Transcribe.Signaling.Tests.Support;

/// <summary>What the nodes of a test have in common: clock, bus and stores.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    public TestCluster()
    {
        Bus = new LossyBus(Time);
        State = new InProcessStateStore(Time);
        Log = new InProcessEventLog(Time);
        Leases = new InProcessLeaseStore(Time);
        Nodes = new NodeDirectory(new NodeWire(this), Key, time: Time);
    }

    public ClusterKey Key { get; } = ClusterKey.CreateRandom();

    public FakeTimeProvider Time { get; } = new(new DateTimeOffset(2026, 11, 22, 10, 0, 0, TimeSpan.Zero));

    public LossyBus Bus { get; }

    public IStateStore State { get; private set; }

    public IEventLog Log { get; private set; }

    public ILeaseStore Leases { get; private set; }

    public INodeDirectory Nodes { get; }

    /// <summary>As a Redis that comes back without its data.</summary>
    public void LoseState()
    {
        State = new InProcessStateStore(Time);
        Log = new InProcessEventLog(Time);
        Leases = new InProcessLeaseStore(Time);
    }

    /// <summary>Lets the virtual time pass in steps, and what waits for it run.</summary>
    public async Task PassAsync(TimeSpan duration)
    {
        TimeSpan step = TimeSpan.FromMilliseconds(500);
        for (TimeSpan passed = TimeSpan.Zero; passed < duration; passed += step)
        {
            Time.Advance(step);
            await Task.Delay(15);
        }
    }

    /// <summary>Lets the virtual time pass until something is so.</summary>
    public async Task UntilAsync(Func<bool> condition, string what)
    {
        for (int i = 0; i < 200 && !condition(); i++)
            await PassAsync(TimeSpan.FromMilliseconds(500));

        Assert.True(condition(), what);
    }

    public ValueTask DisposeAsync() => Bus.DisposeAsync();
}

/// <summary>One node's way to what the nodes have in common; it can be cut, as when Redis is away or the node is dead.</summary>
internal sealed class NodeWire(TestCluster cluster) : IMessageBus, IStateStore, IEventLog, ILeaseStore, IClusterConnection
{
    private volatile bool _cut;

    public event Action<ClusterReconnected>? Reconnected;

    public bool IsConnected => !_cut;

    public void Cut() => _cut = true;

    public void Mend(bool stateWasLost = false)
    {
        _cut = false;
        Reconnected?.Invoke(new ClusterReconnected(stateWasLost));
    }

    public ValueTask PublishAsync<T>(string subject, T message, CancellationToken cancellationToken = default) =>
        _cut ? ValueTask.CompletedTask : cluster.Bus.PublishAsync(subject, message, cancellationToken);

    public ValueTask<IAsyncDisposable> SubscribeAsync<T>(
        string subject, Func<T, CancellationToken, ValueTask> handler, CancellationToken cancellationToken = default) =>
        cluster.Bus.SubscribeAsync<T>(
            subject, (message, token) => _cut ? ValueTask.CompletedTask : handler(message, token), cancellationToken);

    public ValueTask<TReply> RequestAsync<TRequest, TReply>(
        string subject, TRequest request, TimeSpan timeout, CancellationToken cancellationToken = default) =>
        _cut
            ? throw new BusException(BusException.Unavailable, "The bus is away.")
            : cluster.Bus.RequestAsync<TRequest, TReply>(subject, request, timeout, cancellationToken);

    public ValueTask<IAsyncDisposable> RespondAsync<TRequest, TReply>(
        string subject, Func<TRequest, CancellationToken, ValueTask<TReply>> handler, CancellationToken cancellationToken = default) =>
        cluster.Bus.RespondAsync<TRequest, TReply>(
            subject,
            (request, token) => _cut ? throw new BusException(BusException.NoResponder, "Nobody answers.") : handler(request, token),
            cancellationToken);

    public ValueTask<StateEntry?> GetAsync(string key, CancellationToken cancellationToken = default) => State.GetAsync(key, cancellationToken);

    public ValueTask<StateEntry> SetAsync(string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) =>
        State.SetAsync(key, value, timeToLive, cancellationToken);

    public ValueTask<StateEntry?> TryAddAsync(string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) =>
        State.TryAddAsync(key, value, timeToLive, cancellationToken);

    public ValueTask<StateEntry?> TryReplaceAsync(
        string key, long version, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) =>
        State.TryReplaceAsync(key, version, value, timeToLive, cancellationToken);

    public ValueTask<bool> TryDeleteAsync(string key, long version, CancellationToken cancellationToken = default) =>
        State.TryDeleteAsync(key, version, cancellationToken);

    public ValueTask<bool> DeleteAsync(string key, CancellationToken cancellationToken = default) => State.DeleteAsync(key, cancellationToken);

    public ValueTask<IReadOnlyList<StateEntry>> ListAsync(string prefix, CancellationToken cancellationToken = default) =>
        State.ListAsync(prefix, cancellationToken);

    public ValueTask<long> AppendAsync(string log, string value, string? idempotencyKey = null, CancellationToken cancellationToken = default) =>
        Log.AppendAsync(log, value, idempotencyKey, cancellationToken);

    public ValueTask<IReadOnlyList<LogEntry>> ReadAsync(
        string log, long afterSequence, int max = 1000, CancellationToken cancellationToken = default) =>
        Log.ReadAsync(log, afterSequence, max, cancellationToken);

    public ValueTask<long> LastSequenceAsync(string log, CancellationToken cancellationToken = default) => Log.LastSequenceAsync(log, cancellationToken);

    public ValueTask TrimAsync(string log, int keep, CancellationToken cancellationToken = default) => Log.TrimAsync(log, keep, cancellationToken);

    ValueTask IEventLog.DeleteAsync(string log, CancellationToken cancellationToken) => Log.DeleteAsync(log, cancellationToken);

    public ValueTask<Lease?> TryAcquireAsync(string name, string owner, TimeSpan timeToLive, CancellationToken cancellationToken = default) =>
        Leases.TryAcquireAsync(name, owner, timeToLive, cancellationToken);

    public ValueTask<Lease?> TryRenewAsync(Lease lease, TimeSpan timeToLive, CancellationToken cancellationToken = default) =>
        Leases.TryRenewAsync(lease, timeToLive, cancellationToken);

    public ValueTask ReleaseAsync(Lease lease, CancellationToken cancellationToken = default) => Leases.ReleaseAsync(lease, cancellationToken);

    ValueTask<IReadOnlyList<Lease>> ILeaseStore.ListAsync(string prefix, CancellationToken cancellationToken) => Leases.ListAsync(prefix, cancellationToken);

    private IStateStore State => Check(cluster.State);

    private IEventLog Log => Check(cluster.Log);

    private ILeaseStore Leases => Check(cluster.Leases);

    private T Check<T>(T store) => _cut ? throw new ClusterUnavailableException("The store is away.") : store;
}
