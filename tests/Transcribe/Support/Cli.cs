using System.Diagnostics;

namespace Transcribe.Transcribe.Tests.Support;

/// <summary>The executable, run as a user runs it.</summary>
internal static class Cli
{
    public sealed record Result(int Status, string Output, string Error);

    public static Task<Result> RunAsync(params string[] arguments) => RunAsync([], arguments);

    public static async Task<Result> RunAsync((string Key, string Value)[] environment, params string[] arguments)
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "transcribe"), arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (string key in start.Environment.Keys.Where(k => k.StartsWith("TRANSCRIBE_", StringComparison.Ordinal)).ToArray())
            start.Environment.Remove(key);
        start.Environment["NO_COLOR"] = "1";
        foreach ((string key, string value) in environment)
            start.Environment[key] = value;
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        try
        {
            await process.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw new TimeoutException($"transcribe {string.Join(' ', arguments)} did not end within a minute.");
        }

        return new Result(process.ExitCode, await output, await error);
    }
}
