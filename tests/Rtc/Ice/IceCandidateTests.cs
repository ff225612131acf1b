using CsCheck;
using Transcribe.Rtc.Ice;

namespace Transcribe.Rtc.Tests.Ice;

public sealed class IceCandidateTests
{
    [Theory]
    [InlineData("candidate:842163049 1 udp 1677729535 203.0.113.9 46154 typ srflx raddr 10.0.0.17 rport 46154 ufrag EsAw")]
    [InlineData("candidate:1 1 udp 2130706431 2001:db8::1 8998 typ host")]
    [InlineData("candidate:2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active")]
    [InlineData("candidate:3 2 udp 41885439 198.51.100.1 50000 typ relay raddr 203.0.113.9 rport 46154")]
    [InlineData("candidate:4 1 udp 1862270975 192.0.2.3 45664 typ prflx raddr 10.0.1.1 rport 8998")]
    [InlineData("candidate:5 1 udp 2113937151 0f2c4e26-2a6d-4b0e-9d1c-1d6a4f1f2e3b.local 54321 typ host")]
    public void Text_survives_the_round_trip(string text)
    {
        Assert.True(IceCandidate.TryParse(text, out IceCandidate? candidate));
        Assert.Equal(text, candidate.ToString());
        Assert.True(IceCandidate.TryParse(candidate.ToString(), out IceCandidate? again));
        Assert.Equal(candidate, again);
    }

    [Fact]
    public void Chromes_candidate_with_all_its_extensions_is_read()
    {
        const string text = "a=candidate:842163049 1 UDP 1677729535 203.0.113.9 46154 typ srflx raddr 0.0.0.0 rport 0 "
            + "generation 0 ufrag EsAw network-id 3 network-cost 10\r\n";
        Assert.True(IceCandidate.TryParse(text, out IceCandidate? candidate));
        Assert.Equal("842163049", candidate.Foundation);
        Assert.Equal(1, candidate.Component);
        Assert.Equal(IceTransport.Udp, candidate.Transport);
        Assert.Equal(1677729535u, candidate.Priority);
        Assert.Equal("203.0.113.9:46154", candidate.Address.ToString());
        Assert.Equal(IceCandidateType.ServerReflexive, candidate.Type);
        Assert.Equal("0.0.0.0:0", candidate.RelatedAddress.ToString());
        Assert.Equal("EsAw", candidate.UsernameFragment);
        Assert.True(candidate.IsUsable);
    }

    [Fact]
    public void An_mdns_name_is_kept_and_not_used()
    {
        Assert.True(IceCandidate.TryParse("candidate:1 1 udp 2113937151 abc-1.local 5000 typ host", out IceCandidate? candidate));
        Assert.Equal("abc-1.local", candidate.HostName);
        Assert.Equal(5000, candidate.Address.Port);
        Assert.False(candidate.IsUsable);
    }

    [Theory]
    [InlineData("")]
    [InlineData("   ")]
    [InlineData("candidate:")]
    [InlineData("candidate:1 1 udp 1 192.0.2.1 5000")]
    [InlineData("candidate:1 1 udp 1 192.0.2.1 5000 typ")]
    [InlineData("candidate:1 1 udp 1 192.0.2.1 5000 typ other")]
    [InlineData("candidate:1 1 udp 1 192.0.2.1 5000 type host")]
    [InlineData("candidate:1 1 udp 1 192.0.2.1 65536 typ host")]
    [InlineData("candidate:1 1 udp 1 192.0.2.1 -1 typ host")]
    [InlineData("candidate:1 1 udp 4294967296 192.0.2.1 5000 typ host")]
    [InlineData("candidate:1 0 udp 1 192.0.2.1 5000 typ host")]
    [InlineData("candidate:1 257 udp 1 192.0.2.1 5000 typ host")]
    [InlineData("candidate:1 1 udp 1 192.0.2.256 5000 typ host")]
    [InlineData("candidate:1 1 udp 1 fe80::1%eth0 5000 typ host")]
    [InlineData("candidate:1 1 udp 1 2001:db8:::1 5000 typ host")]
    [InlineData("candidate:1 1 udp 1 bad!name 5000 typ host")]
    [InlineData("candidate:1- 1 udp 1 192.0.2.1 5000 typ host")]
    [InlineData("candidate:123456789012345678901234567890123 1 udp 1 192.0.2.1 5000 typ host")]
    public void Malformed_text_is_rejected(string text) => Assert.False(IceCandidate.TryParse(text, out _));

