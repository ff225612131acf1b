using StackExchange.Redis;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tests.Support;

namespace Transcribe.Cluster.Tests.Redis;

/// <summary>Two processes want the same at the same time.</summary>
public sealed class RedisRaceTests(RedisFixture redis) : IAsyncLifetime
{
    private readonly string _prefix = "race-" + Guid.NewGuid().ToString("N");
    private RedisMember[] _members = [];

    public async ValueTask InitializeAsync()
    {
        RedisServer server = await redis.Server;
        _members = [new RedisMember(server, _prefix), new RedisMember(server, _prefix)];
    }

    public async ValueTask DisposeAsync()
    {
        foreach (RedisMember member in _members)
            await member.DisposeAsync();
    }

    [Fact]
    public async Task Increments_by_compare_and_swap_lose_none()
    {
        await _members[0].State.SetAsync("counter", "0");
        await BothAsync(async (member, _) =>
        {
            for (int i = 0; i < 50; i++)
            {
                StateEntry seen;
                do
                    seen = (await member.State.GetAsync("counter"))!.Value;
                while (await member.State.TryReplaceAsync("counter", seen.Version, $"{int.Parse(seen.Value) + 1}") is null);
            }
        });
        Assert.Equal("100", (await _members[0].State.GetAsync("counter"))?.Value);
    }

    [Fact]
    public async Task A_lease_has_one_holder_and_every_new_one_a_greater_token()
    {
        int holders = 0;
        long newest = 0;
        await BothAsync(async (member, name) =>
        {
            for (int i = 0; i < 50;)
            {
                if (await member.Leases.TryAcquireAsync("gateway:demo", name, TimeSpan.FromMinutes(1)) is not { } lease)
                    continue;

                Assert.Equal(1, Interlocked.Increment(ref holders));
                Assert.True(lease.FencingToken > Interlocked.Exchange(ref newest, lease.FencingToken));
                Interlocked.Decrement(ref holders);
                await member.Leases.ReleaseAsync(lease);
                i++;
            }
        });
    }

    [Fact]
    public async Task Appends_of_two_processes_are_numbered_without_gaps_and_a_key_counts_once()
    {
        var numbers = new List<long>();
        await BothAsync(async (member, name) =>
        {
            for (int i = 0; i < 50; i++)
            {
                long number = await member.Log.AppendAsync("log", name);
                lock (numbers)
                    numbers.Add(number);
            }
        });
        Assert.Equal(Enumerable.Range(1, 100).Select(i => (long)i), numbers.Order());
        numbers.Clear();
        await BothAsync(async (member, name) =>
        {
            long number = await member.Log.AppendAsync("log", name, "the same final");
            lock (numbers)
                numbers.Add(number);
        });
        Assert.Equal([101, 101], numbers);
    }

    [Fact]
    public async Task Expired_keys_leave_the_index_though_nobody_lists_them()
    {
        IStateStore state = _members[0].State;
        for (int i = 0; i < 20; i++)
            await state.SetAsync($"placement/{i}", "x", TimeSpan.FromMilliseconds(1));
        await state.SetAsync("kept", "x");
        await Task.Delay(1200);
        for (int i = 0; i < 4; i++)
            await state.SetAsync("other", "y");

        using ConnectionMultiplexer connection = await ConnectionMultiplexer.ConnectAsync((await redis.Server).ConnectionString);
        RedisValue[] index = await connection.GetDatabase().SortedSetRangeByRankAsync($"{{{_prefix}}}:keys");
        Assert.Equal(["kept", "other"], index.Select(key => key.ToString()));
        Assert.Equal(0, await connection.GetDatabase().SortedSetLengthAsync($"{{{_prefix}}}:expiries"));
    }

    [Fact]
    public async Task A_list_longer_than_a_page_is_whole_and_in_order()
    {
        IStateStore state = _members[0].State;
        string[] keys = [.. Enumerable.Range(0, 600).Select(i => $"many/{i:D4}")];
        await Task.WhenAll(keys.Select(key => state.SetAsync(key, key, TimeSpan.FromMinutes(1)).AsTask()));
        await state.SetAsync("many", "not under it");
        await state.SetAsync("many0", "not under it");
        Assert.Equal(keys, (await state.ListAsync("many/")).Select(entry => entry.Key));
        Assert.Equal(602, (await state.ListAsync("")).Count);
    }

    private async Task BothAsync(Func<RedisMember, string, Task> act) =>
        await Task.WhenAll(_members.Select((member, i) => Task.Run(() => act(member, $"member-{i}")))).WaitAsync(TimeSpan.FromSeconds(60));
}
