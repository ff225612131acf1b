using Transcribe.Rtc.Ice;

namespace Transcribe.Rtc.Tests.Ice;

public sealed class IceRestartTests
{
    private const string ServerAddress = "203.0.113.1:7882";
    private const string ClientAddress = "198.51.100.7:40000";

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_old_path_carries_data_until_the_new_one_is_selected(bool lite)
    {
        var network = new IceNetwork();
        (IceHost server, IceHost client) = Connect(network, lite);
        (string oldServer, string oldClient) = (server.Agent.LocalCredentials.Ufrag, client.Agent.LocalCredentials.Ufrag);
        TransportPath? old = client.Agent.SelectedPath;

        client.Agent.Restart(network.Now);
        Assert.NotEqual(oldClient, client.Agent.LocalCredentials.Ufrag);
        Assert.Null(client.Agent.RemoteCredentials);
        Assert.Equal(old, client.Agent.SelectedPath);
        Assert.Equal(IceState.Connected, client.Agent.State);

        // The offer arrives at a new address of the client's only later: until then the old pair goes on with consent.
        Assert.True(server.Agent.SetRemoteCredentials(network.Now, client.Agent.LocalCredentials));
        Assert.NotEqual(oldServer, server.Agent.LocalCredentials.Ufrag);
        Assert.True(server.Agent.OwnsUfrag(oldServer));
        Assert.True(server.Agent.OwnsUfrag(server.Agent.LocalCredentials.Ufrag));
        network.Run(TimeSpan.FromSeconds(20));
        Assert.Equal(IceState.Connected, client.Agent.State);
        Assert.Equal(IceState.Connected, server.Agent.State);
        Assert.Empty(server.RetiredUfrags);

        Assert.False(client.Agent.SetRemoteCredentials(network.Now, server.Agent.LocalCredentials));
        network.SignalCandidates(from: server, to: client);
        Assert.True(network.RunUntil(() => server.RetiredUfrags.Count > 0 && client.RetiredUfrags.Count > 0, TimeSpan.FromSeconds(2)));

        Assert.Equal([oldServer], server.RetiredUfrags);
        Assert.Equal([oldClient], client.RetiredUfrags);
        Assert.False(server.Agent.OwnsUfrag(oldServer));
        Assert.Equal(old, client.Agent.SelectedPath);
        Assert.Single(client.SelectedPaths);
        Assert.Empty(server.Expired);
        network.Run(TimeSpan.FromMinutes(1));
        Assert.Equal([IceState.Checking, IceState.Connected], client.States);
        Assert.Equal([IceState.Checking, IceState.Connected], server.States);
    }

    [Fact]
    public void A_restart_moves_to_a_new_address()
    {
        var network = new IceNetwork();
        (IceHost server, IceHost client) = Connect(network, lite: true);
        client.AddAddress("192.0.2.50:9000");
        TransportAddress dead = IceNetwork.Address(ClientAddress);
        network.Blocks = path => path.Local == dead || path.Remote == dead;
        client.Agent.Restart(network.Now);
        network.Signal(server, client);
        Assert.True(network.RunUntil(
            () => client.Agent.SelectedPath?.Local == IceNetwork.Address("192.0.2.50:9000"),
            TimeSpan.FromSeconds(3)));
        Assert.Equal(IceNetwork.Address("192.0.2.50:9000"), server.Agent.SelectedPath!.Value.Remote);
        Assert.DoesNotContain(IceState.Disconnected, client.States);
        Assert.Equal([new TransportPath(IceNetwork.Address(ServerAddress), dead)], server.Expired);
    }

    [Fact]
    public void A_restart_leads_out_of_failure()
    {
        var network = new IceNetwork();
        (IceHost server, IceHost client) = Connect(network, lite: true);
        network.Blocks = _ => true;
        network.Run(TimeSpan.FromSeconds(40));
        Assert.Equal(IceState.Failed, client.Agent.State);
        Assert.Equal(IceState.Failed, server.Agent.State);

        network.Blocks = _ => false;
        client.Agent.Restart(network.Now);
        Assert.Equal(IceState.New, client.Agent.State);
        Assert.True(server.Agent.SetRemoteCredentials(network.Now, client.Agent.LocalCredentials));
        client.Agent.SetRemoteCredentials(network.Now, server.Agent.LocalCredentials);
        network.SignalCandidates(from: server, to: client);
        Assert.True(network.RunUntil(
            () => client.Agent.State == IceState.Connected && server.Agent.State == IceState.Connected,
            TimeSpan.FromSeconds(2)));
    }

    [Fact]
    public void A_restart_that_the_old_path_does_not_outlive_goes_on_without_it()
    {
        var network = new IceNetwork();
        (IceHost server, IceHost client) = Connect(network, lite: true);
        network.Blocks = _ => true;
        client.Agent.Restart(network.Now);
        network.Signal(server, client);
        network.Run(TimeSpan.FromSeconds(31));
        Assert.Equal(IceState.Checking, client.Agent.State);
        Assert.Null(client.Agent.SelectedPath);

        network.Blocks = _ => false;
        Assert.True(network.RunUntil(() => client.Agent.State == IceState.Connected, TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public void Credentials_of_the_old_generation_are_worthless_after_the_restart()
    {
        var network = new IceNetwork();
        (IceHost server, IceHost client) = Connect(network, lite: true);
        IceCredentials old = server.Agent.LocalCredentials;
        string oldClient = client.Agent.LocalCredentials.Ufrag;
        client.Agent.Restart(network.Now);
        network.Signal(server, client);
        Assert.True(network.RunUntil(() => server.RetiredUfrags.Count > 0, TimeSpan.FromSeconds(2)));

        byte[] request = Checks.Request(server, oldClient, useCandidate: true, localUfrag: old.Ufrag, password: old.Password);
        var path = new TransportPath(IceNetwork.Address(ServerAddress), IceNetwork.Address("192.0.2.66:6"));
        Assert.False(server.Agent.Receive(network.Now, path, request));
        Assert.False(server.Agent.IsValidated(path));
        Assert.Equal(1, server.Agent.GetDropCount(IceDropReason.WrongUsername));
    }

    private static (IceHost Server, IceHost Client) Connect(IceNetwork network, bool lite)
    {
        IceHost server = lite ? network.AddLite(ServerAddress) : network.AddFull(IceRole.Controlled, ServerAddress);
        IceHost client = network.AddFull(IceRole.Controlling, ClientAddress);
        network.Signal(server, client);
        Assert.True(network.RunUntil(
            () => server.Agent.State == IceState.Connected && client.Agent.State == IceState.Connected,
            TimeSpan.FromSeconds(2)));
        return (server, client);
    }
}
