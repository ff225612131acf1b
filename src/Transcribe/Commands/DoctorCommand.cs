using System.CommandLine;
using System.Text.Json;
using Spectre.Console;
using Transcribe.Cluster;
using Transcribe.Doctor;

namespace Transcribe.Commands;

internal static class DoctorCommand
{
    public static Command Create()
    {
        var json = new Option<bool>("--json") { Description = "Print a JSON object." };
        var command = new Command("doctor", "Says what this machine lacks, and how to fix it.") { json };
        command.SetAction(async (arguments, cancellationToken) =>
        {
            IReadOnlyList<Finding> findings = await Examination.RunAsync(cancellationToken);
            bool ok = findings.All(f => f.Severity != Severity.Broken);
            if (arguments.GetValue(json))
                Console.WriteLine(JsonSerializer.Serialize(new { ok, findings }, ClusterJson.Options));
            else
                Print(findings, ok);
            return ok ? ExitStatus.Ok : ExitStatus.Failed;
        });
        return command;
    }

    private static void Print(IReadOnlyList<Finding> findings, bool ok)
    {
        foreach (Finding finding in findings)
        {
            string mark = finding.Severity switch { Severity.Fine => "[green]ok[/]     ", Severity.Limited => "[yellow]limited[/]", _ => "[red]broken[/] " };
            AnsiConsole.MarkupLine($"{mark}  [bold]{Markup.Escape(finding.Subject)}[/]  {Markup.Escape(finding.State)}");
            if (finding.Fix is not null)
                AnsiConsole.MarkupLine($"           [dim]{Markup.Escape(finding.Fix)}[/]");
        }

        AnsiConsole.MarkupLine(ok ? "[green]This machine can run Transcribe.[/]" : "[red]Something is missing: see above.[/]");
    }
}
