using System.Diagnostics;
using System.Text.RegularExpressions;
using Transcribe.Director.Provisioning;

namespace Transcribe.Transcribe.Tests.LocalCluster;

/// <summary><c>transcribe cluster</c> as a person runs it, and what it prints.</summary>
internal sealed partial class ClusterRun : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("transcribe-cluster-").FullName;
    private readonly List<string> _lines = [];
    private readonly Process _process;
    private readonly ProcessIdentity _identity;

    private ClusterRun(string[] arguments)
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "transcribe"), ["cluster", "--http-port", "0", .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (string key in start.Environment.Keys.Where(k => k.StartsWith("TRANSCRIBE_", StringComparison.Ordinal)).ToArray())
            start.Environment.Remove(key);
        (start.Environment["NO_COLOR"], start.Environment["TRANSCRIBE_MODEL_DOWNLOAD"], start.Environment["TMPDIR"]) = ("1", "0", _folder);
        _process = new Process { StartInfo = start };
        _process.OutputDataReceived += (_, e) => Note(e.Data);
        _process.ErrorDataReceived += (_, e) => Note(e.Data);
        _process.Start();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
        _identity = ProcessIdentity.Of(_process.Id)!;
    }

    /// <param name="Region">Empty of Redis.</param>
    public sealed record Row(string Name, ProcessIdentity Process, string Region);

    /// <summary>What its table says.</summary>
    public IReadOnlyList<Row> Rows { get; private set; } = [];

    public Row Director => Rows.Single(row => row.Name == "director");

    public Row Redis => Rows.Single(row => row.Name == "redis");

    public Row[] Sfus => [.. Rows.Where(row => row.Name.StartsWith("sfu", StringComparison.Ordinal))];

    /// <summary>Starts it and waits until everything is up.</summary>
    public static async Task<ClusterRun> StartAsync(params string[] arguments)
    {
        var run = new ClusterRun(arguments);
        await run.WaitForAsync("Ctrl-C stops everything");
        run.Rows = [.. run.Lines().Select(line => TableRow().Match(line)).Where(row => row.Success)
            .Select(row => new Row(row.Groups["name"].Value, ProcessIdentity.Of(int.Parse(row.Groups["pid"].Value))!, row.Groups["region"].Value))];
        return run;
    }

    /// <summary>Waits for so many lines that match.</summary>
    public async Task<Match[]> WaitForAsync(string pattern, int count = 1, double seconds = 90)
    {
        for (var clock = Stopwatch.StartNew(); clock.Elapsed.TotalSeconds < seconds; await Task.Delay(50))
        {
            Match[] found = [.. Lines().Select(line => Regex.Match(line, pattern)).Where(match => match.Success)];
            if (found.Length >= count)
                return found;
        }

        Assert.Fail($"Within {seconds} s there were not {count} lines like \"{pattern}\":\n{string.Join('\n', Lines())}");
        return [];
    }

    /// <summary>Ctrl-C.</summary>
    /// <returns>The exit status.</returns>
    public async Task<int> InterruptAsync()
    {
        using Process kill = Process.Start("kill", ["-INT", $"{_process.Id}"]);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        await _process.WaitForExitAsync(patience.Token);
        return _process.ExitCode;
    }

    /// <summary>SIGKILL: it can clean up nothing.</summary>
    public void Kill() => _identity.Kill();

    /// <summary>Every process that printed, or was in the table, ends.</summary>
    public async Task EndedAsync(IEnumerable<ProcessIdentity> processes)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        foreach (ProcessIdentity process in processes)
        {
            await process.WaitForEndAsync(patience.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Assert.False(process.IsRunning, $"Process {process.Pid} is still there:\n{string.Join('\n', Lines())}");
        }
    }

    public async ValueTask DisposeAsync()
    {
        // A test that failed halfway: nothing stays behind but what the test is about.
        if (_identity.IsRunning)
            await InterruptAsync();
        foreach (Row row in Rows)
            row.Process?.Kill();
        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private string[] Lines()
    {
        lock (_lines)
            return [.. _lines];
    }

    private void Note(string? line)
    {
        if (line is null)
            return;
        lock (_lines)
            _lines.Add(line);
    }

    [GeneratedRegex(@"^[│|] (?<name>[a-z][\w-]*)\s*[│|] (?<pid>\d+)\s*[│|] (?<region>[\w-]*)")]
    private static partial Regex TableRow();
}
