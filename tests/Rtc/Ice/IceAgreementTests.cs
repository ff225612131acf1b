using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Ice;

/// <summary>Many seeds, roles, kinds of peers, NATs and a restart on a bad network: both ends must end up on one path.</summary>
public sealed class IceAgreementTests
{
    [Fact]
    public void Both_ends_agree_on_the_path_and_the_roles_whatever_the_network_does()
    {
        for (int seed = 0; seed < 120; seed++)
        {
            var network = new IceNetwork(seed, new LinkConditions
            {
                Loss = 0.3,
                Duplication = 0.1,
                Jitter = TimeSpan.FromMilliseconds(seed % 200),
            });
            IceHost a = network.AddFull((IceRole)(seed & 1), "192.0.2.1:1", "10.0.0.1:1", "[2001:db8::1]:1");
            IceHost b = seed % 3 == 0
                ? network.AddLite("192.0.2.2:1", "[2001:db8::2]:1")
                : network.AddFull((IceRole)((seed >> 1) & 1), "192.0.2.2:1", "[2001:db8::2]:1");
            if (seed % 5 == 0)
            {
                network.Nat[IceNetwork.Address("192.0.2.1:1")] = IceNetwork.Address("198.51.100.1:5");
            }

            network.Signal(a, b);
            Assert.True(network.RunUntil(() => Connected(a, b), TimeSpan.FromSeconds(30)), $"seed {seed}");
            network.Run(TimeSpan.FromSeconds(20));

            (IceHost restarts, IceHost other) = seed % 2 == 0 ? (a, b) : (b, a);
            restarts.Agent.Restart(network.Now);
            network.Signal(other, restarts);
            network.Run(TimeSpan.FromSeconds(30));
            network.Conditions = LinkConditions.Perfect;
            network.Run(TimeSpan.FromSeconds(15));

            Assert.True(Connected(a, b), $"seed {seed}");
            TransportPath ours = a.Agent.SelectedPath!.Value, theirs = b.Agent.SelectedPath!.Value;
            TransportAddress seen = network.Nat.GetValueOrDefault(ours.Local, ours.Local);
            Assert.True(theirs == new TransportPath(ours.Remote, seen), $"seed {seed}: {ours} and {theirs}");
            Assert.NotEqual(a.Agent.Role, b.Agent.Role);
            Assert.Single(a.RetiredUfrags);
            Assert.Single(b.RetiredUfrags);
        }
    }

    private static bool Connected(params IceHost[] hosts) => hosts.All(host => host.Agent.State == IceState.Connected);
}
