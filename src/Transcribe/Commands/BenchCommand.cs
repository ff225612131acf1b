using System.CommandLine;
using System.Runtime.Intrinsics.X86;
using System.Text.Json;
using System.Text.Json.Nodes;
using Transcribe.Bench;
using Transcribe.Cluster;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Commands;

internal static class BenchCommand
{
    // A latency nobody measured is NaN.
    private static readonly JsonSerializerOptions Json = new(ClusterJson.Options)
    {
        NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    public static Command Create() => new("bench", "Measures this program on this machine.") { Sfu(), Cascade(), ServerProcess(), FloorProcess() };

    private static Command Sfu()
    {
        var scenario = new Option<string[]>("--scenario")
        {
            Description = $"What to measure, one or more of: {string.Join(", ", SfuScenario.Names)}; other numbers work too (video-200, meeting-4x4).",
            AllowMultipleArgumentsPerToken = true,
            DefaultValueFactory = _ => ["audio-300", "video-100"],
        };
        var profile = new Option<string>("--profile") { Description = "SRTP: gcm (AEAD_AES_128_GCM) or cm (AES128_CM_HMAC_SHA1_80).", DefaultValueFactory = _ => "gcm" };
        profile.AcceptOnlyFromAmong("gcm", "cm");
        var seconds = new Option<double>("--seconds") { Description = "Length of one measurement.", DefaultValueFactory = _ => 5 };
        var repeat = new Option<int>("--repeat") { Description = "Measurements, of which the median is told.", DefaultValueFactory = _ => 3 };
        var merge = new Option<bool>("--receiver-gro") { Description = "Receivers take merged datagrams (UDP_GRO), which spares the sender the segmentation; most clients do not." };
        var cpus = new Option<int[]>("--server-cpu")
        {
            Description = "Processors of the process under test; the clients get the others. Default 0.",
            AllowMultipleArgumentsPerToken = true,
            DefaultValueFactory = _ => [0],
        };
        var workers = new Option<int>("--workers") { Description = "Worker threads of the SFU.", DefaultValueFactory = _ => 1 };
        var json = new Option<bool>("--json") { Description = "Print one JSON object instead of tables." };
        var command = new Command("sfu", "CPU per packet, latency, memory and join cost of an SFU process, beside the floor: the same datagrams by bare sendmmsg.")
        {
            scenario, profile, seconds, repeat, merge, cpus, workers, json,
        };
        command.SetAction(async (arguments, cancellationToken) =>
        {
            string profileName = arguments.GetRequiredValue(profile);
            var options = new SfuBenchmarkOptions
            {
                Profile = profileName == "gcm" ? SrtpProfile.AeadAes128Gcm : SrtpProfile.Aes128CmHmacSha1Tag80,
                Seconds = Math.Clamp(arguments.GetValue(seconds), 0.5, 120),
                Repeat = Math.Clamp(arguments.GetValue(repeat), 1, 21),
                Merge = arguments.GetValue(merge),
                ServerProcessors = arguments.GetRequiredValue(cpus),
                Workers = Math.Clamp(arguments.GetValue(workers), 1, 64),
            };
            SfuScenario[] scenarios = [.. arguments.GetRequiredValue(scenario).SelectMany(s => s.Split(',', StringSplitOptions.RemoveEmptyEntries)).Select(SfuScenario.Parse)];
            var results = new List<ScenarioResult>();
            var bench = new SfuBenchmark(options, Console.Error.WriteLine);
            foreach (SfuScenario one in scenarios)
            {
                ScenarioResult result = await bench.RunAsync(one, cancellationToken);
                results.Add(result);
                if (!arguments.GetValue(json))
                    BenchReport.Print(result, profileName);
            }

            if (arguments.GetValue(json))
                Console.WriteLine(ToJson(results, profileName, options));
            return ExitStatus.Ok;
        });
        return command;
    }

    private static Command Cascade()
    {
        var viewers = new Option<int>("--viewers") { Description = "Viewers in all.", DefaultValueFactory = _ => 600 };
        var seconds = new Option<double>("--seconds") { Description = "Length of a measurement.", DefaultValueFactory = _ => 10 };
        var json = new Option<bool>("--json") { Description = "Print one JSON object instead of tables." };
        var command = new Command("cascade", "One presenter and many viewers over several SFU nodes: copies sent, latency added per hop, loss.") { viewers, seconds, json };
        command.SetAction(async (arguments, cancellationToken) =>
        {
            int count = Math.Clamp(arguments.GetValue(viewers), 20, 5000);
            double length = Math.Clamp(arguments.GetValue(seconds), 4, 120);
            var bench = new CascadeBenchmark(Console.Error.WriteLine);
            var results = new List<CascadeResult>();
            foreach ((string name, int edges, int fanOut) in ((string, int, int)[])[("star of 3 edges", 3, 8), ("chain of 2 hops", 2, 1)])
            {
                results.Add(await bench.RunAsync(name, edges, count, fanOut, length, cancellationToken));
                if (!arguments.GetValue(json))
                    CascadeBenchmark.Print(results[^1]);
            }

            if (arguments.GetValue(json))
                Console.WriteLine(JsonSerializer.Serialize(results, Json));
            return results.All(r => r.Lost == 0) ? ExitStatus.Ok : ExitStatus.Failed;
        });
        return command;
    }

    private static Command ServerProcess()
    {
        var workers = new Option<int>("--workers") { DefaultValueFactory = _ => 1 };
        var command = new Command("server-process", "The SFU under test; started by `bench sfu`.") { workers };
        command.Hidden = true;
        command.SetAction(async (arguments, cancellationToken) =>
        {
            await BenchServer.RunAsync(Console.In, Console.Out, arguments.GetValue(workers), cancellationToken);
            return ExitStatus.Ok;
        });
        return command;
    }

    private static Command FloorProcess()
    {
        var command = new Command("floor-process", "Bare sendmmsg; started by `bench sfu`.") { Hidden = true };
        command.SetAction(_ =>
        {
            BenchFloor.Run(Console.In, Console.Out);
            return ExitStatus.Ok;
        });
        return command;
    }

    private static string ToJson(IReadOnlyList<ScenarioResult> results, string profile, SfuBenchmarkOptions options)
    {
        var root = new JsonObject
        {
            ["date"] = DateTimeOffset.UtcNow.ToString("yyyy-MM-ddTHH:mm:ssZ"),
            ["processors"] = BenchNative.Processors,
            ["kernel"] = Environment.OSVersion.VersionString,
            ["runtime"] = Environment.Version.ToString(),
            ["avx512"] = Avx512F.IsSupported,
            ["profile"] = profile,
            ["seconds"] = options.Seconds,
            ["serverProcessors"] = new JsonArray([.. options.ServerProcessors.Select(p => (JsonNode)p)]),
            ["receiverGro"] = options.Merge,
            ["scenarios"] = JsonSerializer.SerializeToNode(results, Json),
        };
        return root.ToJsonString();
    }
}
