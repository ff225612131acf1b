using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Transcribe.AiGateway.Claims;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Transcripts;

namespace Transcribe.AiGateway.Tests.Claims;

public sealed class RoomLeaseTests
{
    private readonly FakeTimeProvider _clock = new() { AutoAdvanceAmount = TimeSpan.Zero };
    private readonly TranscriptStore _transcripts;
    private readonly HangingLeases _leases;

    public RoomLeaseTests()
    {
        _transcripts = new(new InProcessEventLog(_clock), new InProcessStateStore(_clock));
        _leases = new(new InProcessLeaseStore(_clock));
    }

    private async Task<RoomLease> ClaimAsync(string node)
    {
        RoomLease? lease = await RoomLease.TryClaimAsync(
            "room", _leases, _transcripts, new AiGatewayOptions { Node = node }, _clock, NullLogger.Instance, TestContext.Current.CancellationToken);
        Assert.NotNull(lease);
        await _transcripts.OpenAsync("room", lease.Writer, TestContext.Current.CancellationToken);
        return lease;
    }

    private async Task PassAsync(double seconds)
    {
        for (int i = 0; i < Math.Round(seconds / 0.05); i++)
        {
            _clock.Advance(TimeSpan.FromMilliseconds(50));
            await Task.Delay(2, TestContext.Current.CancellationToken);
        }
    }

    [Fact]
    public async Task A_store_that_hangs_for_longer_than_the_lease_takes_no_room_away()
    {
        await using RoomLease lease = await ClaimAsync("gateway-1");
        _leases.Hang();
        await PassAsync(4);
        Assert.Equal(PublishRight.Granted, lease.Right);

        // What was asked meanwhile is answered now, also what nobody waits for any more.
        await _leases.GoOnAsync();
        await PassAsync(3);
        Assert.False(lease.Lost.IsCompleted);
        Assert.Equal(PublishRight.Granted, lease.Right);
        Assert.Equal(lease.Writer, await _transcripts.GetWriterAsync("room", TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_room_that_another_took_while_the_store_hung_is_lost()
    {
        await using RoomLease lease = await ClaimAsync("gateway-1");
        _leases.Hang();
        await PassAsync(4);
        await _transcripts.OpenAsync("room", "99@gateway-2", TestContext.Current.CancellationToken);
        await _leases.GoOnAsync();
        await PassAsync(1);
        Assert.True(lease.Lost.IsCompleted);
    }

    /// <summary>Like a Redis that is stopped: commands wait, and are carried out when it goes on, whether anybody waits for them or not.</summary>
    private sealed class HangingLeases(ILeaseStore inner) : ILeaseStore
    {
        private readonly ConcurrentQueue<TaskCompletionSource> _waiting = new();
        private volatile bool _hangs;

        public void Hang() => _hangs = true;

        public async Task GoOnAsync()
        {
            _hangs = false;
            while (_waiting.TryDequeue(out TaskCompletionSource? first))
            {
                first.SetResult();
                await Task.Delay(20, TestContext.Current.CancellationToken);
            }
        }

        public async ValueTask<Lease?> TryAcquireAsync(string name, string owner, TimeSpan timeToLive, CancellationToken cancellationToken = default)
        {
            await WaitAsync();
            return await inner.TryAcquireAsync(name, owner, timeToLive, cancellationToken);
        }

        public async ValueTask<Lease?> TryRenewAsync(Lease lease, TimeSpan timeToLive, CancellationToken cancellationToken = default)
        {
            await WaitAsync();
            return await inner.TryRenewAsync(lease, timeToLive, cancellationToken);
        }

        public async ValueTask ReleaseAsync(Lease lease, CancellationToken cancellationToken = default)
        {
            await WaitAsync();
            await inner.ReleaseAsync(lease, cancellationToken);
        }

        private Task WaitAsync()
        {
            if (!_hangs)
                return Task.CompletedTask;
            var turn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.Enqueue(turn);
            return turn.Task;
        }
    }
}
