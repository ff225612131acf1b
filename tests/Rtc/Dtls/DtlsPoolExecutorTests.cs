using System.Collections.Concurrent;
using Transcribe.Rtc.Dtls;

namespace Transcribe.Rtc.Tests.Dtls;

public sealed class DtlsPoolExecutorTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>One owner thread drives both ends of many sessions, as an SFU's worker would.</summary>
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
}
