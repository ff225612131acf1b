using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Workers;

public sealed class WorkerPlacementTests
{
    private static readonly RoomFirstPlacement Policy = new(sessionsPerWorker: 10);

    [Fact]
    public void A_room_stays_together_while_it_fits() =>
        Assert.Equal(1, Policy.Choose([new(0, 0, 0), new(50, 9, 0.4), new(3, 2, 0)]));

    [Fact]
    public void A_room_with_its_share_of_a_worker_goes_on_with_the_idlest() =>
        Assert.Equal(2, Policy.Choose([new(40, 0, 0.2), new(10, 10, 0), new(2, 0, 0)]));

    [Fact]
    public void A_busy_worker_is_spared_even_by_its_own_rooms() =>
        Assert.Equal(0, Policy.Choose([new(100, 0, 0.1), new(5, 5, 0.8)]));

    [Fact]
    public void Where_all_are_full_the_load_is_shared()
    {
        int[] sessions = [30, 10, 20];
        for (int i = 0; i < 60; i++)
            sessions[Policy.Choose([.. sessions.Select(n => new WorkerLoad(n, n, 0))])]++;
        Assert.Equal([40, 40, 40], sessions);
    }

    [Fact]
    public void A_burst_before_any_media_flows_spreads_over_the_workers()
    {
        int[] sessions = new int[4];
        for (int i = 0; i < 40; i++)
            sessions[Policy.Choose([.. sessions.Select(n => new WorkerLoad(n, n, 0))])]++;
        Assert.Equal([10, 10, 10, 10], sessions);
    }
}
