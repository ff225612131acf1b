using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Stun;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Ice;

/// <summary>An agent, its addresses and what it told its host.</summary>
internal sealed class IceHost : IIceObserver
{
    private readonly IceNetwork _network;

    public IceHost(IceNetwork network, IceAgentOptions options, int seed, params string[] addresses)
    {
        _network = network;
        Agent = new IceAgent(options with { Random = new SeededRandom(seed) }, this);
        foreach (string address in addresses)
        {
            AddAddress(address);
        }
    }

    public IceAgent Agent { get; }

    public List<TransportAddress> Addresses { get; } = [];

    public List<IceState> States { get; } = [];

    public List<TransportPath?> SelectedPaths { get; } = [];

    public List<TransportPath> Validated { get; } = [];

    public List<TransportPath> Expired { get; } = [];

    public List<string> RetiredUfrags { get; } = [];

    /// <summary>Every datagram the agent sent, with its time.</summary>
    public List<(Instant At, TransportPath Path, byte[] Bytes)> Sent { get; } = [];

    public int RequestsSent => Sent.Count(sent => sent.Bytes[0] == 0 && sent.Bytes[1] == 1);

    public IceCandidate AddAddress(string text, int localPreference = 65535)
    {
        Assert.True(TransportAddress.TryParse(text, out TransportAddress address));
        Addresses.Add(address);
        var candidate = IceCandidate.CreateHost(address, localPreference - Addresses.Count);
        Agent.AddLocalCandidate(candidate);
        return candidate;
    }

    public void OnSend(in TransportPath path, ReadOnlySpan<byte> datagram)
    {
        Sent.Add((_network.Now, path, datagram.ToArray()));
        _network.Send(path, datagram);
    }

    public void OnStateChanged(IceState state) => States.Add(state);

    public void OnSelectedPathChanged(TransportPath? path) => SelectedPaths.Add(path);

    public void OnPathValidated(in TransportPath path) => Validated.Add(path);

    public void OnPathExpired(in TransportPath path) => Expired.Add(path);

    public void OnLocalUfragRetired(string ufrag) => RetiredUfrags.Add(ufrag);
}

/// <summary>Hosts on a virtual clock, one lossy link in between, optionally a NAT that rewrites source addresses.</summary>
internal sealed class IceNetwork(int seed = 1, LinkConditions? conditions = null)
{
    private readonly VirtualLink _link = new(conditions ?? LinkConditions.Perfect, seed);

    public Instant Now { get; private set; } = new(TimeSpan.TicksPerSecond);

    public List<IceHost> Hosts { get; } = [];

    /// <summary>Private address -> public address of the NAT in front of it.</summary>
    public Dictionary<TransportAddress, TransportAddress> Nat { get; } = [];

    /// <summary>Drops a datagram where this says so.</summary>
    public Func<TransportPath, bool> Blocks { get; set; } = _ => false;

    public LinkConditions Conditions
    {
        get => _link.Conditions;
        set => _link.Conditions = value;
    }

    public static TransportAddress Address(string text) =>
        TransportAddress.TryParse(text, out TransportAddress address) ? address : throw new ArgumentException(text);

    public IceHost AddHost(IceAgentOptions options, params string[] addresses)
    {
        var host = new IceHost(this, options, (Hosts.Count * 1000) + seed, addresses);
        Hosts.Add(host);
        return host;
    }

    public IceHost AddLite(params string[] addresses) => AddHost(new IceAgentOptions { IceLite = true }, addresses);

    public IceHost AddFull(IceRole role, params string[] addresses) => AddHost(new IceAgentOptions { Role = role }, addresses);

    /// <summary>What signalling does: credentials first, then candidates, both ways.</summary>
    public void Signal(IceHost a, IceHost b, bool withCandidates = true)
    {
        a.Agent.SetRemoteCredentials(Now, b.Agent.LocalCredentials);
        b.Agent.SetRemoteCredentials(Now, a.Agent.LocalCredentials);
        if (withCandidates)
        {
            SignalCandidates(from: a, to: b);
            SignalCandidates(from: b, to: a);
        }
    }

    public void SignalCandidates(IceHost from, IceHost to)
    {
        foreach (IceCandidate candidate in from.Agent.LocalCandidates)
        {
            if (candidate.Type == IceCandidateType.Host)
            {
                to.Agent.AddRemoteCandidate(Now, candidate);
            }
        }

        to.Agent.EndOfCandidates(Now);
    }

    public void Send(in TransportPath path, ReadOnlySpan<byte> datagram)
    {
        TransportPath onWire = path with { Local = Nat.GetValueOrDefault(path.Local, path.Local) };
        if (!Blocks(onWire))
        {
            _link.Send(Now, onWire, datagram);
        }
    }

    public void Run(TimeSpan time) => RunUntil(() => false, time);

    /// <summary>Runs until the condition holds; false where it did not within the limit.</summary>
    public bool RunUntil(Func<bool> condition, TimeSpan limit)
    {
        Instant end = Now + limit;
        int stuck = 0;
        while (true)
        {
            if (condition())
            {
                return true;
            }

            Instant next = _link.NextDelivery;
            foreach (IceHost host in Hosts)
            {
                next = Instant.Min(next, host.Agent.NextTimeout);
            }

            if (next > end)
            {
                Now = end;
                return condition();
            }

            stuck = next > Now ? 0 : stuck + 1;
            Assert.True(stuck < 1000, "The clock stands still: a deadline that is due is never met.");
            Now = Instant.Max(next, Now);
            while (_link.TryReceive(Now, out TransportPath path, out byte[] datagram))
            {
                Deliver(path, datagram);
            }

            foreach (IceHost host in Hosts)
            {
                if (host.Agent.NextTimeout <= Now)
                {
                    host.Agent.HandleTimeout(Now);
                }
            }
        }
    }

    private void Deliver(in TransportPath path, byte[] datagram)
    {
        TransportAddress to = path.Remote;
        foreach ((TransportAddress inside, TransportAddress outside) in Nat)
        {
            to = outside == to ? inside : to;
        }

        foreach (IceHost host in Hosts)
        {
            if (host.Addresses.Contains(to) && DatagramClassifier.Classify(datagram) == DatagramKind.Stun)
            {
                host.Agent.Receive(Now, new TransportPath(to, path.Local), datagram);
            }
        }
    }
}
