using System.CommandLine;
using System.Text.Json;
using Transcribe.Cluster.Tokens;
using Transcribe.Commands;
using Transcribe.Transcribe.Tests.Support;

namespace Transcribe.Transcribe.Tests;

public sealed class CommandLineTests
{
    private const string Secret = "0123456789abcdef0123456789abcdef";

    private static readonly (string, string)[] Keys = [("TRANSCRIBE_API_KEY", "app"), ("TRANSCRIBE_API_SECRET", Secret)];

    [Fact]
    public async Task Every_command_explains_itself()
    {
        List<Command> commands = [];
        Collect(CommandLine.Build());
        Assert.True(commands.Count >= 10, $"{commands.Count} commands");
        foreach (Command command in commands)
        {
            using var output = new StringWriter();
            int status = await CommandLine.Build().Parse([.. PathOf(command), "--help"])
                .InvokeAsync(new InvocationConfiguration { Output = output, Error = output }, TestContext.Current.CancellationToken);
            Assert.Equal(0, status);
            Assert.False(string.IsNullOrWhiteSpace(command.Description), command.Name);
            Assert.Contains(command.Description!, output.ToString().ReplaceLineEndings(" "), StringComparison.Ordinal);
            Assert.All(command.Options, option => Assert.False(string.IsNullOrWhiteSpace(option.Description), $"{command.Name} {option.Name}"));
            Assert.All(command.Arguments, argument => Assert.False(string.IsNullOrWhiteSpace(argument.Description), $"{command.Name} {argument.Name}"));
        }

        void Collect(Command command)
        {
            commands.Add(command);
            foreach (Command sub in command.Subcommands.Where(c => !c.Hidden))
                Collect(sub);
        }
    }

