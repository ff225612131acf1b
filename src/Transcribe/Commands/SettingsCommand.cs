using System.CommandLine;
using System.Text.Json;
using Transcribe.Cluster;
using Transcribe.Hosting;

namespace Transcribe.Commands;

/// <summary><c>transcribe settings</c></summary>
internal static class SettingsCommand
{
    public static Command Create()
    {
        var json = new Option<bool>("--json") { Description = "Print a JSON array instead of lines." };
        var command = new Command(
            "settings", $"Limits and times of every role, with their defaults: set them in the JSON file that {Settings.FileVariable} names, or by variables (docs/settings.md).") { json };
        command.SetAction(arguments =>
        {
            if (arguments.GetValue(json))
            {
                Console.WriteLine(JsonSerializer.Serialize(Settings.All, ClusterJson.Options));
                return ExitStatus.Ok;
            }

            int width = Settings.All.Max(setting => setting.Key.Length);
            foreach (Setting setting in Settings.All)
                Console.WriteLine($"{setting.Key.PadRight(width)}  {setting.Default ?? "-"}");
            Console.WriteLine($"{Settings.All[0].Key} is {Settings.All[0].Variable} as a variable, and so with the others. Times are hh:mm:ss.");
            return ExitStatus.Ok;
        });
        return command;
    }
}