    [Theory]
    [InlineData("127.1")]
    [InlineData("0x7f000001")]
    [InlineData("2130706433")]
    public void Unusual_spellings_of_ipv4_are_names_not_addresses(string host)
    {
        Assert.True(IceCandidate.TryParse($"candidate:1 1 udp 1 {host} 5000 typ host", out IceCandidate? candidate));
        Assert.Equal(host, candidate.HostName);
        Assert.False(candidate.IsUsable);
    }

    [Fact]
    public void Overlong_text_is_rejected()
    {
        string text = "candidate:1 1 udp 1 192.0.2.1 5000 typ host x " + new string('y', IceCandidate.MaxTextLength);
        Assert.False(IceCandidate.TryParse(text, out _));
    }

    [Fact]
    public void Priorities_are_those_of_the_rfc()
    {
        Assert.Equal(2130706431u, IceCandidate.ComputePriority(IceCandidateType.Host, 65535));
        Assert.Equal(2130706430u, IceCandidate.ComputePriority(IceCandidateType.Host, 65535, component: 2));
        Assert.Equal(1694498815u, IceCandidate.ComputePriority(IceCandidateType.ServerReflexive, 65535));
        Assert.Equal(16777215u, IceCandidate.ComputePriority(IceCandidateType.Relayed, 65535));
    }

    [Fact]
    public void Foundations_differ_by_type_address_and_transport_but_not_by_port()
    {
        TransportAddress a = IceNetwork.Address("192.0.2.1:1"), b = IceNetwork.Address("192.0.2.2:1");
        string foundation = IceCandidate.CreateHost(a).Foundation;
        Assert.Equal(foundation, IceCandidate.CreateHost(IceNetwork.Address("192.0.2.1:2")).Foundation);
        Assert.NotEqual(foundation, IceCandidate.CreateHost(b).Foundation);
        Assert.NotEqual(foundation, IceCandidate.CreateTcpPassive(a).Foundation);
        Assert.NotEqual(foundation, IceCandidate.ComputeFoundation(IceCandidateType.Relayed, a, IceTransport.Udp));
    }

    [Fact]
    public void Random_text_never_throws() => Gen.String[0, 200].Sample(text =>
    {
        _ = IceCandidate.TryParse(text, out _);
    });

    [Fact]
    public void Mixed_up_tokens_never_throw_and_what_parses_survives_the_round_trip()
    {
        string[] tokens =
        [
            "candidate:1", "a=candidate:2", "1", "2", "257", "udp", "TCP", "sctp", "2130706431", "4294967295", "192.0.2.1",
            "::1", "::ffff:192.0.2.1", "x.local", "5000", "0", "65535", "typ", "host", "srflx", "raddr", "rport", "tcptype",
            "ufrag", "passive", "", "%", "-1",
        ];
        Gen<string> token = Gen.Int[0, tokens.Length - 1].Select(index => tokens[index]);
        token.Array[0, 14].Sample(parts => RoundTrip(string.Join(' ', parts)));
        token.Array[0, 8].Sample(parts =>
            RoundTrip("candidate:1 1 udp 1 192.0.2.1 5000 typ host " + string.Join(' ', parts)));

        static void RoundTrip(string text)
        {
            if (IceCandidate.TryParse(text, out IceCandidate? candidate) && candidate.Transport != IceTransport.Other)
            {
                Assert.True(IceCandidate.TryParse(candidate.ToString(), out IceCandidate? again), text);
                Assert.Equal(candidate, again);
            }
        }
    }

    [Theory]
    [InlineData("abcd", "0123456789012345678901", true)]
    [InlineData("abc", "0123456789012345678901", false)]
    [InlineData("abcd", "012345678901234567890", false)]
    [InlineData("ab:d", "0123456789012345678901", false)]
    [InlineData("abcd", "01234567890123456789 1", false)]
    [InlineData(null, null, false)]
    public void Credentials_from_outside_are_checked(string? ufrag, string? password, bool valid) =>
        Assert.Equal(valid, IceCredentials.TryCreate(ufrag, password, out _));

    [Fact]
    public void Own_credentials_are_valid_differ_and_hide_their_password()
    {
        using var random = new SeededRandom(1);
        IceCredentials a = IceCredentials.Create(random), b = IceCredentials.Create(random);
        Assert.True(IceCredentials.TryCreate(a.Ufrag, a.Password, out IceCredentials? copy));
        Assert.Equal(a, copy);
        Assert.NotEqual(a.Ufrag, b.Ufrag);
        Assert.NotEqual(a.Password, b.Password);
        Assert.DoesNotContain(a.Password, a.ToString(), StringComparison.Ordinal);
    }
}
