using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using Spectre.Console;
using Transcribe.AiGateway.Evaluation;
using Transcribe.Cluster;
using Transcribe.Cluster.Captions;
using Transcribe.Demo;

namespace Transcribe.Commands;

internal static class DemoCommand
{
    public static Command Create()
    {
        var json = new Option<bool>("--json") { Description = "End with one JSON object: the figures." };
        var engine = new Option<string>("--engine") { Description = "auto, whisper or pocketsphinx.", DefaultValueFactory = _ => "auto" };
        var recording = new Option<string>("--recording")
        {
            Description = "A WAV file with a description of its words beside it (.json).",
            DefaultValueFactory = _ => DemoRun.DefaultRecording,
        };
        var command = new Command("demo", "A speaker, a viewer and live captions on this machine, without a browser; prints how good they were.") { json, engine, recording };
        command.SetAction(async (arguments, cancellationToken) =>
        {
            var printer = new Printer();
            var run = new DemoRun(arguments.GetRequiredValue(engine), text => Console.Error.WriteLine(text));
            (CaptionScore score, string? notice) = await run.RunAsync(arguments.GetRequiredValue(recording), printer.Print, cancellationToken);
            if (arguments.GetValue(json))
                Console.WriteLine(ToJson(score, printer.Interims, notice));
            else
                Print(score);
            return score.Complete ? ExitStatus.Ok : ExitStatus.Failed;
        });
        return command;
    }

    private static string ToJson(CaptionScore score, int interims, string? notice)
    {
        JsonObject figures = JsonSerializer.SerializeToNode(score, ClusterJson.Options)!.AsObject();
        figures["interims"] = interims;
        if (notice is not null)
            figures["notice"] = notice;
        return figures.ToJsonString();
    }

    private static void Print(CaptionScore score)
    {
        Table table = new Table().Border(TableBorder.Rounded).AddColumns("figure", "p50", "p95", "max");
        void Row(string name, Percentiles p) => table.AddRow(name, $"{p.P50:0} ms", $"{p.P95:0} ms", $"{p.Max:0} ms");
        Row("word to caption (interim)", score.InterimLatencyMs);
        Row("sentence to final", score.FinalLatencyMs);
        Row("word start error (RTP)", score.RtpErrorMs);
        AnsiConsole.Write(table);
        AnsiConsole.MarkupLine($"{Markup.Escape(score.Engine)}: [bold]{score.SegmentsFinal}[/] finals, word error rate [bold]{score.Wer:P1}[/], {score.Duplicates} duplicate, {score.Missing} missing");
    }

    /// <summary>Finals as lines on stdout, interims counted.</summary>
    private sealed class Printer
    {
        private int _interims;

        public int Interims => Volatile.Read(ref _interims);

        public void Print(CaptionMessage caption)
        {
            if (caption.Final)
                Console.WriteLine($"{caption.Participant}: {caption.Text}");
            else
                Interlocked.Increment(ref _interims);
        }
    }
}
