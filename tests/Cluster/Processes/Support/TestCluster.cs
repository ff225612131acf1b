using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Transcribe.Cluster;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Redis;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tokens;
using Transcribe.Director.Nodes;
using Transcribe.LocalCluster;

namespace Transcribe.Cluster.Processes.Tests.Support;

/// <summary>A cluster of real processes over a real Redis, on loopback; any of them can be killed.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    private readonly StreamWriter _log;
    private readonly AccessTokenMinter _minter;
    private readonly ApiKeyRing _keys;
    private readonly ServiceProvider _services;
    private readonly string _test;

    private TestCluster(string test, ClusterSupervisor cluster, ClusterPlan plan, StreamWriter log)
    {
        (_test, Nodes, Plan, _keys, _log) = (test, cluster, plan, plan.Keys, log);
        _minter = new AccessTokenMinter(plan.Keys, TimeProvider.System);
        _services = new ServiceCollection().AddLogging()
            .AddRedisCluster(new RedisClusterOptions { Redis = cluster.Redis.ConnectionString, ClusterKey = plan.ClusterKey }, plan.Keys)
            .BuildServiceProvider();
    }

    public ClusterSupervisor Nodes { get; }

    public ClusterPlan Plan { get; }

    public ILeaseStore Leases => _services.GetRequiredService<ILeaseStore>();

    private IStateStore State => _services.GetRequiredService<IStateStore>();

    /// <param name="test">Names the log file.</param>
    /// <param name="regions">Dealt out in turn to the nodes of each role. A peer that names one gets that region's SFU node.</param>
    public static async Task<TestCluster> StartAsync(string test, int sfus = 2, int gateways = 1, params string[] regions)
    {
        string folder = Path.Combine(Root, "out", "tests");
        Directory.CreateDirectory(folder);
        var log = new StreamWriter(Path.Combine(folder, $"cluster-{test}.log")) { AutoFlush = true };
        var plan = new ClusterPlan
        {
            HttpPort = 0,
            Sfus = sfus,
            Gateways = gateways,
            Regions = regions.Length > 0 ? regions : ["local"],
            Keys = new ApiKeyRing([new ApiKey("testkey", "0123456789abcdef0123456789abcdef0123456789abcdef")]),
            Environment = new Dictionary<string, string> { ["TRANSCRIBE_MODEL_DOWNLOAD"] = "0" },
        };
        ClusterSupervisor cluster = await ClusterSupervisor.StartAsync(plan, (name, line) => Write(log, name, line));
        return new TestCluster(test, cluster, plan, log);
    }

    public static string Root { get; } = FindRoot();

    public string Token(string room, string participant, Grants? grants = null) =>
        _minter.Mint(room, participant, grants ?? new Grants { Publish = true, Subscribe = true, PublishData = true });

    public IClusterNode Node(string nodeId) => Nodes.Processes.First(process => process.NodeId == nodeId);

    public Task<TestPeer> JoinAsync(string room, string name, string? region = null) => TestPeer.JoinAsync(this, room, name, region);

    /// <summary>The gateway that has the room now.</summary>
    public async Task<Lease?> GatewayAsync(string room) =>
        (await Leases.ListAsync("gateway:", TestContext.Current.CancellationToken)).FirstOrDefault(lease => lease.Name == $"gateway:{room}");

    /// <summary>The signalling node and the SFU node that the gateway in the room is connected to.</summary>
    public async Task<(string Signaling, string Sfu)> GatewaySessionAsync(string room)
    {
        foreach (StateEntry entry in await State.ListAsync("sessions/", TestContext.Current.CancellationToken))
        {
            using JsonDocument session = JsonDocument.Parse(entry.Value);
            if (Text("room") == room && Text("participant").StartsWith("gateway-", StringComparison.Ordinal))
                return (Text("owner"), Text("node"));

            string Text(string name) => session.RootElement.GetProperty(name).GetString()!;
        }

        return ("", "");
    }

    public async Task TranscribeAsync(string room)
    {
        using HttpClient http = Client();
        using HttpResponseMessage response = await http.PutAsJsonAsync($"/v1/rooms/{room}/transcription", new { enabled = true, engine = "pocketsphinx", language = "en" });
        response.EnsureSuccessStatusCode();
    }

    public async Task<JsonDocument> TranscriptAsync(string room)
    {
        using HttpClient http = Client();
        return JsonDocument.Parse(await http.GetStringAsync($"/v1/rooms/{room}/transcript"));
    }

    /// <summary>Drains a node, and waits until it says that nothing is left on it.</summary>
    public async Task DrainAsync(string nodeId, int deadlineSeconds)
    {
        using HttpClient http = Client();
        using HttpResponseMessage response = await http.PostAsJsonAsync($"/v1/nodes/{nodeId}/drain", new { deadlineSeconds });
        response.EnsureSuccessStatusCode();
        for (var clock = Stopwatch.StartNew(); clock.Elapsed.TotalSeconds < 40; await Task.Delay(100))
        {
            NodeList all = (await http.GetFromJsonAsync<NodeList>("/v1/nodes", ClusterJson.Options))!;
            if (all.Nodes.First(node => node.Id == nodeId).Drain is { Phase: DrainPhase.Drained })
                return;
        }

        Assert.Fail($"{nodeId} was not drained within 40 s.");
    }

    /// <summary>Prints a measured time beside the bar. What fails is far above it: the machine may be busy.</summary>
    public void Report(string what, TimeSpan measured, double bar, double limit)
    {
        string line = string.Create(CultureInfo.InvariantCulture, $"MEASURED {_test}: {what} {measured.TotalSeconds:0.00} s (bar {bar:0.0} s)");
        Say(line);
        Assert.True(measured.TotalSeconds <= limit, $"{line}; fails above {limit} s");
    }

    /// <summary>Prints a measured time for which there is no bar.</summary>
    public void Report(string what, TimeSpan measured) =>
        Say(string.Create(CultureInfo.InvariantCulture, $"MEASURED {_test}: {what} {measured.TotalSeconds:0.00} s"));

    /// <summary>Prints a count.</summary>
    public void Count(string line) => Say($"MEASURED {_test}: {line}");

    public void Say(string line)
    {
        Console.WriteLine(line);
        Log("test", line);
    }

    /// <summary>A line of a process, or of the test itself, for the log file.</summary>
    public void Log(string name, string line) => Write(_log, name, line);

    public async ValueTask DisposeAsync()
    {
        await _services.DisposeAsync();
        await Nodes.DisposeAsync();
        await _log.DisposeAsync();
    }

    internal static async Task Until(
        Func<bool> condition, double seconds = 20, [System.Runtime.CompilerServices.CallerArgumentExpression(nameof(condition))] string text = "")
    {
        for (var clock = Stopwatch.StartNew(); clock.Elapsed.TotalSeconds < seconds; await Task.Delay(10))
        {
            if (condition())
                return;
        }

        Assert.Fail($"Within {seconds} s it did not become true: {text}");
    }

    private static void Write(StreamWriter log, string name, string line)
    {
        lock (log)
            log.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{DateTime.UtcNow:HH:mm:ss.fff} {name,-12} {line}"));
    }

    private HttpClient Client()
    {
        var http = new HttpClient { BaseAddress = Nodes.Url };
        http.DefaultRequestHeaders.Authorization =
            new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{_keys.Signing.Key}:{_keys.Signing.Secret}")));
        return http;
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Transcribe.sln")))
                return folder.FullName;
        }

        throw new InvalidOperationException("The tests do not run from inside the repository.");
    }
}
