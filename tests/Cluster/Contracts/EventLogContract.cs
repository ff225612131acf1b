using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Tests.Contracts;

/// <summary>What every <see cref="IEventLog"/> does.</summary>
public abstract class EventLogContract
{
    protected abstract IEventLog Log { get; }

    private string Name { get; } = Guid.NewGuid().ToString("N");

    [Fact]
    public async Task Numbers_entries_from_one_without_gaps()
    {
        Assert.Equal(0, await Log.LastSequenceAsync(Name));
        Assert.Equal(1, await Log.AppendAsync(Name, "a"));
        Assert.Equal(2, await Log.AppendAsync(Name, "b"));
        Assert.Equal(1, await Log.AppendAsync(Name + "other", "x"));
        Assert.Equal(2, await Log.LastSequenceAsync(Name));
        Assert.Equal([(1L, "a"), (2L, "b")], (await Log.ReadAsync(Name, 0)).Select(entry => (entry.Sequence, entry.Value)));
    }

    [Fact]
    public async Task Reads_after_a_number_and_no_more_than_asked_for()
    {
        for (int i = 1; i <= 10; i++)
            await Log.AppendAsync(Name, $"{i}");

        Assert.Equal(["4", "5", "6"], (await Log.ReadAsync(Name, 3, 3)).Select(entry => entry.Value));
        Assert.Empty(await Log.ReadAsync(Name, 10));
        Assert.Empty(await Log.ReadAsync(Name, 99));
        Assert.Empty(await Log.ReadAsync("none" + Name, 0));
    }

    [Fact]
    public async Task A_repeated_key_changes_nothing_and_gets_the_first_number()
    {
        Assert.Equal(1, await Log.AppendAsync(Name, "a", "k"));
        Assert.Equal(2, await Log.AppendAsync(Name, "b"));
        Assert.Equal(1, await Log.AppendAsync(Name, "c", "k"));
        Assert.Equal(["a", "b"], (await Log.ReadAsync(Name, 0)).Select(entry => entry.Value));
        Assert.Equal(1, await Log.AppendAsync(Name + "other", "d", "k"));
    }

    [Fact]
    public async Task Concurrent_appends_get_different_numbers()
    {
        long[] numbers = await Task.WhenAll(Enumerable.Range(0, 32).Select(i => Task.Run(async () => await Log.AppendAsync(Name, $"{i}"))));
        Assert.Equal(Enumerable.Range(1, 32).Select(i => (long)i), numbers.Order());
    }

    [Fact]
    public async Task Trimming_forgets_the_oldest_and_numbers_go_on()
    {
        for (int i = 1; i <= 10; i++)
            await Log.AppendAsync(Name, $"{i}");

        await Log.TrimAsync(Name, 3);
        Assert.Equal([8L, 9, 10], (await Log.ReadAsync(Name, 0)).Select(entry => entry.Sequence));
        Assert.Equal([10L], (await Log.ReadAsync(Name, 9)).Select(entry => entry.Sequence));
        await Log.TrimAsync(Name, 0);
        Assert.Empty(await Log.ReadAsync(Name, 0));
        Assert.Equal(11, await Log.AppendAsync(Name, "11"));
    }

    [Fact]
    public async Task A_deleted_log_begins_again()
    {
        await Log.AppendAsync(Name, "a", "k");
        await Log.DeleteAsync(Name);
        Assert.Equal(0, await Log.LastSequenceAsync(Name));
        Assert.Equal(1, await Log.AppendAsync(Name, "b", "k"));
        Assert.Equal("b", Assert.Single(await Log.ReadAsync(Name, 0)).Value);
    }
}
