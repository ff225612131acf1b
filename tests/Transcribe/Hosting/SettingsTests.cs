using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Transcribe.AiGateway;
using Transcribe.Cluster.Nodes;
using Transcribe.Hosting;
using Transcribe.Sfu.Control;
using Transcribe.Signaling;
using Transcribe.Transcribe.Tests.Support;

namespace Transcribe.Transcribe.Tests.Hosting;

public sealed class SettingsTests : IDisposable
{
    private readonly string _file = Path.GetTempFileName();

    public void Dispose() => File.Delete(_file);

    private static Settings From(params (string Name, string Value)[] variables) =>
        Settings.From(variables.Select(v => KeyValuePair.Create(v.Name, (string?)v.Value)));

    private static string Refusal(params (string Name, string Value)[] variables) =>
        Assert.Throws<ConfigurationException>(() => From(variables).Apply("Sfu", new SfuOptions())).Message;

    [Fact]
    public void Every_setting_is_in_the_documentation()
    {
        string page = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "settings.md"));
        Assert.Empty(Settings.All.Where(setting => !page.Contains($"| `{setting.Key}` |", StringComparison.Ordinal)).Select(setting => setting.Key));
    }

    [Fact]
    public void A_variable_wins_over_the_file()
    {
        File.WriteAllText(_file, """{"Sfu": {"Limits": {"MaxTracks": 10, "MaxCpu": 0.5}, "Relay": {"CutAfter": "00:00:03"}}}""");
        SfuOptions sfu = From((Settings.FileVariable, _file), ("TRANSCRIBE_SFU__LIMITS__MAXTRACKS", "20")).Apply("Sfu", new SfuOptions());
        Assert.Equal((20, 0.5, TimeSpan.FromSeconds(3)), (sfu.Limits.MaxTracks, sfu.Limits.MaxCpu, sfu.Relay.CutAfter));
    }

    [Fact]
    public void A_section_sets_its_own_role_alone()
    {
        Settings settings = From(("TRANSCRIBE_GATEWAY__SEGMENTER__HANGOVER", "00:00:00.6"), ("TRANSCRIBE_SIGNALING__CALLBURST", "500"));
        Assert.Equal(TimeSpan.FromSeconds(0.6), settings.Apply("Gateway", new AiGatewayOptions()).Segmenter.Hangover);
        Assert.Equal(500, settings.Apply("Signaling", new SignalingOptions()).CallBurst);
        Assert.Equal(new SfuOptions().Limits, settings.Apply("Sfu", new SfuOptions()).Limits);
    }

    [Fact]
    public void A_role_runs_with_what_was_set()
    {
        RoleOptions role = RoleOptions.FromEnvironment(NodeRole.Sfu, name => name switch
        {
            "TRANSCRIBE_REDIS" => "127.0.0.1:1",
            "TRANSCRIBE_CLUSTER_KEY" => new string('k', 32),
            _ => null,
        });
        using IHost host = RoleHost.Build(role with { Settings = From(("TRANSCRIBE_SFU__LIMITS__MAXEGRESSBITSPERSECOND", "1e9")) });
        Assert.Equal(1e9, host.Services.GetRequiredService<SfuOptions>().Limits.MaxEgressBitsPerSecond);
    }

    [Fact]
    public async Task A_roles_command_reads_them()
    {
        Cli.Result result = await Cli.RunAsync(
            [("TRANSCRIBE_REDIS", "127.0.0.1:1"), ("TRANSCRIBE_CLUSTER_KEY", new string('k', 32)), ("TRANSCRIBE_SFU__WORKER", "1")], "sfu");
        Assert.NotEqual(0, result.Status);
        Assert.Contains("There is no setting SFU:WORKER.", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Nodes_that_a_director_starts_are_told_the_settings_of_their_role()
    {
        File.WriteAllText(_file, """{"Sfu": {"Limits": {"MaxCpu": 0.5}}}""");
        Settings settings = From((Settings.FileVariable, _file), ("TRANSCRIBE_SFU__WORKERS", "3"), ("TRANSCRIBE_GATEWAY__WORKERS", "4"));
        Assert.Equal(
            [("TRANSCRIBE_SFU__LIMITS__MAXCPU", "0.5"), ("TRANSCRIBE_SFU__WORKERS", "3")],
            settings.Variables("Sfu").Select(v => (v.Key, v.Value)).Order());
    }

    [Fact]
    public void Variables_of_other_kinds_are_left_alone() =>
        From(("TRANSCRIBE_UDP_PORT", "1"), ("PATH__X", "y"), ("DOTNET__A", "b")).Apply("Sfu", new SfuOptions());

    [Fact]
    public void A_name_that_is_none_is_refused_with_the_way_to_find_the_right_one()
    {
        string sentence = Refusal(("TRANSCRIBE_SFU__LIMITS__MAXTRACK", "20"));
        Assert.Contains("SFU:LIMITS:MAXTRACK", sentence, StringComparison.Ordinal);
        Assert.Contains("transcribe settings", sentence, StringComparison.Ordinal);
    }

    [Fact]
    public void A_value_of_the_wrong_kind_is_refused_with_the_default()
    {
        string sentence = Refusal(("TRANSCRIBE_SFU__LIMITS__MAXTRACKS", "many"));
        Assert.Contains("\"many\"", sentence, StringComparison.Ordinal);
        Assert.Contains("\"100000\"", sentence, StringComparison.Ordinal);
    }

    [Fact]
    public void What_has_a_variable_of_its_own_is_set_by_that()
    {
        Assert.Contains("TRANSCRIBE_CLUSTER_KEY", Refusal(("TRANSCRIBE_SFU__RELAY__CLUSTERKEY", "x")), StringComparison.Ordinal);
        Assert.Contains("TRANSCRIBE_ADVERTISED_ADDRESSES", Refusal(("TRANSCRIBE_SFU__ADVERTISEDADDRESSES__0", "::1")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("{\"Sfu\": ")]
    [InlineData("[1]")]
    public void A_file_that_cannot_be_used_is_named(string? content)
    {
        string file = content is null ? _file + ".missing" : _file;
        File.WriteAllText(_file, content);
        Assert.Contains($"{Settings.FileVariable} is \"{file}\"", Refusal((Settings.FileVariable, file)), StringComparison.Ordinal);
    }
}
