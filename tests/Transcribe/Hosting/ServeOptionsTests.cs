using Transcribe.Hosting;

namespace Transcribe.Transcribe.Tests.Hosting;

public class ServeOptionsTests
{
    private const string Secret = "0123456789abcdef0123456789abcdef";

    [Fact]
    public void An_empty_environment_gives_the_defaults_and_a_development_key_on_localhost()
    {
        ServeOptions options = Read();
        Assert.Equal((8080, 7882, "localhost"), (options.HttpPort, options.UdpPort, options.EffectiveHttpAddress));
        Assert.True(options.Keys.IsDevelopment);
    }

    [Fact]
    public void Everything_can_be_set()
    {
        ServeOptions options = Read(
            ("TRANSCRIBE_HTTP_PORT", "18080"), ("TRANSCRIBE_UDP_PORT", " 0 "), ("TRANSCRIBE_API_KEY", "mine"), ("TRANSCRIBE_API_SECRET", Secret),
            ("TRANSCRIBE_ICE_SERVERS", "stun:a.example:3478, turns:b.example"), ("TRANSCRIBE_ADVERTISED_ADDRESSES", "192.0.2.1,2001:db8::1"));
        Assert.Equal((18080, 0, "*"), (options.HttpPort, options.UdpPort, options.EffectiveHttpAddress));
        Assert.Equal(("mine", false), (options.Keys.Signing.Key, options.Keys.IsDevelopment));
        Assert.Equal(["stun:a.example:3478", "turns:b.example"], Assert.Single(options.IceServers).Urls);
        Assert.Equal(["192.0.2.1", "2001:db8::1"], options.AdvertisedAddresses);
    }

    [Theory]
    [InlineData("TRANSCRIBE_HTTP_PORT", "http")]
    [InlineData("TRANSCRIBE_HTTP_PORT", "65536")]
    [InlineData("TRANSCRIBE_UDP_PORT", "-1")]
    [InlineData("TRANSCRIBE_HTTP_ADDRESS", "example.org")]
    [InlineData("TRANSCRIBE_ICE_SERVERS", "http://example.org")]
    [InlineData("TRANSCRIBE_ADVERTISED_ADDRESSES", "example.org")]
    [InlineData("TRANSCRIBE_PAGE", "/nowhere/at/all")]
    public void A_value_that_cannot_be_used_is_named_with_its_variable(string name, string value)
    {
        ConfigurationException e = Assert.Throws<ConfigurationException>(() => Read((name, value)));
        Assert.Contains(name, e.Message, StringComparison.Ordinal);
        Assert.Contains(value, e.Message, StringComparison.Ordinal);
        Assert.Contains("et ", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("mine", null)]
    [InlineData(null, Secret)]
    [InlineData("mine", "too short")]
    [InlineData("not a key", Secret)]
    public void A_key_without_a_good_secret_stops_the_start_and_is_not_shown(string? key, string? secret)
    {
        ConfigurationException e = Assert.Throws<ConfigurationException>(() => Read(("TRANSCRIBE_API_KEY", key), ("TRANSCRIBE_API_SECRET", secret)));
        Assert.Contains("TRANSCRIBE_API_", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(secret ?? Secret, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("Parameter", e.Message, StringComparison.Ordinal);
    }

    private static ServeOptions Read(params (string Name, string? Value)[] environment) =>
        ServeOptions.FromEnvironment(name => Array.Find(environment, pair => pair.Name == name).Value);
}
