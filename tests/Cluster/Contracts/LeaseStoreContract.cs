using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Tests.Contracts;

/// <summary>What every <see cref="ILeaseStore"/> does.</summary>
public abstract class LeaseStoreContract
{
    private static readonly TimeSpan Ttl = TimeSpan.FromMilliseconds(300);

    protected abstract ILeaseStore Leases { get; }

    protected abstract ValueTask AdvanceAsync(TimeSpan by);

    private string Name { get; } = Guid.NewGuid().ToString("N");

    [Fact]
    public async Task Only_one_owner_holds_a_name()
    {
        Lease? mine = await Leases.TryAcquireAsync(Name, "a", Ttl);
        Assert.NotNull(mine);
        Assert.Null(await Leases.TryAcquireAsync(Name, "b", Ttl));
        Assert.NotNull(await Leases.TryAcquireAsync(Name + "other", "b", Ttl));
    }

    [Fact]
    public async Task Lists_the_claims_in_force()
    {
        Lease? first = await Leases.TryAcquireAsync(Name + "/1", "a", Ttl);
        Lease? second = await Leases.TryAcquireAsync(Name + "/2", "b", Ttl * 10);
        Assert.Equal(
            [(Name + "/1", "a", first!.FencingToken), (Name + "/2", "b", second!.FencingToken)],
            (await Leases.ListAsync(Name + "/")).OrderBy(lease => lease.Name).Select(lease => (lease.Name, lease.Owner, lease.FencingToken)));
        await AdvanceAsync(Ttl * 2);
        Assert.Equal(second.Name, Assert.Single(await Leases.ListAsync(Name + "/")).Name);
        Assert.Empty(await Leases.ListAsync(Name + "/3"));
    }

    [Fact]
    public async Task The_holder_acquires_again_under_the_same_token()
    {
        Lease? first = await Leases.TryAcquireAsync(Name, "a", Ttl);
        Lease? again = await Leases.TryAcquireAsync(Name, "a", Ttl);
        Assert.Equal(first?.FencingToken, again?.FencingToken);
    }

    [Fact]
    public async Task An_expired_claim_goes_to_another_owner_with_a_greater_token()
    {
        Lease? old = await Leases.TryAcquireAsync(Name, "a", Ttl);
        await AdvanceAsync(Ttl * 2);
        Lease? next = await Leases.TryAcquireAsync(Name, "b", Ttl);
        Assert.NotNull(old);
        Assert.NotNull(next);
        Assert.True(next.FencingToken > old.FencingToken);
        Assert.Null(await Leases.TryRenewAsync(old, Ttl));
    }

    [Fact]
    public async Task Renewing_in_time_keeps_the_claim()
    {
        Lease? lease = await Leases.TryAcquireAsync(Name, "a", Ttl);
        for (int i = 0; i < 3; i++)
        {
            await AdvanceAsync(Ttl / 2);
            lease = await Leases.TryRenewAsync(lease!, Ttl);
            Assert.NotNull(lease);
        }

        Assert.Null(await Leases.TryAcquireAsync(Name, "b", Ttl));
    }

    [Fact]
    public async Task Renewing_too_late_says_so()
    {
        Lease? lease = await Leases.TryAcquireAsync(Name, "a", Ttl);
        await AdvanceAsync(Ttl * 2);
        Assert.Null(await Leases.TryRenewAsync(lease!, Ttl));
    }

    [Fact]
    public async Task A_released_claim_is_free_at_once_and_its_old_holder_cannot_release_the_new_one()
    {
        Lease? old = await Leases.TryAcquireAsync(Name, "a", Ttl);
        await Leases.ReleaseAsync(old!);
        Lease? next = await Leases.TryAcquireAsync(Name, "b", Ttl);
        Assert.NotNull(next);
        Assert.True(next.FencingToken > old!.FencingToken);
        await Leases.ReleaseAsync(old);
        Assert.Null(await Leases.TryAcquireAsync(Name, "c", Ttl));
    }
}
