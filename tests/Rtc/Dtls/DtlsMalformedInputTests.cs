using CsCheck;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Dtls;

public sealed class DtlsMalformedInputTests
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);

    private static readonly byte[] Types = [20, 21, 22, 23, 24, 25];

    [Fact]
    public void Random_datagrams_at_every_stage_do_not_stop_a_handshake()
    {
        for (int seed = 1; seed <= 20; seed++)
        {
            Random random = new(seed);
            using DtlsPair pair = new(seed: seed);
            pair.ToClientFilter = _ => Inject(pair.Client, pair.Now, random);
            pair.ToServerFilter = _ => Inject(pair.Server, pair.Now, random);
            pair.Server.Transport.Receive(pair.Now, new byte[40]);
            pair.Start();
            pair.Run(Long, () => pair.Connected || pair.Ended);
            Assert.True(pair.Connected, $"seed {seed} {pair.Client.Transport.FailureDetail} {pair.Server.Transport.FailureDetail}");
            Assert.True(pair.Server.Transport.Counters.MalformedRecords > 0);
            for (int i = 0; i < 50; i++)
            {
                Inject(pair.Server, pair.Now, random);
                Inject(pair.Client, pair.Now, random);
            }

            Assert.True(pair.Client.Transport.Send(pair.Now, [1]));
            Assert.True(pair.Server.Transport.Send(pair.Now, [2]));
            pair.Run(TimeSpan.FromSeconds(1));
            Assert.Single(pair.Server.Data);
            Assert.Single(pair.Client.Data);
        }

        static bool Inject(DtlsEnd end, Instant now, Random random)
        {
            byte[] garbage = new byte[random.Next(0, 200)];
            random.NextBytes(garbage);
            if (garbage.Length > 0)
                garbage[0] = (byte)random.Next(20, 64);
            end.Transport.Receive(now, garbage);
            return true;
        }
    }

    [Fact]
    public void Damaged_and_truncated_copies_of_real_datagrams_end_in_a_connection_or_a_reason()
    {
        for (int seed = 1; seed <= 60; seed++)
        {
            Random random = new(seed);
            using DtlsPair pair = new(seed: seed);
            pair.ToClientFilter = bytes => Damage(pair.Client, pair.Now, bytes, random);
            pair.ToServerFilter = bytes => Damage(pair.Server, pair.Now, bytes, random);
            pair.Start();
            pair.Run(Long, () => pair.Connected || pair.Ended);
            foreach (DtlsEnd end in new[] { pair.Client, pair.Server })
            {
                Assert.NotEqual(DtlsState.Connecting, end.Transport.State);
                Assert.Equal(end.Transport.State is DtlsState.Connected ? 0 : 1, end.Closed.Count);
            }
        }

        static bool Damage(DtlsEnd to, Instant now, byte[] bytes, Random random)
        {
            byte[] copy = bytes[..random.Next(bytes.Length + 1)];
            if (random.Next(3) == 0)
                copy = [.. bytes];
            for (int flips = random.Next(3); flips > 0 && copy.Length > 0; flips--)
                copy[random.Next(copy.Length)] ^= (byte)(1 << random.Next(8));
            to.Transport.Receive(now, copy);
            return true;
        }
    }

    [Fact]
    public void Well_framed_nonsense_after_the_handshake_is_dropped_and_the_connection_stays()
    {
        using DtlsPair pair = new();
        pair.Start();
        pair.Run(Long, () => pair.Connected);
        Random random = new(3);
        for (int i = 0; i < 400; i++)
        {
            byte[] record = new byte[13 + random.Next(0, 80)];
            random.NextBytes(record);
            record[0] = Types[random.Next(Types.Length)];
            (record[1], record[2], record[3], record[4]) = (0xFE, 0xFD, 0, (byte)random.Next(3));
            (record[11], record[12]) = (0, (byte)(record.Length - 13));
            if (random.Next(2) == 0)
                record.AsSpan(5, 6).Clear();
            pair.Server.Transport.Receive(pair.Now, record);
            pair.Client.Transport.Receive(pair.Now, record);
        }

        Assert.True(pair.Connected, pair.Server.Transport.FailureDetail ?? pair.Client.Transport.FailureDetail);
        pair.Client.Transport.Send(pair.Now, [9]);
        pair.Run(TimeSpan.FromSeconds(1));
        Assert.Equal([9], Assert.Single(pair.Server.Data));
        DtlsCounters counters = pair.Server.Transport.Counters;
        Assert.True(counters.DiscardedRecords > 0 && counters.UnexpectedRecords > 0);
    }

    [Fact]
    public void Replayed_data_records_are_dropped()
    {
        using DtlsPair pair = new();
        pair.Start();
        pair.Run(Long, () => pair.Connected);
        byte[]? seen = null;
        pair.ToServerFilter = bytes => (seen = bytes) is not null;
        pair.Client.Transport.Send(pair.Now, [1, 2, 3]);
        pair.Run(TimeSpan.FromSeconds(1));
        pair.Server.Transport.Receive(pair.Now, seen);
        Assert.Single(pair.Server.Data);
        Assert.Equal(1, pair.Server.Transport.Counters.DiscardedRecords);
    }

    [Fact]
    public void Only_a_client_hello_takes_a_thread()
    {
        CountingExecutor executor = new();
        DtlsEnd server = new(DtlsPair.ServerCertificate, o => o with { Executor = executor });
        server.Transport.Start(Instant.Zero, DtlsRole.Server, [DtlsPair.ClientCertificate.Fingerprint]);
        Gen.Byte.Array[0, 100].Sample(
            bytes =>
            {
                if (bytes.Length > 14)
                {
                    (bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[11], bytes[12]) = (22, 0xFE, 0xFD, 0, 0, 0, (byte)(bytes.Length - 13));
                    bytes[13] = (byte)(bytes[13] == 1 ? 2 : bytes[13]);
                }

                server.Transport.Receive(Instant.Zero, bytes);
            },
            threads: 1);
        Assert.Equal(0, executor.Runs);
        server.Transport.Dispose();
    }

    [Fact]
    public void Every_string_that_is_no_fingerprint_is_refused()
    {
        Gen.String.Sample(text => !DtlsFingerprint.TryParse(text, out _));
        string right = DtlsPair.ServerCertificate.Fingerprint.ToString();
        Assert.True(DtlsFingerprint.TryParse(right, out DtlsFingerprint? fingerprint));
        Assert.Equal(right, fingerprint.ToString());
        Assert.True(fingerprint.Matches(DtlsPair.ServerCertificate.Encoded));
        Assert.True(DtlsFingerprint.TryParse(right.ToLowerInvariant(), out DtlsFingerprint? lower));
        Assert.Equal(fingerprint, lower);
        Assert.False(DtlsFingerprint.TryParse(right[..^1], out _));
        Assert.False(DtlsFingerprint.TryParse(right.Replace("sha-256", "sha-1", StringComparison.Ordinal), out _));
        Assert.False(DtlsFingerprint.TryParse(right.Replace(':', '-'), out _));
    }

    private sealed class CountingExecutor : IDtlsExecutor
    {
        public int Runs { get; private set; }

        public bool IsLockStep => false;

        public bool TryRun(Action handshake)
        {
            Runs++;
            return false;
        }

        public void EnterCompute()
        {
        }

        public void LeaveCompute()
        {
        }
    }
}
