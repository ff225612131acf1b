using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Ice;

/// <summary>Two full agents.</summary>
public sealed class IceFullTests
{
    private const string A = "192.0.2.1:1000";
    private const string B = "192.0.2.2:2000";

    [Fact]
    public void Two_full_agents_select_the_same_path()
    {
        var network = new IceNetwork();
        (IceHost a, IceHost b) = Pair(network);
        network.Signal(a, b);
        Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(2)));
        AssertMirrored(a, b);
        Assert.True(b.Agent.IsValidated(b.Agent.SelectedPath!.Value));
    }

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    [InlineData(13)]
    [InlineData(14)]
    public void Connect_with_30_percent_loss_and_reordering_and_many_addresses(int seed)
    {
        var network = new IceNetwork(seed, new LinkConditions
        {
            Loss = 0.3,
            Delay = TimeSpan.FromMilliseconds(30),
            Jitter = TimeSpan.FromMilliseconds(80),
        });
        IceHost a = network.AddFull(IceRole.Controlling, A, "10.0.0.1:1000", "[2001:db8::1]:1000", "[fe80::1]:1000");
        IceHost b = network.AddFull(IceRole.Controlled, B, "10.9.9.2:2000", "[2001:db8::2]:2000", "[fe80::2]:2000");
        TransportAddress[] privateA = [IceNetwork.Address("10.0.0.1:1000"), IceNetwork.Address("10.9.9.2:2000")];
        network.Blocks = path => privateA.Contains(path.Local) || privateA.Contains(path.Remote);
        network.Signal(a, b);
        Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(30)));
        network.Run(TimeSpan.FromMinutes(1));
        AssertMirrored(a, b);
        Assert.DoesNotContain(IceState.Failed, a.States.Concat(b.States));
    }

    [Fact]
    public void The_best_pair_is_nominated_where_all_work()
    {
        var network = new IceNetwork();
        IceHost a = network.AddFull(IceRole.Controlling, A, "[2001:db8::1]:1000");
        IceHost b = network.AddFull(IceRole.Controlled, B, "[2001:db8::2]:2000");
        network.Signal(a, b);
        Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(2)));
        Assert.Equal(new TransportPath(IceNetwork.Address(A), IceNetwork.Address(B)), a.Agent.SelectedPath);
        AssertMirrored(a, b);
    }

    [Fact]
    public void A_better_pair_that_does_not_answer_delays_nomination_briefly_only()
    {
        var network = new IceNetwork();
        IceHost a = network.AddFull(IceRole.Controlling, A, "[2001:db8::1]:1000");
        IceHost b = network.AddFull(IceRole.Controlled, B, "[2001:db8::2]:2000");
        network.Blocks = path => path.Remote.IsIPv4;
        network.Signal(a, b);
        Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromMilliseconds(500)));
        Assert.False(a.Agent.SelectedPath!.Value.Remote.IsIPv4);
        AssertMirrored(a, b);
    }

    [Fact]
    public void New_checks_are_paced()
    {
        var network = new IceNetwork();
        IceHost a = network.AddFull(IceRole.Controlling, A, "10.0.0.1:1000", "10.0.0.2:1000");
        IceHost b = network.AddFull(IceRole.Controlled, B, "10.0.1.1:2000", "10.0.1.2:2000");
        network.Blocks = _ => true;
        network.Signal(a, b);
        network.Run(TimeSpan.FromMilliseconds(440));
        Assert.Equal(9, a.RequestsSent);
        for (int i = 1; i < a.Sent.Count; i++)
        {
            Assert.Equal(TimeSpan.FromMilliseconds(50), a.Sent[i].At - a.Sent[i - 1].At);
        }

        Assert.Equal(9, a.Sent.Select(sent => sent.Path).Distinct().Count());
    }

    [Fact]
    public void An_unanswered_check_backs_off_and_ends()
    {
        var network = new IceNetwork();
        (IceHost a, IceHost b) = Pair(network);
        network.Blocks = _ => true;
        network.Signal(a, b);
        Instant start = network.Now;
        Assert.True(network.RunUntil(() => a.Agent.State == IceState.Failed, TimeSpan.FromMinutes(1)));
        double[] times = [.. a.Sent.Select(sent => (sent.At - start).TotalSeconds)];
        Assert.Equal([0, 0.5, 1.5, 2.5, 3.5], times[..5]);
        Assert.Equal((30, 28.5), (times.Length, times[^1]));
        Assert.Equal(39.5, (network.Now - start).TotalSeconds);
    }

    [Theory]
    [InlineData(IceRole.Controlling)]
    [InlineData(IceRole.Controlled)]
    public void A_role_conflict_is_resolved_by_the_tie_breakers(IceRole role)
    {
        for (int seed = 1; seed <= 4; seed++)
        {
            var network = new IceNetwork(seed);
            IceHost a = network.AddFull(role, A);
            IceHost b = network.AddFull(role, B);
            network.Signal(a, b);
            Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(3)));
            Assert.NotEqual(a.Agent.Role, b.Agent.Role);
            AssertMirrored(a, b);
        }
    }

    [Fact]
    public void A_role_conflict_under_loss_is_resolved()
    {
        for (int seed = 20; seed < 30; seed++)
        {
            var network = new IceNetwork(seed, new LinkConditions { Loss = 0.3, Jitter = TimeSpan.FromMilliseconds(50) });
            IceHost a = network.AddFull(IceRole.Controlling, A);
            IceHost b = network.AddFull(IceRole.Controlling, B);
            network.Signal(a, b);
            Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(20)), $"seed {seed}");
            Assert.NotEqual(a.Agent.Role, b.Agent.Role);
        }
    }

    [Fact]
    public void A_full_agent_controls_where_the_peer_is_lite()
    {
        var network = new IceNetwork();
        IceHost server = network.AddLite(A);
        IceHost told = network.AddFull(IceRole.Controlled, B);
        told.Agent.RemoteIsLite = true;
        Assert.Equal(IceRole.Controlling, told.Agent.Role);

        // And one that was not told learns it from the 487.
        IceHost untold = network.AddFull(IceRole.Controlled, "192.0.2.3:3000");
        network.Signal(server, untold);
        Assert.True(network.RunUntil(() => Connected(server, untold), TimeSpan.FromSeconds(2)));
        Assert.Equal(IceRole.Controlling, untold.Agent.Role);
        Assert.Equal(IceRole.Controlled, server.Agent.Role);
    }

    [Fact]
    public void A_peer_behind_a_nat_is_found_as_peer_reflexive()
    {
        var network = new IceNetwork();
        network.Nat[IceNetwork.Address("10.0.0.9:1000")] = IceNetwork.Address("198.51.100.1:7777");
        IceHost a = network.AddFull(IceRole.Controlling, "10.0.0.9:1000");
        IceHost b = network.AddFull(IceRole.Controlled, B);

        // B cannot reach the private address that A signals.
        network.Blocks = path => path.Remote == IceNetwork.Address("10.0.0.9:1000");
        network.Signal(a, b);
        Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(2)));
        Assert.Equal(IceNetwork.Address("198.51.100.1:7777"), b.Agent.SelectedPath!.Value.Remote);
        Assert.Contains(b.Agent.RemoteCandidates, c => c.Type == IceCandidateType.PeerReflexive);
        Assert.Contains(
            a.Agent.LocalCandidates,
            c => c.Type == IceCandidateType.PeerReflexive && c.Address == IceNetwork.Address("198.51.100.1:7777"));
    }

    [Fact]
    public void A_signalled_candidate_replaces_the_peer_reflexive_one_that_came_first()
    {
        var network = new IceNetwork();
        (IceHost a, IceHost b) = Pair(network);
        network.Signal(a, b, withCandidates: false);
        network.SignalCandidates(from: b, to: a);
        Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(2)));
        Assert.Equal(IceCandidateType.PeerReflexive, Assert.Single(b.Agent.RemoteCandidates).Type);
        network.SignalCandidates(from: a, to: b);
        Assert.Equal(IceCandidateType.Host, Assert.Single(b.Agent.RemoteCandidates).Type);
        AssertMirrored(a, b);
    }

    [Fact]
    public void Checks_that_arrive_before_the_answer_are_answered_and_used_later()
    {
        var network = new IceNetwork();
        (IceHost a, IceHost b) = Pair(network);

        // The answerer knows all of the offerer; the offerer still waits for the answer.
        b.Agent.SetRemoteCredentials(network.Now, a.Agent.LocalCredentials);
        network.SignalCandidates(from: a, to: b);
        network.Run(TimeSpan.FromMilliseconds(200));
        Assert.Equal(IceState.New, a.Agent.State);
        Assert.Equal(0, a.RequestsSent);
        Assert.Contains(a.Sent, sent => Checks.ErrorOf(sent.Bytes) == 0);

        a.Agent.SetRemoteCredentials(network.Now, b.Agent.LocalCredentials);
        Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(1)));
        AssertMirrored(a, b);
    }

    [Fact]
    public void Trickled_candidates_connect_when_they_come()
    {
        var network = new IceNetwork();
        IceHost a = network.AddFull(IceRole.Controlling);
        IceHost b = network.AddFull(IceRole.Controlled);
        network.Signal(a, b);
        network.Run(TimeSpan.FromSeconds(3));
        Assert.Equal(IceState.Checking, a.Agent.State);

        b.Agent.AddRemoteCandidate(network.Now, a.AddAddress(A));
        network.Run(TimeSpan.FromSeconds(1));
        a.Agent.AddRemoteCandidate(network.Now, b.AddAddress(B));
        Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(2)));
        AssertMirrored(a, b);
    }

    [Fact]
    public void Unusable_remote_candidates_are_ignored_and_counted()
    {
        var network = new IceNetwork();
        (IceHost a, _) = Pair(network);
        string[] unusable =
        [
            "candidate:1 1 udp 2113937151 5f2ab5b5-8a0e-4b2d-9f0e-0a0a0a0a0a0a.local 54321 typ host",
            "candidate:2 1 tcp 1518280447 192.0.2.9 9 typ host tcptype active",
            "candidate:3 2 udp 2113937150 192.0.2.9 5001 typ host",
            "candidate:4 1 udp 2113937150 192.0.2.9 0 typ host",
            "candidate:5 1 udp 2113937150 0.0.0.0 5001 typ host",
            "candidate:6 1 udp 2113937150 224.0.0.5 5001 typ host",
            "candidate:7 1 udp 2113937150 ff02::1 5001 typ host",
        ];
        foreach (string text in unusable)
        {
            Assert.True(IceCandidate.TryParse(text, out IceCandidate? candidate), text);
            Assert.False(a.Agent.AddRemoteCandidate(network.Now, candidate), text);
        }

        Assert.Equal(unusable.Length, a.Agent.GetDropCount(IceDropReason.UnusableCandidate));
        Assert.Empty(a.Agent.RemoteCandidates);
    }

    [Fact]
    public void A_candidate_of_another_generation_is_ignored()
    {
        var network = new IceNetwork();
        (IceHost a, IceHost b) = Pair(network);
        network.Signal(a, b, withCandidates: false);
        IceCandidate candidate = IceCandidate.CreateHost(IceNetwork.Address(B));
        Assert.False(a.Agent.AddRemoteCandidate(network.Now, candidate with { UsernameFragment = "olderone" }));
        Assert.True(a.Agent.AddRemoteCandidate(
            network.Now,
            candidate with { UsernameFragment = b.Agent.LocalCredentials.Ufrag }));
    }

    [Fact]
    public void Candidates_and_pairs_are_bounded()
    {
        var network = new IceNetwork();
        IceHost a = network.AddHost(new IceAgentOptions { MaxRemoteCandidates = 8, MaxPairs = 10 }, A, "192.0.2.9:1");
        for (ushort port = 1; port <= 100; port++)
        {
            a.Agent.AddRemoteCandidate(network.Now, IceCandidate.CreateHost(TransportAddress.FromIPv4(0xC0000263, port)));
        }

        Assert.Equal(8, a.Agent.RemoteCandidates.Count);
        Assert.Equal(92 + 6, a.Agent.GetDropCount(IceDropReason.TooMany));
    }

    [Fact]
    public void Consent_is_checked_every_four_to_six_seconds_with_new_transactions()
    {
        var network = new IceNetwork();
        (IceHost a, IceHost b) = Pair(network);
        network.Signal(a, b);
        Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(2)));
        network.Run(TimeSpan.FromSeconds(1));
        int before = a.Sent.Count;
        network.Run(TimeSpan.FromMinutes(2));
        (Instant At, TransportPath Path, byte[] Bytes)[] checks =
            [.. a.Sent.Skip(before).Where(sent => sent.Bytes[0] == 0)];
        Assert.InRange(checks.Length, 20, 30);
        for (int i = 1; i < checks.Length; i++)
        {
            Assert.InRange((checks[i].At - checks[i - 1].At).TotalSeconds, 4, 6);
            Assert.NotEqual(checks[i].Bytes[8..20], checks[i - 1].Bytes[8..20]);
        }

        Assert.Equal([IceState.Checking, IceState.Connected], a.States);
    }

    [Fact]
    public void Consent_of_a_silent_peer_expires()
    {
        var network = new IceNetwork();
        (IceHost a, IceHost b) = Pair(network);
        network.Signal(a, b);
        Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(2)));
        network.Blocks = _ => true;
        Instant start = network.Now;
        Assert.True(network.RunUntil(() => a.Agent.State == IceState.Failed, TimeSpan.FromMinutes(1)));
        Assert.InRange((network.Now - start).TotalSeconds, 29, 30.1);
        Assert.Equal([IceState.Checking, IceState.Connected, IceState.Disconnected, IceState.Failed], a.States);
        Assert.Null(a.Agent.SelectedPath);
        int sent = a.Sent.Count;
        network.Run(TimeSpan.FromMinutes(1));
        Assert.Equal(sent, a.Sent.Count);
    }

    [Fact]
    public void Requests_of_the_peer_alone_are_no_consent()
    {
        // A's requests get through, the answers to them and B's requests do too, but B's answers do not.
        var network = new IceNetwork();
        (IceHost a, IceHost b) = Pair(network);
        network.Signal(a, b);
        Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(2)));
        network.Blocks = path => path.Local == IceNetwork.Address(A);
        Assert.True(network.RunUntil(() => b.Agent.State == IceState.Failed, TimeSpan.FromSeconds(40)));
        Assert.True(b.Agent.RequestsReceived > 0);
    }

    [Fact]
    public void Another_pair_takes_over_when_the_selected_one_dies()
    {
        var network = new IceNetwork();
        IceHost a = network.AddFull(IceRole.Controlling, A, "[2001:db8::1]:1000");
        IceHost b = network.AddFull(IceRole.Controlled, B, "[2001:db8::2]:2000");
        network.Signal(a, b);
        Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(2)));
        Assert.True(a.Agent.SelectedPath!.Value.Remote.IsIPv4);
        network.Run(TimeSpan.FromSeconds(5));

        network.Blocks = path => path.Remote.IsIPv4;
        network.Run(TimeSpan.FromSeconds(20));
        Assert.True(Connected(a, b));
        Assert.False(a.Agent.SelectedPath!.Value.Remote.IsIPv4);
        AssertMirrored(a, b);
    }

    [Fact]
    public void A_host_with_one_socket_may_leave_its_local_address_out()
    {
        var network = new IceNetwork();
        IceHost server = network.AddLite(A);
        IceHost client = network.AddFull(IceRole.Controlling, B);
        network.Signal(server, client);
        client.Agent.HandleTimeout(network.Now);
        byte[] check = client.Sent[0].Bytes;
        server.Agent.Receive(network.Now, new TransportPath(default, IceNetwork.Address(B)), check);
        Assert.Equal(default, server.Sent[0].Path.Local);
        Assert.True(client.Agent.Receive(network.Now, new TransportPath(default, IceNetwork.Address(A)), server.Sent[0].Bytes));
        Assert.True(client.Agent.IsValidated(new TransportPath(default, IceNetwork.Address(A))));
        Assert.True(client.Agent.IsValidated(new TransportPath(IceNetwork.Address(B), IceNetwork.Address(A))));
    }

    private static (IceHost A, IceHost B) Pair(IceNetwork network) =>
        (network.AddFull(IceRole.Controlling, A), network.AddFull(IceRole.Controlled, B));

    private static bool Connected(params IceHost[] hosts) => hosts.All(host => host.Agent.State == IceState.Connected);

    private static void AssertMirrored(IceHost a, IceHost b)
    {
        TransportPath path = Assert.NotNull(a.Agent.SelectedPath);
        Assert.Equal(new TransportPath(path.Remote, path.Local), b.Agent.SelectedPath);
    }
}
