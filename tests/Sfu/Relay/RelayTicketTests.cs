using CsCheck;
using Microsoft.Extensions.Time.Testing;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Tokens;
using Transcribe.Sfu.Relay;

namespace Transcribe.Sfu.Tests.Relay;

public sealed class RelayTicketTests
{
    private const string Key = "0123456789abcdef0123456789abcdef";

    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 11, 24, 0, 0, 0, TimeSpan.Zero));
    private readonly RelayTickets _tickets;

    public RelayTicketTests() => _tickets = new RelayTickets(Key, _time);

    private void AssertRefused(string ticket, string to = "a", string session = "s1") =>
        Assert.Equal(RelayTickets.Refused, Assert.Throws<BusException>(() => _tickets.Check(ticket, to, session)).Code);

    [Fact]
    public void A_ticket_names_the_node_that_asks() => Assert.Equal("b", _tickets.Check(_tickets.Issue("b", "a", "s1"), "a", "s1"));

    [Fact]
    public void A_ticket_of_another_cluster_is_refused() =>
        AssertRefused(new RelayTickets("ffffffffffffffffffffffffffffffff", _time).Issue("b", "a", "s1"));

    [Fact]
    public void A_ticket_for_another_node_or_session_is_refused()
    {
        AssertRefused(_tickets.Issue("b", "c", "s1"));
        AssertRefused(_tickets.Issue("b", "a", "s2"));
    }

    [Fact]
    public void A_ticket_serves_once()
    {
        string ticket = _tickets.Issue("b", "a", "s1");
        _tickets.Check(ticket, "a", "s1");
        AssertRefused(ticket);
    }

    [Fact]
    public void An_expired_ticket_is_refused()
    {
        string ticket = _tickets.Issue("b", "a", "s1");
        _time.Advance(TimeSpan.FromSeconds(31));
        AssertRefused(ticket);
    }

    [Fact]
    public void An_access_token_is_no_ticket()
    {
        var ring = new ApiKeyRing([new ApiKey("app", "secret-secret-secret-secret-secret-")]);
        AssertRefused(new AccessTokenMinter(ring, _time).Mint("demo", "eve", new Grants { Subscribe = true }));
        AssertRefused("");
        AssertRefused(".");
    }

    [Fact]
    public void No_change_of_a_ticket_goes_unnoticed()
    {
        string ticket = _tickets.Issue("b", "a", "s1");
        Gen.Select(Gen.Int[0, ticket.Length - 1], Gen.Char.AlphaNumeric).Sample((at, replacement) =>
        {
            if (ticket[at] == replacement)
                return;
            char[] forged = ticket.ToCharArray();
            forged[at] = replacement;

            // The last character of a Base64 text may have bits that mean nothing.
            if (at != ticket.Length - 1 && ticket[at + 1] != '.')
                AssertRefused(new string(forged));
        });
        Gen.String.Sample(text => AssertRefused(text));
    }
}
