using System.CommandLine;
using System.Text.Json;
using Spectre.Console;
using Transcribe.AiGateway.Models;
using Transcribe.Cluster;

namespace Transcribe.Commands;

internal static class ModelsCommand
{
    public static Command Create() => new("models", "Speech models: what is known, what is here, fetch one.") { CreateList(), CreateFetch() };

    private static Command CreateList()
    {
        var json = new Option<bool>("--json") { Description = "Print a JSON array." };
        var command = new Command("list", "Lists the models of the manifest.") { json };
        command.SetAction(arguments =>
        {
            using var http = new HttpClient();
            ModelManager manager = CreateManager(http);
            var models = ModelManifest.BuiltIn.Models
                .Select(m => new { m.Name, m.Engine, megabytes = m.Size / 1_000_000, languages = string.Join(" ", m.Languages), path = manager.Find(m) })
                .ToList();
            if (arguments.GetValue(json))
            {
                Console.WriteLine(JsonSerializer.Serialize(models, ClusterJson.Options));
                return ExitStatus.Ok;
            }

            Table table = new Table().Border(TableBorder.Rounded).AddColumns("model", "engine", "size", "languages", "where");
            foreach (var model in models)
                table.AddRow(model.Name, model.Engine, $"{model.megabytes} MB", model.languages == "*" ? "99 languages" : model.languages, Markup.Escape(model.path ?? "not here"));
            AnsiConsole.Write(table);
            return ExitStatus.Ok;
        });
        return command;
    }

    private static Command CreateFetch()
    {
        var name = new Argument<string>("model") { Description = "Name of the model (\"base.en\")." };
        var command = new Command("fetch", "Downloads a model, going on where an earlier try stopped, and checks it.") { name };
        command.SetAction(async (arguments, cancellationToken) =>
        {
            string wanted = arguments.GetRequiredValue(name);
            ModelInfo model = ModelManifest.BuiltIn.Find(wanted)
                ?? throw new CommandException($"There is no model \"{wanted}\". Known: {string.Join(", ", ModelManifest.BuiltIn.Models.Select(m => m.Name))}.");
            using var http = new HttpClient(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(10) }) { Timeout = Timeout.InfiniteTimeSpan };
            ModelManager manager = CreateManager(http);
            try
            {
                string path = await AnsiConsole.Progress()
                    .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new DownloadedColumn(), new TransferSpeedColumn(), new RemainingTimeColumn())
                    .StartAsync(context =>
                    {
                        ProgressTask bar = context.AddTask(model.File, maxValue: model.Size);
                        return manager.FetchAsync(model, new Progress<DownloadProgress>(p => bar.Value = p.Received), cancellationToken);
                    });
                Console.WriteLine(path);
                return ExitStatus.Ok;
            }
            catch (ModelException e)
            {
                throw new CommandException(e.Message, ExitStatus.Failed);
            }
        });
        return command;
    }

    private static ModelManager CreateManager(HttpClient http)
    {
        try
        {
            return new ModelManager(http, ModelManagerOptions.FromEnvironment(), TimeProvider.System);
        }
        catch (ModelException e)
        {
            throw new CommandException(e.Message);
        }
    }
}
