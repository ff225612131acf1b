using System.Security.Cryptography;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Srtp;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Dtls;

public sealed class DtlsTransportTests
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);

    [Fact]
    public void Connects_with_the_same_keys_on_both_sides()
    {
        using DtlsPair pair = new();
        pair.Start();
        pair.Run(Long, () => pair.Connected);

        Assert.True(pair.Connected, pair.Client.Transport.FailureDetail ?? pair.Server.Transport.FailureDetail);
        Assert.Equal(SrtpProfile.AeadAes128Gcm, pair.Client.Keys!.Profile);
        Assert.Equal(pair.Client.Keys.LocalMasterKey, pair.Server.Keys!.RemoteMasterKey);
        Assert.Equal(pair.Client.Keys.LocalMasterSalt, pair.Server.Keys.RemoteMasterSalt);
        Assert.Equal(pair.Client.Keys.RemoteMasterKey, pair.Server.Keys.LocalMasterKey);
        Assert.Equal(pair.Client.Keys.RemoteMasterSalt, pair.Server.Keys.LocalMasterSalt);
        Assert.False(pair.Client.Keys.LocalMasterKey.SequenceEqual(pair.Client.Keys.RemoteMasterKey));
        Assert.Equal(0, pair.Client.Transport.Counters.Retransmissions + pair.Server.Transport.Counters.Retransmissions);
        Assert.InRange(pair.Client.Transport.Counters.DatagramsSent, 2, 3);
        Assert.True(pair.Client.LargestDatagram <= 1200 && pair.Server.LargestDatagram <= 1200);
    }

    [Fact]
    public void Carries_application_data_both_ways_and_closes()
    {
        using DtlsPair pair = new();
        pair.Start();
        pair.Run(Long, () => pair.Connected);
        byte[] large = RandomNumberGenerator.GetBytes(pair.Client.Transport.MaxData);
        Assert.True(pair.Client.Transport.Send(pair.Now, large));
        Assert.True(pair.Server.Transport.Send(pair.Now, [1, 2, 3]));
        Assert.False(pair.Client.Transport.Send(pair.Now, new byte[pair.Client.Transport.MaxData + 1]));
        pair.Run(TimeSpan.FromSeconds(1));
        Assert.Equal(large, Assert.Single(pair.Server.Data));
        Assert.Equal([1, 2, 3], Assert.Single(pair.Client.Data));
        Assert.True(pair.Client.LargestDatagram <= 1200);

        pair.Client.Transport.Close(pair.Now);
        pair.Run(TimeSpan.FromSeconds(1));
        Assert.Equal([DtlsCloseReason.LocalClose], pair.Client.Closed);
        Assert.Equal([DtlsCloseReason.RemoteClose], pair.Server.Closed);
        Assert.Equal(DtlsState.Closed, pair.Server.Transport.State);
        Assert.False(pair.Server.Transport.Send(pair.Now, [1]));
    }

    [Fact]
    public void Connects_over_lossy_reordering_duplicating_links()
    {
        LinkConditions bad = new()
        {
            Loss = 0.3,
            Duplication = 0.1,
            Delay = TimeSpan.FromMilliseconds(30),
            Jitter = TimeSpan.FromMilliseconds(60),
        };
        for (int seed = 1; seed <= 40; seed++)
        {
            using DtlsPair pair = new(bad, seed);
            pair.Start();
            pair.Run(Long, () => pair.Connected || pair.Ended);
            Assert.True(pair.Connected, $"seed {seed}: client {Describe(pair.Client)}, server {Describe(pair.Server)}");
            Assert.Equal(pair.Client.Keys!.LocalMasterKey, pair.Server.Keys!.RemoteMasterKey);

            // The association works, and goes on doing so when late handshake records still come in.
            for (byte i = 0; i < 20; i++)
            {
                Assert.True(pair.Client.Transport.Send(pair.Now, [i]));
                Assert.True(pair.Server.Transport.Send(pair.Now, [i]));
            }

            pair.Run(TimeSpan.FromSeconds(1));
            Assert.NotEmpty(pair.Server.Data);
            Assert.NotEmpty(pair.Client.Data);
        }
    }

    [Fact]
    public void Connects_when_small_datagrams_fragment_and_reorder_every_flight()
    {
        LinkConditions shuffling = new() { Loss = 0.15, Jitter = TimeSpan.FromMilliseconds(80), Duplication = 0.2 };
        for (int seed = 1; seed <= 20; seed++)
        {
            using DtlsPair pair = new(shuffling, seed, o => o with { MaxDatagram = 256 }, o => o with { MaxDatagram = 256 });
            pair.Start();
            pair.Run(Long, () => pair.Connected || pair.Ended);
            Assert.True(pair.Connected, $"seed {seed}: client {Describe(pair.Client)}, server {Describe(pair.Server)}");
            Assert.True(pair.Client.LargestDatagram <= 256);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Recovers_when_the_servers_last_flight_is_lost(int times)
    {
        using DtlsPair pair = new();
        int lost = 0;
        // Only the last flight begins with ChangeCipherSpec.
        pair.ToClientFilter = bytes => bytes[0] != DtlsRecord.ChangeCipherSpec || ++lost > times;
        pair.Start();
        pair.Run(Long, () => pair.Connected || pair.Ended);
        Assert.True(pair.Connected, $"client {Describe(pair.Client)}, server {Describe(pair.Server)}");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void Recovers_when_the_first_datagrams_of_either_side_are_lost(int count)
    {
        using DtlsPair pair = new();
        int toClient = 0;
        int toServer = 0;
        pair.ToClientFilter = _ => ++toClient > count;
        pair.ToServerFilter = _ => ++toServer > count;
        pair.Start();
        pair.Run(Long, () => pair.Connected || pair.Ended);
        Assert.True(pair.Connected, $"client {Describe(pair.Client)}, server {Describe(pair.Server)}");
        Assert.True(pair.Client.Transport.Counters.Retransmissions > 0);
    }

    [Fact]
    public void Fails_with_bad_certificate_when_the_servers_fingerprint_does_not_match()
    {
        using DtlsPair pair = new();
        pair.Start(clientExpects: DtlsPair.ClientCertificate.Fingerprint);
        pair.Run(Long, () => pair.Ended);
        Assert.Equal([DtlsCloseReason.FingerprintMismatch], pair.Client.Closed);
        Assert.Equal([DtlsCloseReason.AlertReceived], pair.Server.Closed);
        Assert.Equal(42, pair.Server.Transport.AlertReceived); // bad_certificate
        Assert.Null(pair.Client.Keys);
        Assert.Null(pair.Server.Keys);
    }

    [Fact]
    public void Fails_with_bad_certificate_when_the_clients_fingerprint_does_not_match()
    {
        using DtlsPair pair = new();
        pair.Start(serverExpects: DtlsPair.ServerCertificate.Fingerprint);
        pair.Run(Long, () => pair.Ended);
        Assert.Equal([DtlsCloseReason.FingerprintMismatch], pair.Server.Closed);
        Assert.Equal([DtlsCloseReason.AlertReceived], pair.Client.Closed);
        Assert.Equal(42, pair.Client.Transport.AlertReceived);
        Assert.Null(pair.Client.Keys);
        Assert.Null(pair.Server.Keys);
    }

    [Fact]
    public void Without_any_fingerprint_nothing_is_accepted()
    {
        using DtlsPair pair = new();
        pair.Server.Transport.Start(pair.Now, DtlsRole.Server, []);
        pair.Client.Transport.Start(pair.Now, DtlsRole.Client, [DtlsPair.ServerCertificate.Fingerprint]);
        pair.Run(Long, () => pair.Ended);
        Assert.Equal([DtlsCloseReason.FingerprintMismatch], pair.Server.Closed);
    }

    [Fact]
    public void The_strongest_hash_counts_when_several_fingerprints_are_given()
    {
        DtlsFingerprint Digest(string name, byte[] digest)
        {
            string hex = string.Join(':', digest.Select(b => b.ToString("X2", null)));
            Assert.True(DtlsFingerprint.TryParse(name, hex, out DtlsFingerprint? fingerprint));
            return fingerprint;
        }

        byte[] encoded = DtlsPair.ServerCertificate.Encoded;
        DtlsFingerprint right = Digest("SHA-512", SHA512.HashData(encoded));
        DtlsFingerprint wrong = Digest("sha-512", new byte[64]);
        foreach ((DtlsFingerprint strong, bool accepted) in new[] { (right, true), (wrong, false) })
        {
            using DtlsPair pair = new();
            pair.Server.Transport.Start(pair.Now, DtlsRole.Server, [DtlsPair.ClientCertificate.Fingerprint]);
            pair.Client.Transport.Start(pair.Now, DtlsRole.Client, [DtlsPair.ServerCertificate.Fingerprint, strong]);
            pair.Run(Long, () => pair.Connected || pair.Ended);
            Assert.Equal(accepted, pair.Connected);
        }
    }

    [Fact]
    public void Takes_the_profile_that_both_have_by_the_servers_preference()
    {
        using DtlsPair common = new(client: o => o with { SrtpProfiles = [SrtpProfile.Aes128CmHmacSha1Tag80] });
        common.Start();
        common.Run(Long, () => common.Connected);
        Assert.Equal(SrtpProfile.Aes128CmHmacSha1Tag80, common.Server.Keys!.Profile);
        Assert.Equal(14, common.Server.Keys.LocalMasterSalt.Length);

        using DtlsPair none = new(
            client: o => o with { SrtpProfiles = [SrtpProfile.Aes128CmHmacSha1Tag80] },
            server: o => o with { SrtpProfiles = [SrtpProfile.AeadAes128Gcm] });
        none.Start();
        none.Run(Long, () => none.Ended);
        Assert.Equal([DtlsCloseReason.NoSrtpProfile], none.Server.Closed);
        Assert.Equal([DtlsCloseReason.AlertReceived], none.Client.Closed);
    }

    [Fact]
    public void Gives_up_after_the_handshake_timeout()
    {
        using DtlsPair pair = new();
        pair.ToServerFilter = _ => false;
        pair.Start();
        Instant started = pair.Now;
        pair.Run(Long, () => pair.Ended);
        Assert.Equal([DtlsCloseReason.HandshakeTimeout], pair.Client.Closed);
        Assert.Equal([DtlsCloseReason.HandshakeTimeout], pair.Server.Closed);
        Assert.Equal(TimeSpan.FromSeconds(30), pair.Now - started);
        Assert.Equal(Instant.Never, pair.Client.Transport.NextTimeout);
    }

    [Fact]
    public void Close_during_the_handshake_ends_it_at_once()
    {
        using DtlsPair pair = new();
        pair.ToClientFilter = _ => false;
        pair.Start();
        pair.Run(TimeSpan.FromMilliseconds(50));
        pair.Client.Transport.Close(pair.Now);
        pair.Client.Transport.Close(pair.Now);
        Assert.Equal([DtlsCloseReason.LocalClose], pair.Client.Closed);
        pair.Client.Transport.Receive(pair.Now, new byte[100]);
        Assert.Equal(1, pair.Client.Transport.Counters.UnexpectedRecords);
    }

    private static string Describe(DtlsEnd end) =>
        $"{end.Transport.State}/{end.Transport.CloseReason} {end.Transport.FailureDetail} retransmissions {end.Transport.Counters.Retransmissions}";
}