    [Fact]
    public async Task The_program_answers_help_and_version_and_refuses_what_it_does_not_know()
    {
        Cli.Result help = await Cli.RunAsync("--help");
        Assert.Equal((0, ""), (help.Status, help.Error));
        Assert.Contains("serve", help.Output, StringComparison.Ordinal);
        Cli.Result unknown = await Cli.RunAsync("transmogrify");
        Assert.NotEqual(0, unknown.Status);
        Assert.Contains("transmogrify", unknown.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", unknown.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_token_is_one_that_the_server_accepts_with_the_grants_asked_for()
    {
        AccessToken plain = await MintAsync("demo", "alice");
        Assert.Equal(("app", "alice", "demo", null), (plain.ApiKey, plain.Participant, plain.Room, plain.Name));
        Assert.True(plain.Grants is { Publish: true, Subscribe: true, PublishData: true, Hidden: false, Admin: false });
        Assert.False(plain.Grants.AllowsData("captions"));
        Assert.InRange(plain.ExpiresAt - DateTimeOffset.UtcNow, TimeSpan.FromHours(5.9), TimeSpan.FromHours(6));

        AccessToken viewer = await MintAsync("demo", "bob", "--viewer", "--name", "Bob B.", "--hours", "0.5");
        Assert.True(viewer.Grants is { Publish: false, Subscribe: true, PublishData: false });
        Assert.Equal("Bob B.", viewer.Name);
        Assert.InRange(viewer.ExpiresAt - DateTimeOffset.UtcNow, TimeSpan.FromMinutes(28), TimeSpan.FromMinutes(30));

        AccessToken robot = await MintAsync("demo", "robot", "--admin", "--hidden", "--captions");
        Assert.True(robot.Grants is { Admin: true, Hidden: true });
        Assert.True(robot.Grants.AllowsData("captions"));
    }

    [Fact]
    public async Task Without_json_a_token_is_all_there_is_on_standard_output()
    {
        Cli.Result result = await Cli.RunAsync(Keys, "token", "demo", "alice");
        Assert.Equal((0, ""), (result.Status, result.Error));
        Assert.True(Validator().TryValidate(result.Output.Trim(), "demo", out _, out _));
    }

    public static TheoryData<string[], string> Unusable => new()
    {
        { ["token", "demo room!", "alice"], "room" },
        { ["token", "demo", ""], "participant" },
        { ["token", "demo", "alice", "--hours", "0"], "--hours is 0" },
        { ["token", "demo", "alice", "--hours", "NaN"], "--hours is NaN" },
        { ["token", "demo", "alice", "--hours", "1e9"], "--hours" },
        { ["token", "demo", "alice", "--api-secret", "short"], "32" },
        { ["publish", "demo", "/no/such/file.wav"], "/no/such/file.wav" },
        { ["models", "fetch", "enormous.xx"], "base.en" },
        { ["listen", "demo", "--url", "where?"], "\"where?\"" },
        { ["listen", "demo", "--url", "/etc/passwd"], "\"/etc/passwd\"" },
        { ["listen", "demo", "--seconds", "-1"], "--seconds is -1" },
        { ["listen", "demo", "--seconds", "1e300"], "--seconds" },
        { ["listen", "demo", "--url", "http://127.0.0.1:9", "--seconds", "1"], "127.0.0.1:9" },
    };

    [Theory]
    [MemberData(nameof(Unusable))]
    public async Task What_cannot_be_done_is_one_sentence_and_status_2(string[] arguments, string named)
    {
        Cli.Result result = await Cli.RunAsync(Keys, arguments);
        Assert.Equal(2, result.Status);
        Assert.Equal("", result.Output);
        Assert.Contains(named, result.Error, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("   at ", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain(Secret, result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_a_key_the_server_is_asked_for_a_token_and_its_absence_is_one_sentence()
    {
        Cli.Result result = await Cli.RunAsync("listen", "demo", "--url", "http://127.0.0.1:9");
        Assert.Equal((2, ""), (result.Status, result.Output));
        Assert.Contains("No server answers at http://127.0.0.1:9/", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_token_without_a_key_says_which_variables_to_set()
    {
        Cli.Result result = await Cli.RunAsync("token", "demo", "alice");
        Assert.Equal(2, result.Status);
        Assert.Contains("TRANSCRIBE_API_KEY", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Serving_with_a_wrong_configuration_stops_with_the_sentence_and_status_2()
    {
        Cli.Result result = await Cli.RunAsync([("TRANSCRIBE_UDP_PORT", "seven")], "serve");
        Assert.Equal(2, result.Status);
        Assert.Equal("TRANSCRIBE_UDP_PORT is \"seven\". Set a port number, 1 to 65535 (0 for any free one), or unset it for 7882.", result.Error.Trim());
    }

    [Fact]
    public async Task The_doctors_findings_are_one_json_object()
    {
        Cli.Result result = await Cli.RunAsync([("TRANSCRIBE_HTTP_PORT", "0"), ("TRANSCRIBE_UDP_PORT", "0")], "doctor", "--json");
        using JsonDocument document = JsonDocument.Parse(result.Output);
        JsonElement root = document.RootElement;
        Assert.Equal(root.GetProperty("ok").GetBoolean() ? 0 : 1, result.Status);
        List<JsonElement> findings = [.. root.GetProperty("findings").EnumerateArray()];
        Assert.Equal(findings.All(f => f.GetProperty("severity").GetString() != "broken"), root.GetProperty("ok").GetBoolean());
        foreach (JsonElement finding in findings)
        {
            Assert.False(string.IsNullOrEmpty(finding.GetProperty("subject").GetString()));
            Assert.False(string.IsNullOrEmpty(finding.GetProperty("state").GetString()));
            string severity = finding.GetProperty("severity").GetString()!;
            Assert.Contains(severity, (string[])["fine", "limited", "broken"]);
            if (severity != "fine")
                Assert.True(finding.TryGetProperty("fix", out _), finding.GetRawText());
        }

        Assert.Equal(findings.Count, findings.Select(f => f.GetProperty("subject").GetString()).Distinct().Count());
    }

    [Fact]
    public async Task The_doctor_reports_a_wrong_configuration_with_its_fix()
    {
        Cli.Result result = await Cli.RunAsync([("TRANSCRIBE_HTTP_PORT", "eighty"), ("TRANSCRIBE_UDP_PORT", "0")], "doctor", "--json");
        Assert.Equal(1, result.Status);
        using JsonDocument document = JsonDocument.Parse(result.Output);
        JsonElement broken = document.RootElement.GetProperty("findings").EnumerateArray().First(f => f.GetProperty("severity").GetString() == "broken");
        Assert.Contains("TRANSCRIBE_HTTP_PORT is \"eighty\"", broken.GetProperty("state").GetString()!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Models_are_listed_as_json()
    {
        Cli.Result result = await Cli.RunAsync("models", "list", "--json");
        Assert.Equal((0, ""), (result.Status, result.Error));
        using JsonDocument document = JsonDocument.Parse(result.Output);
        Assert.Contains(document.RootElement.EnumerateArray(), m => m.GetProperty("name").GetString() == "base.en");
    }

    private static async Task<AccessToken> MintAsync(string room, params string[] rest)
    {
        Cli.Result result = await Cli.RunAsync(Keys, ["token", room, .. rest, "--json"]);
        Assert.Equal((0, ""), (result.Status, result.Error));
        using JsonDocument document = JsonDocument.Parse(result.Output);
        Assert.True(Validator().TryValidate(document.RootElement.GetProperty("token").GetString(), room, out AccessToken? token, out TokenError? error), error?.Message);
        Assert.Equal(room, document.RootElement.GetProperty("room").GetString());
        Assert.Equal(token.Participant, document.RootElement.GetProperty("participant").GetString());
        Assert.InRange(document.RootElement.GetProperty("expiresAt").GetDateTimeOffset() - token.ExpiresAt, TimeSpan.FromSeconds(-2), TimeSpan.FromSeconds(2));
        return token;
    }

    private static AccessTokenValidator Validator() => new(new ApiKeyRing([new ApiKey("app", Secret)]), TimeProvider.System);

    private static IEnumerable<string> PathOf(Command command) => command switch
    {
        RootCommand => [],
        _ => [.. command.Parents.OfType<Command>().SelectMany(PathOf), command.Name],
    };
}
