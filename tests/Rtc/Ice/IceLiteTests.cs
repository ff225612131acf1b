using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Ice;

/// <summary>A full controlling client against a lite server, as our clients and browsers meet the SFU.</summary>
public sealed class IceLiteTests
{
    private const string ServerAddress = "203.0.113.1:7882";
    private const string ClientAddress = "198.51.100.7:40000";

    [Fact]
    public void Client_and_lite_server_select_the_same_path()
    {
        var network = new IceNetwork();
        IceHost server = network.AddLite(ServerAddress);
        IceHost client = network.AddFull(IceRole.Controlling, ClientAddress);
        network.Signal(server, client, withCandidates: false);
        network.SignalCandidates(from: server, to: client);

        Assert.True(network.RunUntil(() => Connected(server, client), TimeSpan.FromSeconds(1)));

        Assert.Equal(Path(ClientAddress, ServerAddress), client.Agent.SelectedPath);
        Assert.Equal(Path(ServerAddress, ClientAddress), server.Agent.SelectedPath);
        Assert.Equal([IceState.Checking, IceState.Connected], server.States);
        Assert.Equal([IceState.Checking, IceState.Connected], client.States);
        Assert.Equal(TimeSpan.FromMilliseconds(20), client.Agent.RoundTripTime);
        Assert.Equal(0, server.RequestsSent);
    }

