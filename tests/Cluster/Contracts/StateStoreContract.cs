using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Tests.Contracts;

/// <summary>What every <see cref="IStateStore"/> does. A subclass says which one, and how its time goes on.</summary>
public abstract class StateStoreContract
{
    protected abstract IStateStore Store { get; }

    protected abstract ValueTask AdvanceAsync(TimeSpan by);

    /// <summary>Unlike any other test's, so that one server serves all.</summary>
    private string Prefix { get; } = Guid.NewGuid().ToString("N") + "/";

    [Fact]
    public async Task Reads_what_was_written_and_gives_every_write_a_new_version()
    {
        Assert.Null(await Store.GetAsync(Prefix + "a"));
        StateEntry first = await Store.SetAsync(Prefix + "a", "{\"x\":1}");
        StateEntry second = await Store.SetAsync(Prefix + "a", "{\"x\":1}");
        Assert.NotEqual(first.Version, second.Version);
        Assert.Equal(second, await Store.GetAsync(Prefix + "a"));
    }

    [Fact]
    public async Task Adds_only_where_the_key_is_absent()
    {
        Assert.NotNull(await Store.TryAddAsync(Prefix + "a", "1"));
        Assert.Null(await Store.TryAddAsync(Prefix + "a", "2"));
        Assert.Equal("1", (await Store.GetAsync(Prefix + "a"))?.Value);
    }

    [Fact]
    public async Task Replaces_and_deletes_only_the_version_that_was_seen()
    {
        StateEntry seen = await Store.SetAsync(Prefix + "a", "1");
        StateEntry? newer = await Store.TryReplaceAsync(Prefix + "a", seen.Version, "2");
        Assert.NotNull(newer);
        Assert.Null(await Store.TryReplaceAsync(Prefix + "a", seen.Version, "3"));
        Assert.False(await Store.TryDeleteAsync(Prefix + "a", seen.Version));
        Assert.Equal("2", (await Store.GetAsync(Prefix + "a"))?.Value);
        Assert.True(await Store.TryDeleteAsync(Prefix + "a", newer.Value.Version));
        Assert.Null(await Store.GetAsync(Prefix + "a"));
        Assert.Null(await Store.TryReplaceAsync(Prefix + "a", newer.Value.Version, "4"));
    }

    [Fact]
    public async Task A_version_is_not_used_again_after_a_delete()
    {
        StateEntry first = await Store.SetAsync(Prefix + "a", "1");
        await Store.DeleteAsync(Prefix + "a");
        await Store.SetAsync(Prefix + "a", "2");
        Assert.False(await Store.TryDeleteAsync(Prefix + "a", first.Version));
    }

    [Fact]
    public async Task Says_whether_a_delete_found_something()
    {
        await Store.SetAsync(Prefix + "a", "1");
        Assert.True(await Store.DeleteAsync(Prefix + "a"));
        Assert.False(await Store.DeleteAsync(Prefix + "a"));
    }

    [Fact]
    public async Task Lists_live_entries_of_a_prefix_in_the_order_of_their_keys()
    {
        await Store.SetAsync(Prefix + "n/b", "2");
        await Store.SetAsync(Prefix + "n/a", "1");
        await Store.SetAsync(Prefix + "m/c", "3");
        await Store.SetAsync(Prefix + "n/gone", "4", TimeSpan.FromMilliseconds(200));
        await AdvanceAsync(TimeSpan.FromMilliseconds(400));
        Assert.Equal(["1", "2"], (await Store.ListAsync(Prefix + "n/")).Select(entry => entry.Value));
        Assert.Empty(await Store.ListAsync(Prefix + "x"));
    }

    [Fact]
    public async Task A_key_with_time_to_live_goes_and_can_be_added_again()
    {
        StateEntry entry = await Store.SetAsync(Prefix + "a", "1", TimeSpan.FromMilliseconds(200));
        await AdvanceAsync(TimeSpan.FromMilliseconds(400));
        Assert.Null(await Store.GetAsync(Prefix + "a"));
        Assert.Null(await Store.TryReplaceAsync(Prefix + "a", entry.Version, "2"));
        Assert.False(await Store.DeleteAsync(Prefix + "a"));
        Assert.NotNull(await Store.TryAddAsync(Prefix + "a", "3"));
    }

    [Fact]
    public async Task A_write_without_time_to_live_ends_an_earlier_one()
    {
        await Store.SetAsync(Prefix + "a", "1", TimeSpan.FromMilliseconds(200));
        await Store.SetAsync(Prefix + "a", "2");
        await AdvanceAsync(TimeSpan.FromMilliseconds(400));
        Assert.Equal("2", (await Store.GetAsync(Prefix + "a"))?.Value);
    }

    [Fact]
    public async Task Of_many_concurrent_writers_of_one_version_one_wins()
    {
        StateEntry seen = await Store.SetAsync(Prefix + "a", "0");
        StateEntry?[] results = await Task.WhenAll(Enumerable.Range(0, 16).Select(
            i => Task.Run(async () => await Store.TryReplaceAsync(Prefix + "a", seen.Version, $"{i}"))));
        StateEntry winner = Assert.Single(results, result => result is not null)!.Value;
        Assert.Equal(winner, await Store.GetAsync(Prefix + "a"));
    }
}
