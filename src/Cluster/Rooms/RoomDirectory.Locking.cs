using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Rooms;

// One change of a room at a time, in the whole cluster.
public sealed partial class RoomDirectory
{
    /// <summary>How long a process that died in the middle of a change holds up the others. A change takes milliseconds.</summary>
    private static readonly TimeSpan LeaseTime = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly string _owner = Guid.NewGuid().ToString("N");

    internal static string LeaseName(string room) => $"room:{room}";

    private async ValueTask<IDisposable> LockAsync(string room, CancellationToken cancellationToken)
    {
        SemaphoreSlim semaphore = _locks[(uint)string.GetHashCode(room, StringComparison.Ordinal) % (uint)_locks.Length];
        await semaphore.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            return new Held(semaphore, leases, leases is null ? null : await ClaimAsync(leases, room, cancellationToken).ConfigureAwait(false));
        }
        catch
        {
            semaphore.Release();
            throw;
        }
    }

    /// <summary>Ends a room whose last leaver died between leaving and ending it.</summary>
    private async ValueTask EndIfEmptyAsync(string room, CancellationToken cancellationToken)
    {
        using IDisposable held = await LockAsync(room, cancellationToken).ConfigureAwait(false);
        if (await state.GetAsync(RoomKey(room), cancellationToken).ConfigureAwait(false) is not { } entry
            || (await state.ListAsync(ParticipantPrefix(room), cancellationToken).ConfigureAwait(false)).Count > 0)
        {
            return;
        }

        if (await state.TryDeleteAsync(entry.Key, entry.Version, cancellationToken).ConfigureAwait(false))
            await EndAsync(room, "empty", cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask<Lease> ClaimAsync(ILeaseStore store, string room, CancellationToken cancellationToken)
    {
        long started = time.GetTimestamp();
        while (time.GetElapsedTime(started) < Patience)
        {
            if (await store.TryAcquireAsync(LeaseName(room), _owner, LeaseTime, cancellationToken).ConfigureAwait(false) is { } lease)
                return lease;

            // Another process has it, for a few milliseconds; of this one nobody else asks.
            await Task.Delay(TimeSpan.FromMilliseconds(Random.Shared.Next(1, 8)), time, cancellationToken).ConfigureAwait(false);
        }

        throw Contention(room);
    }

    private sealed class Held(SemaphoreSlim semaphore, ILeaseStore? leases, Lease? lease) : IDisposable
    {
        public void Dispose() => _ = ReleaseAsync();

        private async Task ReleaseAsync()
        {
            try
            {
                if (leases is not null && lease is not null)
                    await leases.ReleaseAsync(lease).ConfigureAwait(false);
            }
            catch (ClusterUnavailableException)
            {
                // The lease ends by itself.
            }
            finally
            {
                semaphore.Release();
            }
        }
    }
}
