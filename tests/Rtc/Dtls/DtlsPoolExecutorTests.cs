using System.Collections.Concurrent;
using Transcribe.Rtc.Dtls;

namespace Transcribe.Rtc.Tests.Dtls;

public sealed class DtlsPoolExecutorTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>One owner thread drives both ends of many sessions, as an SFU's worker would.</summary>
    [Fact]
    public void Handshakes_that_compute_in_turn_leave_a_gap_to_others()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the gap is Linux's");
        TimeSpan gap = TimeSpan.FromMilliseconds(30);
        using DtlsPoolExecutor pool = new(new DtlsPoolOptions { MaxComputing = 1, Gap = gap });
        pool.EnterCompute();
        long entered = 0;
        Thread other = new(() =>
        {
            pool.EnterCompute();
            Volatile.Write(ref entered, System.Diagnostics.Stopwatch.GetTimestamp());
            pool.LeaveCompute();
        });
        other.Start();
        Assert.True(SpinWait.SpinUntil(() => (other.ThreadState & ThreadState.WaitSleepJoin) != 0, TimeSpan.FromSeconds(10)));
        long left = System.Diagnostics.Stopwatch.GetTimestamp();
        pool.LeaveCompute();
        Assert.True(other.Join(TimeSpan.FromSeconds(10)));
        Assert.True(System.Diagnostics.Stopwatch.GetElapsedTime(left, entered) >= gap * 0.9);
    }

    [Fact]
    public void A_storm_of_handshakes_is_served_by_few_threads_and_observed_on_the_owners_thread()
    {
        const int sessions = 150;
        const int slots = 4;
        using DtlsPoolExecutor servers = new(new() { MaxHandshakes = slots, MaxComputing = 1 });
        using DtlsPoolExecutor clients = new(new() { MaxHandshakes = sessions, MaxComputing = 1 });
        using BlockingCollection<Action<Instant>> inbox = [];
        int owner = Environment.CurrentManagedThreadId;
        List<(DtlsEnd Client, DtlsEnd Server)> pairs = [];
        for (int i = 0; i < sessions; i++)
        {
            DtlsEnd? client = null;
            DtlsEnd? server = null;
            client = new(DtlsPair.ClientCertificate, o => o with
            {
                Executor = clients,
                Wake = () => inbox.Add(now => client!.Transport.Poll(now)),
                InitialRetransmit = TimeSpan.FromHours(1),
            });
            server = new(DtlsPair.ServerCertificate, o => o with
            {
                Executor = servers,
                Wake = () => inbox.Add(now => server!.Transport.Poll(now)),
                InitialRetransmit = TimeSpan.FromHours(1),
            });
            client.OnSend = bytes =>
            {
                Assert.Equal(owner, Environment.CurrentManagedThreadId);
                inbox.Add(now => server.Transport.Receive(now, bytes));
            };
            server.OnSend = bytes =>
            {
                Assert.Equal(owner, Environment.CurrentManagedThreadId);
                inbox.Add(now => client.Transport.Receive(now, bytes));
            };
            pairs.Add((client, server));
        }

        foreach ((DtlsEnd client, DtlsEnd server) in pairs)
        {
            server.Transport.Start(Instant.Zero, DtlsRole.Server, [DtlsPair.ClientCertificate.Fingerprint]);
            client.Transport.Start(Instant.Zero, DtlsRole.Client, [DtlsPair.ServerCertificate.Fingerprint]);
        }

        int mostThreads = 0;
        while (!pairs.TrueForAll(pair => pair.Client.Keys is not null && pair.Server.Keys is not null))
        {
            Assert.True(inbox.TryTake(out Action<Instant>? work, Patience), "the handshakes stand still");
            work(Instant.Zero);
            mostThreads = Math.Max(mostThreads, servers.Running);
        }

        Assert.InRange(mostThreads, 1, slots);
        foreach ((DtlsEnd client, DtlsEnd server) in pairs)
        {
            Assert.Equal(client.Keys!.LocalMasterKey, server.Keys!.RemoteMasterKey);
            Assert.Empty(client.Closed);
            client.Transport.Dispose();
            server.Transport.Dispose();
        }
    }

    [Fact]
    public void Peers_that_never_answer_give_their_slots_back_and_a_full_queue_refuses()
    {
        using DtlsPoolExecutor pool = new(new() { MaxHandshakes = 2, MaxQueued = 1 });
        using SemaphoreSlim woken = new(0);
        List<DtlsEnd> ends = [];
        for (int i = 0; i < 4; i++)
        {
            DtlsEnd end = new(DtlsPair.ClientCertificate, o => o with { Executor = pool, Wake = () => woken.Release() });
            ends.Add(end);
            end.Transport.Start(Instant.Zero, DtlsRole.Client, [DtlsPair.ServerCertificate.Fingerprint]);
        }

        Assert.Equal([DtlsCloseReason.Overloaded], ends[3].Closed);
        Assert.Equal((2, 1), (pool.Running, pool.Queued));
        foreach (DtlsEnd end in ends.Take(3))
        {
            end.Transport.HandleTimeout(Instant.Zero + TimeSpan.FromSeconds(30));
            Assert.Equal([DtlsCloseReason.HandshakeTimeout], end.Closed);
        }

        Assert.True(SpinWait.SpinUntil(() => pool.Running == 0 && pool.Queued == 0, Patience));
    }

    [Fact]
    public void Threads_are_kept_for_the_next_handshakes()
    {
        using DtlsPoolExecutor pool = new(new() { MaxHandshakes = 3, Linger = TimeSpan.FromMinutes(5) });
        using CountdownEvent done = new(200);
        for (int i = 0; i < 200; i++)
            Assert.True(pool.TryRun(() => done.Signal()));
        Assert.True(done.Wait(Patience));
        Assert.InRange(pool.ThreadsStarted, 1, 3);

        // Half a minute later, so to say, it is the same threads.
        Assert.True(SpinWait.SpinUntil(() => pool.Running == 0, Patience));
        long before = pool.ThreadsStarted;
        for (int i = 0; i < 20; i++)
        {
            using ManualResetEventSlim one = new();
            Assert.True(pool.TryRun(one.Set));
            Assert.True(one.Wait(Patience));
            Assert.True(SpinWait.SpinUntil(() => pool.Running == 0, Patience));
        }

        Assert.InRange(pool.ThreadsStarted, before, 3);
    }

    [Fact]
    public void Threads_without_work_end()
    {
        using DtlsPoolExecutor pool = new(new() { MaxHandshakes = 1, Linger = TimeSpan.FromMilliseconds(1) });
        for (int i = 1; i <= 3; i++)
        {
            Thread? thread = null;
            Assert.True(pool.TryRun(() => Volatile.Write(ref thread, Thread.CurrentThread)));
            Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref thread) is { IsAlive: false }, Patience));
            Assert.Equal(i, pool.ThreadsStarted);
        }
    }

    [Fact]
    public void Never_more_compute_than_allowed()
    {
        using DtlsPoolExecutor pool = new(new() { MaxHandshakes = 16, MaxComputing = 2 });
        using CountdownEvent done = new(64);
        int computing = 0;
        int most = 0;
        for (int i = 0; i < 64; i++)
        {
            Assert.True(pool.TryRun(() =>
            {
                for (int step = 0; step < 20; step++)
                {
                    pool.EnterCompute();
                    InterlockedMax(ref most, Interlocked.Increment(ref computing));
                    Thread.Yield();
                    Interlocked.Decrement(ref computing);
                    pool.LeaveCompute();
                }

                done.Signal();
            }));
        }

        Assert.True(done.Wait(Patience));
        Assert.InRange(most, 1, 2);

        static void InterlockedMax(ref int target, int value)
        {
            int seen = Volatile.Read(ref target);
            while (value > seen)
                seen = Interlocked.CompareExchange(ref target, value, seen) is int now && now == seen ? value : now;
        }
    }

    [Fact]
    public void The_threads_give_way_to_others_on_linux()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the nice value of a thread is Linux's");
        using DtlsPoolExecutor pool = new(new() { Niceness = 7 });
        using ManualResetEventSlim done = new();
        string? stat = null;
        Assert.True(pool.TryRun(() =>
        {
            stat = File.ReadAllText("/proc/thread-self/stat");
            done.Set();
        }));
        Assert.True(done.Wait(Patience));

        // proc(5): field 19, and the name in parentheses, which may hold spaces, is field 2.
        string[] fields = stat![(stat!.LastIndexOf(')') + 2)..].Split(' ');
        Assert.Equal("7", fields[19 - 3]);
    }
}
