using Microsoft.Extensions.Hosting;
using Transcribe.Cluster.Nodes;
using Transcribe.Hosting;

namespace Transcribe.Transcribe.Tests.Hosting;

public sealed class RoleOptionsTests
{
    private const string Secret = "0123456789abcdef0123456789abcdef";

    private static readonly (string Key, string Value)[] Enough =
    [
        ("TRANSCRIBE_REDIS", "127.0.0.1:6379"), ("TRANSCRIBE_CLUSTER_KEY", Secret), ("TRANSCRIBE_API_KEY", "app"), ("TRANSCRIBE_API_SECRET", Secret),
    ];

    [Theory]
    [InlineData("TRANSCRIBE_REDIS", "")]
    [InlineData("TRANSCRIBE_CLUSTER_KEY", "")]
    [InlineData("TRANSCRIBE_CLUSTER_KEY", "short")]
    [InlineData("TRANSCRIBE_API_KEY", "")]
    [InlineData("TRANSCRIBE_NODE_ID", "a b")]
    [InlineData("TRANSCRIBE_REGION", "eu/west")]
    [InlineData("TRANSCRIBE_PUBLIC_URL", "rtc.example.org")]
    [InlineData("TRANSCRIBE_MAX_SESSIONS", "0")]
    [InlineData("TRANSCRIBE_DEV_TOKENS", "perhaps")]
    [InlineData("TRANSCRIBE_LOG_NODE", "perhaps")]
    [InlineData("TRANSCRIBE_STOP_AT_EOF", "perhaps")]
    [InlineData("TRANSCRIBE_PLACEMENT", "anywhere")]
    [InlineData("TRANSCRIBE_PROVISIONER", "magic")]
    [InlineData("TRANSCRIBE_HTTP_PORT", "http")]
    public void What_is_missing_or_wrong_stops_with_a_sentence_that_names_it_and_shows_no_secret(string key, string value)
    {
        ConfigurationException stop = Assert.Throws<ConfigurationException>(() => Read(NodeRole.Director, (key, value)));
        Assert.Contains(key, stop.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(Secret, stop.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_media_node_needs_no_api_key_and_listens_for_health_only_where_asked()
    {
        RoleOptions options = Read(NodeRole.Sfu, ("TRANSCRIBE_API_KEY", ""), ("TRANSCRIBE_API_SECRET", ""));
        Assert.Null(options.Keys);
        Assert.Null(options.HttpPort);
        Assert.Equal("localhost", options.EffectiveHttpAddress);
    }

    [Fact]
    public void A_node_that_starts_again_is_another_node()
    {
        Assert.NotEqual(Read(NodeRole.Signaling).NodeId, Read(NodeRole.Signaling).NodeId);
        Assert.Equal("rtc1", Read(NodeRole.Signaling, ("TRANSCRIBE_NODE_ID", "rtc1")).NodeId);
    }

    [Fact]
    public void Tokens_for_whoever_asks_are_for_this_machine_only()
    {
        Assert.Equal("*", Read(NodeRole.Director).EffectiveHttpAddress);
        Assert.Equal("localhost", Read(NodeRole.Director, ("TRANSCRIBE_DEV_TOKENS", "1")).EffectiveHttpAddress);
    }

    [Fact]
    public void Options_in_a_log_show_no_secret() =>
        Assert.DoesNotContain(Secret, Read(NodeRole.Director).ToString(), StringComparison.Ordinal);

    [Theory]
    [InlineData(NodeRole.Director)]
    [InlineData(NodeRole.Signaling)]
    [InlineData(NodeRole.Sfu)]
    [InlineData(NodeRole.Gateway)]
    public void Every_role_can_be_wired(NodeRole role)
    {
        using IHost host = RoleHost.Build(Read(role, ("TRANSCRIBE_HTTP_PORT", "0")));
        Assert.NotNull(host);
    }

    private static RoleOptions Read(NodeRole role, params (string Key, string Value)[] changes) =>
        RoleOptions.FromEnvironment(role, name => changes.Concat(Enough).Where(v => v.Key == name).Select(v => v.Value).FirstOrDefault());
}
