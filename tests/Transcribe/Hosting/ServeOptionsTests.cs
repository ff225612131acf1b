using Transcribe.Hosting;

namespace Transcribe.Transcribe.Tests.Hosting;

public sealed class ServeOptionsTests
{
    private const string Secret = "0123456789abcdef0123456789abcdef";

    /// <summary>Every wrong value: the sentence names the variable, shows the value, and says what to do.</summary>
    [Theory]
    [InlineData("TRANSCRIBE_HTTP_PORT", "http")]
    [InlineData("TRANSCRIBE_HTTP_PORT", "65536")]
    [InlineData("TRANSCRIBE_HTTP_PORT", "-1")]
    [InlineData("TRANSCRIBE_HTTP_PORT", "99999999999999999999")]
    [InlineData("TRANSCRIBE_HTTP_PORT", "80.5")]
    [InlineData("TRANSCRIBE_UDP_PORT", "7882/udp")]
    [InlineData("TRANSCRIBE_UDP_PORT", "70000")]
    [InlineData("TRANSCRIBE_HTTP_ADDRESS", "example.org")]
    [InlineData("TRANSCRIBE_HTTP_ADDRESS", "127.0.0.1:80")]
    [InlineData("TRANSCRIBE_ADVERTISED_ADDRESSES", "media.example.org")]
    [InlineData("TRANSCRIBE_ADVERTISED_ADDRESSES", "203.0.113.7:7882")]
    [InlineData("TRANSCRIBE_ICE_SERVERS", "stun.example.org")]
    [InlineData("TRANSCRIBE_ICE_SERVERS", "https://example.org")]
    [InlineData("TRANSCRIBE_ICE_SERVERS", "stun:")]
    [InlineData("TRANSCRIBE_PAGE", "/no/such/folder")]
    public void A_wrong_value_stops_with_a_sentence_that_names_key_value_and_fix(string key, string value)
    {
        ConfigurationException stop = Assert.Throws<ConfigurationException>(() => Read((key, value)));
        Assert.Contains(key, stop.Message, StringComparison.Ordinal);
        Assert.Contains($"\"{value}\"", stop.Message, StringComparison.Ordinal);
        Assert.Matches("Set |Use ", stop.Message);
        Assert.EndsWith(".", stop.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void One_wrong_entry_of_a_list_is_the_one_that_is_named()
    {
        Assert.Contains("\"nowhere\"", Assert.Throws<ConfigurationException>(() => Read(("TRANSCRIBE_ADVERTISED_ADDRESSES", "203.0.113.7, nowhere,::1"))).Message, StringComparison.Ordinal);
        Assert.Contains("\"ftp:x\"", Assert.Throws<ConfigurationException>(() => Read(("TRANSCRIBE_ICE_SERVERS", "stun:a,ftp:x,turn:b"))).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("TRANSCRIBE_API_KEY", "app", "TRANSCRIBE_API_SECRET")]
    [InlineData("TRANSCRIBE_API_SECRET", Secret, "TRANSCRIBE_API_KEY")]
    public void Half_an_api_key_stops_and_no_secret_is_shown(string there, string value, string missing)
    {
        ConfigurationException stop = Assert.Throws<ConfigurationException>(() => Read((there, value)));
        Assert.Contains($"{there} is set and {missing} is not", stop.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(Secret, stop.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("app", "tooshrt")]
    [InlineData("not a key", Secret)]
    public void An_api_key_that_cannot_sign_stops_and_no_secret_is_shown(string key, string secret)
    {
        ConfigurationException stop = Assert.Throws<ConfigurationException>(() => Read(("TRANSCRIBE_API_KEY", key), ("TRANSCRIBE_API_SECRET", secret)));
        Assert.Contains("TRANSCRIBE_API_", stop.Message, StringComparison.Ordinal);
        Assert.Contains($"\"{key}\"", stop.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(secret, stop.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("Parameter", stop.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nothing_set_is_a_development_server_that_only_this_machine_reaches()
    {
        ServeOptions options = Read();
        Assert.True(options.Keys.IsDevelopment);
        Assert.Equal("localhost", options.EffectiveHttpAddress);
        Assert.NotEqual(options.Keys.Signing.Secret, Read().Keys.Signing.Secret);
    }

    [Fact]
    public void Own_keys_open_the_server_to_the_network()
    {
        ServeOptions options = Read(("TRANSCRIBE_API_KEY", "app"), ("TRANSCRIBE_API_SECRET", Secret));
        Assert.False(options.Keys.IsDevelopment);
        Assert.True(options.Keys.Matches("app", Secret));
        Assert.Equal("*", options.EffectiveHttpAddress);
    }

    [Fact]
    public void Good_values_are_taken_with_blanks_around_them()
    {
        ServeOptions options = Read(
            ("TRANSCRIBE_HTTP_PORT", " 9000 "), ("TRANSCRIBE_UDP_PORT", "0"), ("TRANSCRIBE_HTTP_ADDRESS", "::1"),
            ("TRANSCRIBE_ADVERTISED_ADDRESSES", " 203.0.113.7 , 2001:db8::1 "), ("TRANSCRIBE_ICE_SERVERS", "stun:a:3478, turns:b"), ("TRANSCRIBE_PAGE", "  "));
        Assert.Equal(9000, options.HttpPort);
        Assert.Equal(0, options.UdpPort);
        Assert.Equal("::1", options.EffectiveHttpAddress);
        Assert.Equal(["203.0.113.7", "2001:db8::1"], options.AdvertisedAddresses);
        Assert.Equal(["stun:a:3478", "turns:b"], Assert.Single(options.IceServers).Urls);
        Assert.Null(options.PagePath);
    }

    private static ServeOptions Read(params (string Key, string Value)[] variables) =>
        ServeOptions.FromEnvironment(name => variables.Where(v => v.Key == name).Select(v => v.Value).FirstOrDefault());
}