    [Fact]
    public void Nomination_of_the_only_pair_costs_two_round_trips_in_all()
    {
        var network = new IceNetwork();
        (IceHost server, IceHost client) = Connect(network);

        Assert.Equal(2, client.RequestsSent);
        Assert.Equal(2, server.Sent.Count);
        Assert.Equal(TimeSpan.FromMilliseconds(40), network.Now - client.Sent[0].At);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    public void Connects_and_stays_connected_with_30_percent_loss_and_reordering(int seed)
    {
        var network = new IceNetwork(seed, new LinkConditions
        {
            Loss = 0.3,
            Duplication = 0.05,
            Delay = TimeSpan.FromMilliseconds(40),
            Jitter = TimeSpan.FromMilliseconds(60),
        });
        IceHost server = network.AddLite(ServerAddress, "[2001:db8::1]:7882");
        IceHost client = network.AddFull(IceRole.Controlling, ClientAddress, "[2001:db8::7]:40000");
        network.Signal(server, client);

        Assert.True(network.RunUntil(() => Connected(server, client), TimeSpan.FromSeconds(20)));
        network.Run(TimeSpan.FromMinutes(2));

        Assert.DoesNotContain(IceState.Failed, client.States);
        Assert.DoesNotContain(IceState.Failed, server.States);
        Assert.Equal(client.Agent.SelectedPath!.Value.Remote, server.Agent.SelectedPath!.Value.Local);
        Assert.Equal(client.Agent.SelectedPath!.Value.Local, server.Agent.SelectedPath!.Value.Remote);
    }

    [Fact]
    public void Nothing_is_validated_before_an_authentic_check()
    {
        var network = new IceNetwork();
        IceHost server = network.AddLite(ServerAddress);
        TransportPath path = Path(ServerAddress, ClientAddress);

        Assert.False(server.Agent.IsValidated(path));
        Assert.Null(server.Agent.SelectedPath);

        server.Agent.Receive(network.Now, path, Checks.Request(server, "abcd"));

        Assert.True(server.Agent.IsValidated(path));
        Assert.Equal([path], server.Validated);
        Assert.Null(server.Agent.SelectedPath);
        Assert.False(server.Agent.IsValidated(Path(ServerAddress, "198.51.100.7:40001")));
    }

    [Fact]
    public void A_nomination_selects_and_a_later_one_moves_the_session_to_another_address()
    {
        var network = new IceNetwork();
        IceHost server = network.AddLite(ServerAddress, "192.0.2.5:7882");
        TransportPath first = Path(ServerAddress, ClientAddress), second = Path("192.0.2.5:7882", "198.51.100.99:5000");
        server.Agent.Receive(network.Now, first, Checks.Request(server, "abcd", useCandidate: true, priority: 1000));
        Assert.Equal(first, server.Agent.SelectedPath);

        // Within the settling time an aggressive nominator gets its best pair, not its last one.
        server.Agent.Receive(network.Now, second, Checks.Request(server, "abcd", useCandidate: true, priority: 900));
        Assert.Equal(first, server.Agent.SelectedPath);

        network.Run(TimeSpan.FromSeconds(5));
        server.Agent.Receive(network.Now, second, Checks.Request(server, "abcd", useCandidate: true, priority: 900));
        Assert.Equal(second, server.Agent.SelectedPath);
        Assert.Equal([first, second], server.SelectedPaths);
        Assert.True(server.Agent.IsValidated(first));
    }

    [Fact]
    public void A_higher_priority_nomination_wins_at_once()
    {
        var network = new IceNetwork();
        IceHost server = network.AddLite(ServerAddress);
        TransportPath first = Path(ServerAddress, ClientAddress), second = Path(ServerAddress, "198.51.100.99:5000");
        server.Agent.Receive(network.Now, first, Checks.Request(server, "abcd", useCandidate: true, priority: 1000));
        server.Agent.Receive(network.Now, second, Checks.Request(server, "abcd", useCandidate: true, priority: 1100));
        Assert.Equal(second, server.Agent.SelectedPath);
    }

    [Fact]
    public void Plain_checks_on_a_nominated_path_take_over_from_one_that_fell_silent()
    {
        var network = new IceNetwork();
        IceHost server = network.AddLite(ServerAddress);
        TransportPath best = Path(ServerAddress, ClientAddress), other = Path(ServerAddress, "198.51.100.99:5000");
        server.Agent.Receive(network.Now, other, Checks.Request(server, "abcd", useCandidate: true, priority: 1000));
        server.Agent.Receive(network.Now, best, Checks.Request(server, "abcd", useCandidate: true, priority: 1100));

        // A browser that nominated both keeps up consent on the one it uses only, without USE-CANDIDATE.
        for (int i = 0; i < 4; i++)
        {
            network.Run(TimeSpan.FromSeconds(5));
            server.Agent.Receive(network.Now, other, Checks.Request(server, "abcd"));
        }

        Assert.Equal(other, server.Agent.SelectedPath);
        Assert.Equal(IceState.Connected, server.Agent.State);
    }

    [Fact]
    public void A_client_that_changes_its_address_keeps_the_session()
    {
        var network = new IceNetwork();
        (IceHost server, IceHost client) = Connect(network);
        network.Run(TimeSpan.FromSeconds(10));

        // The old interface goes, a new one comes; the new address is peer-reflexive for the server.
        client.AddAddress("192.0.2.77:6000");
        client.Addresses.RemoveAt(0);
        client.Agent.RemoveLocalCandidate(network.Now, IceNetwork.Address(ClientAddress));
        Assert.Null(client.Agent.SelectedPath);
        Assert.Equal(IceState.Disconnected, client.Agent.State);

        Assert.True(network.RunUntil(() => client.Agent.State == IceState.Connected, TimeSpan.FromSeconds(1)));
        Assert.Equal(Path("192.0.2.77:6000", ServerAddress), client.Agent.SelectedPath);
        Assert.Equal(Path(ServerAddress, "192.0.2.77:6000"), server.Agent.SelectedPath);
        Assert.DoesNotContain(IceState.Disconnected, server.States);
    }

    [Fact]
    public void A_nat_that_rebinds_moves_the_servers_path()
    {
        var network = new IceNetwork();
        TransportAddress inside = IceNetwork.Address("10.0.0.2:40000");
        network.Nat[inside] = IceNetwork.Address("198.51.100.7:1111");
        IceHost server = network.AddLite(ServerAddress);
        IceHost client = network.AddFull(IceRole.Controlling, "10.0.0.2:40000");
        network.Signal(server, client);
        Assert.True(network.RunUntil(() => Connected(server, client), TimeSpan.FromSeconds(1)));
        Assert.Equal(Path(ServerAddress, "198.51.100.7:1111"), server.Agent.SelectedPath);
        IceCandidate reflexive = Assert.Single(client.Agent.LocalCandidates, c => c.Type == IceCandidateType.PeerReflexive);
        Assert.Equal(IceNetwork.Address("198.51.100.7:1111"), reflexive.Address);

        network.Nat[inside] = IceNetwork.Address("198.51.100.7:2222");
        network.Run(TimeSpan.FromSeconds(15));

        Assert.Equal(Path(ServerAddress, "198.51.100.7:2222"), server.Agent.SelectedPath);
        Assert.DoesNotContain(IceState.Disconnected, server.States);
    }

    [Fact]
    public void Addresses_that_the_client_left_lose_their_validation()
    {
        var network = new IceNetwork();
        IceHost server = network.AddLite(ServerAddress);
        TransportPath left = Path(ServerAddress, "198.51.100.99:5000"), used = Path(ServerAddress, ClientAddress);
        server.Agent.Receive(network.Now, left, Checks.Request(server, "abcd"));
        for (int i = 0; i < 10; i++)
        {
            server.Agent.Receive(network.Now, used, Checks.Request(server, "abcd", useCandidate: true));
            network.Run(TimeSpan.FromSeconds(4));
        }

        Assert.False(server.Agent.IsValidated(left));
        Assert.Equal([left], server.Expired);
        Assert.True(server.Agent.IsValidated(used));
    }

    [Fact]
    public void Deadlines_of_many_servers_sessions_fall_together()
    {
        HashSet<Instant> deadlines = [];
        for (int i = 0; i < 100; i++)
        {
            var network = new IceNetwork(i);
            network.Run(TimeSpan.FromMilliseconds(7 * i));
            (IceHost server, IceHost _) = Connect(network);
            Instant exact = network.Now + new IceAgentOptions().DisconnectedAfter;
            Assert.InRange((server.Agent.NextTimeout - exact).TotalMilliseconds, -100, 250);
            deadlines.Add(server.Agent.NextTimeout);
        }

        Assert.InRange(deadlines.Count, 1, 4);
    }

    [Fact]
    public void A_silent_client_is_disconnected_then_failed_and_its_checks_are_ignored_then()
    {
        var network = new IceNetwork();
        (IceHost server, IceHost client) = Connect(network);
        Instant start = network.Now;
        network.Blocks = path => path.Local == IceNetwork.Address(ClientAddress);

        Assert.True(network.RunUntil(() => server.Agent.State == IceState.Disconnected, TimeSpan.FromSeconds(20)));
        Assert.InRange((network.Now - start).TotalSeconds, 11.9, 12.3);
        Assert.NotNull(server.Agent.SelectedPath);

        Assert.True(network.RunUntil(() => server.Agent.State == IceState.Failed, TimeSpan.FromSeconds(20)));
        Assert.InRange((network.Now - start).TotalSeconds, 29.9, 30.3);
        Assert.Null(server.Agent.SelectedPath);
        Assert.False(server.Agent.IsValidated(Path(ServerAddress, ClientAddress)));
        Assert.Equal(Instant.Never, server.Agent.NextTimeout);

        int sent = server.Sent.Count;
        network.Blocks = _ => false;
        client.Agent.Restart(network.Now);
        server.Agent.Receive(network.Now, Path(ServerAddress, ClientAddress), Checks.Request(server, "abcd"));
        Assert.Equal(sent, server.Sent.Count);
        Assert.Equal(1, server.Agent.GetDropCount(IceDropReason.NotRunning));
    }

    [Fact]
    public void A_client_that_comes_back_within_its_consent_is_connected_again()
    {
        var network = new IceNetwork();
        (IceHost server, IceHost client) = Connect(network);
        network.Blocks = _ => true;
        Assert.True(network.RunUntil(
            () => server.Agent.State == IceState.Disconnected && client.Agent.State == IceState.Disconnected,
            TimeSpan.FromSeconds(25)));

        network.Blocks = _ => false;
        Assert.True(network.RunUntil(() => Connected(server, client), TimeSpan.FromSeconds(10)));
        Assert.Equal([IceState.Checking, IceState.Connected, IceState.Disconnected, IceState.Connected], server.States);
        Assert.Equal([IceState.Checking, IceState.Connected, IceState.Disconnected, IceState.Connected], client.States);
        Assert.Single(client.SelectedPaths);
        network.Run(TimeSpan.FromMinutes(2));
        Assert.Equal(4, client.States.Count);
    }

    [Fact]
    public void A_server_that_nobody_checks_fails_after_the_checking_timeout()
    {
        var network = new IceNetwork();
        IceHost server = network.AddLite(ServerAddress);
        Assert.True(IceCredentials.TryCreate("abcd", new string('p', 22), out IceCredentials? remote));
        server.Agent.SetRemoteCredentials(network.Now, remote);
        network.Run(TimeSpan.FromSeconds(39));
        Assert.Equal(IceState.Checking, server.Agent.State);
        network.Run(TimeSpan.FromSeconds(1));
        Assert.Equal(IceState.Failed, server.Agent.State);
    }

    [Fact]
    public void Fails_early_where_a_lite_peer_rejects_every_pair()
    {
        var network = new IceNetwork();
        IceHost client = network.AddHost(
            new IceAgentOptions { MaxTransmissions = 2, LastRtoFactor = 2 },
            ClientAddress);
        client.Agent.RemoteIsLite = true;
        Assert.True(IceCredentials.TryCreate("abcd", new string('p', 22), out IceCredentials? remote));
        client.Agent.SetRemoteCredentials(network.Now, remote);
        client.Agent.AddRemoteCandidate(network.Now, IceCandidate.CreateHost(IceNetwork.Address(ServerAddress)));
        client.Agent.EndOfCandidates(network.Now);
        network.Run(TimeSpan.FromSeconds(3));
        Assert.Equal(IceState.Failed, client.Agent.State);
        Assert.Equal(2, client.RequestsSent);
    }

    [Fact]
    public void The_number_of_peer_addresses_is_bounded()
    {
        var network = new IceNetwork();
        IceHost server = network.AddHost(new IceAgentOptions { IceLite = true, MaxPairs = 3 }, ServerAddress);
        for (int port = 1; port <= 5; port++)
        {
            server.Agent.Receive(network.Now, Path(ServerAddress, $"198.51.100.7:{port}"), Checks.Request(server, "abcd"));
        }

        Assert.Equal(3, server.Validated.Count);
        Assert.Equal(2, server.Agent.GetDropCount(IceDropReason.TooMany));
    }

    [Fact]
    public void A_closed_agent_neither_sends_nor_answers()
    {
        var network = new IceNetwork();
        (IceHost server, IceHost client) = Connect(network);
        server.Agent.Close();
        client.Agent.Close();
        int sent = server.Sent.Count + client.Sent.Count;
        server.Agent.Receive(network.Now, Path(ServerAddress, ClientAddress), Checks.Request(server, "abcd"));
        client.Agent.Restart(network.Now);
        network.Run(TimeSpan.FromMinutes(1));
        Assert.Equal(sent, server.Sent.Count + client.Sent.Count);
        Assert.Equal(IceState.Closed, server.Agent.State);
        Assert.Equal(IceState.Closed, client.Agent.State);
        Assert.Null(client.Agent.SelectedPath);
    }

    private static (IceHost Server, IceHost Client) Connect(IceNetwork network)
    {
        IceHost server = network.AddLite(ServerAddress);
        IceHost client = network.AddFull(IceRole.Controlling, ClientAddress);
        client.Agent.RemoteIsLite = true;
        network.Signal(server, client);
        Assert.True(network.RunUntil(() => Connected(server, client), TimeSpan.FromSeconds(1)));
        return (server, client);
    }

    private static bool Connected(params IceHost[] hosts) => hosts.All(host => host.Agent.State == IceState.Connected);

    private static TransportPath Path(string local, string remote) =>
        new(IceNetwork.Address(local), IceNetwork.Address(remote));
}
