using System.Diagnostics;
using System.Threading.Channels;
using StackExchange.Redis;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Redis;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tests.Support;

namespace Transcribe.Cluster.Tests.Redis;

/// <summary>Redis is killed, hangs, forgets everything. Times are printed, not judged.</summary>
public sealed class RedisOutageTests(ITestOutputHelper output) : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private RedisServer _server = null!;

    private sealed record Number(int Value);

    public async ValueTask InitializeAsync() => _server = await RedisServer.StartAsync();

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_restarted_server_is_used_again_with_all_subscriptions(bool keepData)
    {
        const int Subjects = 300;
        await using var a = new RedisMember(_server);
        await using var b = new RedisMember(_server);
        await using IAsyncDisposable responder = await a.Bus.RespondAsync<Number, Number>("double", (n, _) => ValueTask.FromResult(new Number(2 * n.Value)));
        Channel<int> heard = Channel.CreateUnbounded<int>();
        for (int i = 0; i < Subjects; i++)
            await a.Bus.SubscribeAsync<Number>($"room.{i}", (n, _) => heard.Writer.WriteAsync(n.Value));
        StateEntry kept = await b.State.SetAsync("x", "1");
        Lease? lease = await b.Leases.TryAcquireAsync("gateway:demo", "b", TimeSpan.FromMinutes(1));
        await b.Log.AppendAsync("log", "one", "k");
        Task<ClusterReconnected> backA = Reconnection(a.Connection);
        Task<ClusterReconnected> backB = Reconnection(b.Connection);

        await _server.KillAsync();
        var clock = Stopwatch.StartNew();
        BusException away = await Assert.ThrowsAsync<BusException>(() => b.Bus.RequestAsync<Number, Number>("double", new Number(1), Patience).AsTask());
        output.WriteLine($"A request without Redis failed after {clock.ElapsedMilliseconds} ms.");
        Assert.Equal(BusException.Unavailable, away.Code);
        await b.Bus.PublishAsync("room.0", new Number(-1));
        Assert.Equal(1, b.Bus.Drops[BusDrop.Unavailable]);
        await Assert.ThrowsAsync<ClusterUnavailableException>(() => b.State.GetAsync("x").AsTask());
        await Assert.ThrowsAsync<ClusterUnavailableException>(() => b.Log.AppendAsync("log", "two").AsTask());
        await Assert.ThrowsAsync<ClusterUnavailableException>(() => b.Leases.TryRenewAsync(lease!, Patience).AsTask());
        Assert.False(b.Connection.IsConnected);

        // One that comes and one that goes meanwhile.
        await using IAsyncDisposable late = await a.Bus.SubscribeAsync<Number>("late", (n, _) => heard.Writer.WriteAsync(n.Value));
        IAsyncDisposable gone = await a.Bus.RespondAsync<Number, Number>("gone", (n, _) => ValueTask.FromResult(n));
        await gone.DisposeAsync();

        await _server.StartAgainAsync(keepData);
        clock.Restart();
        ClusterReconnected[] back = await Task.WhenAll(backA, backB).WaitAsync(Patience);
        output.WriteLine($"Both are back {clock.ElapsedMilliseconds} ms after the server.");
        Assert.All(back, reconnected => Assert.Equal(!keepData, reconnected.StateWasLost));
        Assert.True(a.Connection.IsConnected && b.Connection.IsConnected);

        Assert.Equal(8, (await b.Bus.RequestAsync<Number, Number>("double", new Number(4), Patience)).Value);
        Assert.Equal(
            BusException.NoResponder,
            (await Assert.ThrowsAsync<BusException>(() => b.Bus.RequestAsync<Number, Number>("gone", new Number(1), Patience).AsTask())).Code);
        for (int i = 0; i < Subjects; i++)
            await b.Bus.PublishAsync($"room.{i}", new Number(i));
        await b.Bus.PublishAsync("late", new Number(Subjects));
        var numbers = new HashSet<int>();
        using var patience = new CancellationTokenSource(Patience);
        while (numbers.Count < Subjects + 1)
            Assert.True(numbers.Add(await heard.Reader.ReadAsync(patience.Token)), "An event came twice.");

        Assert.Equal(keepData ? kept : null, await b.State.GetAsync("x"));
        Assert.NotEqual(kept.Version, (await a.State.SetAsync("x", "2")).Version);
        Assert.Equal(keepData ? 2 : 1, await b.Log.AppendAsync("log", "two"));
        Lease? next = await a.Leases.TryAcquireAsync("gateway:other", "a", Patience);
        Assert.True(next!.FencingToken > lease!.FencingToken, "A fencing token after the loss of the data is not greater than one before.");
        Assert.Equal(keepData, await b.Leases.TryRenewAsync(lease, Patience) is not null);
    }

    [Fact]
    public async Task Subscriptions_that_come_and_go_while_Redis_does_are_right_in_the_end()
    {
        const int Subjects = 20;
        await using var a = new RedisMember(_server);
        await using var b = new RedisMember(_server);
        int[] heard = new int[Subjects];
        var subscriptions = new IAsyncDisposable?[Subjects];
        var responders = new IAsyncDisposable?[Subjects];
        using var over = new CancellationTokenSource();
        Task[] churn = [.. Enumerable.Range(0, Subjects).Select(i => Task.Run(async () =>
        {
            var random = new Random(i);
            while (!over.IsCancellationRequested)
            {
                if (subscriptions[i] is { } subscribed)
                {
                    (subscriptions[i], IAsyncDisposable responder) = (null, responders[i]!);
                    await subscribed.DisposeAsync();
                    await responder.DisposeAsync();
                }
                else
                {
                    responders[i] = await a.Bus.RespondAsync<Number, Number>($"s.{i}", (n, _) => ValueTask.FromResult(n));
                    subscriptions[i] = await a.Bus.SubscribeAsync<Number>($"s.{i}", (_, _) =>
                    {
                        Interlocked.Increment(ref heard[i]);
                        return ValueTask.CompletedTask;
                    });
                }

                await Task.Delay(random.Next(20));
            }
        }))];
        for (int round = 0; round < 4; round++)
        {
            await Task.Delay(200);
            await _server.KillAsync();
            await Task.Delay(150);
            await _server.StartAgainAsync(keepData: round % 2 == 0);
        }

        await over.CancelAsync();
        await Task.WhenAll(churn).WaitAsync(Patience);
        await UntilAsync(() => a.Connection.IsConnected && b.Connection.IsConnected);
        output.WriteLine($"{subscriptions.Count(s => s is not null)} of {Subjects} subjects are subscribed in the end.");
        for (int i = 0; i < Subjects; i++)
        {
            bool there = subscriptions[i] is not null;
            await UntilAsync(async () => await AnswersAsync(b, $"s.{i}") == there);
            int before = Volatile.Read(ref heard[i]);
            await b.Bus.PublishAsync($"s.{i}", new Number(1));
            if (there)
                await UntilAsync(() => Volatile.Read(ref heard[i]) > before);
            Assert.True(await AnswersAsync(b, $"s.{i}") == there);
            Assert.Equal(there ? before + 1 : before, Volatile.Read(ref heard[i]));
        }

        Assert.Equal(0, a.Bus.Drops[BusDrop.Replayed]);

        static async Task<bool> AnswersAsync(RedisMember asker, string subject)
        {
            try
            {
                return (await asker.Bus.RequestAsync<Number, Number>(subject, new Number(7), Patience)).Value == 7;
            }
            catch (BusException e) when (e.Code == BusException.NoResponder)
            {
                return false;
            }
        }
    }

    [Fact]
    public async Task Lost_data_is_noticed_without_a_lost_connection()
    {
        await using var member = new RedisMember(_server);
        Task<ClusterReconnected> lost = Reconnection(member.Connection);
        using (ConnectionMultiplexer admin = await ConnectionMultiplexer.ConnectAsync(_server.ConnectionString + ",allowAdmin=true"))
            await admin.GetServer(_server.ConnectionString).FlushAllDatabasesAsync();

        Assert.True((await lost.WaitAsync(Patience)).StateWasLost);
        Assert.True(member.Connection.IsConnected);
    }

    [Fact]
    public async Task A_request_that_waits_when_the_connection_is_lost_fails_at_once()
    {
        await using var a = new RedisMember(_server);
        await using var b = new RedisMember(_server);
        var asked = new TaskCompletionSource();
        await using IAsyncDisposable responder = await a.Bus.RespondAsync<Number, Number>("slow", async (n, token) =>
        {
            asked.SetResult();
            await Task.Delay(Timeout.Infinite, token);
            return n;
        });
        Task<Number> waiting = b.Bus.RequestAsync<Number, Number>("slow", new Number(1), TimeSpan.FromMinutes(5)).AsTask();
        await asked.Task.WaitAsync(Patience);
        await _server.KillAsync();
        BusException away = await Assert.ThrowsAsync<BusException>(() => waiting.WaitAsync(Patience));
        Assert.Equal(BusException.Unavailable, away.Code);
    }

    [Fact]
    public async Task A_hanging_server_is_away_until_it_goes_on()
    {
        await using var member = new RedisMember(_server);
        await using IAsyncDisposable responder = await member.Bus.RespondAsync<Number, Number>("echo", (n, _) => ValueTask.FromResult(n));
        _server.Suspend();
        var clock = Stopwatch.StartNew();
        BusException away = await Assert.ThrowsAsync<BusException>(() => member.Bus.RequestAsync<Number, Number>("echo", new Number(1), TimeSpan.FromMinutes(5)).AsTask());
        output.WriteLine($"A request to a hanging Redis failed after {clock.ElapsedMilliseconds} ms.");
        Assert.Equal(BusException.Unavailable, away.Code);
        Task<ClusterReconnected> back = Reconnection(member.Connection);
        await UntilAsync(() => !member.Connection.IsConnected);
        _server.Resume();
        clock.Restart();
        Assert.False((await back.WaitAsync(Patience)).StateWasLost);
        output.WriteLine($"Back {clock.ElapsedMilliseconds} ms after it went on.");
        Assert.Equal(3, (await member.Bus.RequestAsync<Number, Number>("echo", new Number(3), Patience)).Value);
    }

    [Fact]
    public async Task A_node_announces_itself_again_at_once_when_the_data_is_lost()
    {
        await using var member = new RedisMember(_server);
        await using var other = new RedisMember(_server);
        await using NodeAnnouncer announcer = NodeAnnouncer.Create(member.Services, () => new NodeInfo("sfu-1", NodeRole.Sfu, "127.0.0.1:1"));
        await announcer.StartAsync(CancellationToken.None);
        Assert.Single(await other.Nodes.ListAsync(NodeRole.Sfu));
        Task<ClusterReconnected> back = Reconnection(other.Connection);
        await _server.RestartAsync(keepData: false);
        await back.WaitAsync(Patience);
        var clock = Stopwatch.StartNew();
        await UntilAsync(async () => (await other.Nodes.ListAsync(NodeRole.Sfu)).Count == 1);
        output.WriteLine($"The node was there {clock.ElapsedMilliseconds} ms after Redis.");
        await announcer.StopAsync(CancellationToken.None);
        Assert.Empty(await other.Nodes.ListAsync(NodeRole.Sfu));
    }

    [Fact]
    public async Task A_start_without_Redis_fails_with_a_sentence()
    {
        await _server.KillAsync();
        var options = new RedisClusterOptions
        {
            Redis = _server.ConnectionString + ",password=hunter2",
            ClusterKey = RedisMember.Key,
            StartupTimeout = TimeSpan.FromMilliseconds(300),
        };
        InvalidOperationException failure = await Assert.ThrowsAsync<InvalidOperationException>(() => Task.Run(() =>
        {
            using var connection = new RedisClusterConnection(options, Microsoft.Extensions.Logging.Abstractions.NullLogger<RedisClusterConnection>.Instance);
        }));
        output.WriteLine(failure.Message);
        Assert.Contains(_server.ConnectionString, failure.Message, StringComparison.Ordinal);
        Assert.Contains(RedisClusterOptions.RedisVariable, failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_that_cannot_work_are_named_without_their_secrets()
    {
        string Problem(string redis, string key, string prefix = "p")
        {
            var options = new RedisClusterOptions { Redis = redis, ClusterKey = key, Prefix = prefix };
            string message = Assert.Throws<InvalidOperationException>(options.Validate).Message;
            output.WriteLine(message);
            return message;
        }

        Assert.Contains(RedisClusterOptions.RedisVariable, Problem("", RedisMember.Key), StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", Problem("127.0.0.1:1,password=hunter2,nonsense=1", RedisMember.Key), StringComparison.Ordinal);
        Assert.Contains("TRANSCRIBE_CLUSTER_KEY", Problem("127.0.0.1:1", ""), StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", Problem("127.0.0.1:1", "hunter2"), StringComparison.Ordinal);
        Assert.Contains("a b", Problem("127.0.0.1:1", RedisMember.Key, "a b"), StringComparison.Ordinal);
    }

    private static Task<ClusterReconnected> Reconnection(IClusterConnection connection)
    {
        var happened = new TaskCompletionSource<ClusterReconnected>(TaskCreationOptions.RunContinuationsAsynchronously);
        connection.Reconnected += reconnected => happened.TrySetResult(reconnected);
        return happened.Task;
    }

    private static Task UntilAsync(Func<bool> condition) => UntilAsync(() => Task.FromResult(condition()));

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        var waited = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.True(waited.Elapsed < Patience, "It did not happen in time.");
            await Task.Delay(10);
        }
    }
}
