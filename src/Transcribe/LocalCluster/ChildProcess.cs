using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Transcribe.LocalCluster;

/// <summary>
/// A process that ends with this one, however this one ends, and that a Ctrl-C in the terminal does not reach: it is
/// stopped in its turn.
/// </summary>
internal sealed partial class ChildProcess : IDisposable
{
    private const int Term = 15;

    private static readonly BlockingCollection<Action> Starts = StartLauncher();

    private readonly Process _process;

    /// <summary>The child's standard input: it ends with this process, or with <see cref="Dispose"/>.</summary>
    private readonly StreamWriter _lifeline;
    private readonly TaskCompletionSource<int> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private ChildProcess(Process process, Action<string> line)
    {
        _process = process;
        _lifeline = process.StandardInput;
        Id = process.Id;
        process.OutputDataReceived += (_, e) => Tell(e.Data, line);
        process.ErrorDataReceived += (_, e) => Tell(e.Data, line);
        process.Exited += (_, _) => _ended.TrySetResult(process.ExitCode);
        process.EnableRaisingEvents = true;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public int Id { get; }

    public bool IsRunning => !_ended.Task.IsCompleted;

    /// <summary>Ends with the exit status, 128 + n where signal n ended it.</summary>
    public Task<int> Ended => _ended.Task;

    /// <param name="line">Told every line of both outputs.</param>
    public static Task<ChildProcess> StartAsync(
        string executable, IEnumerable<string> arguments, IReadOnlyDictionary<string, string?> environment, Action<string> line)
    {
        // setsid and setpriv (util-linux) set what their names say, and become the program: the process id is the program's.
        var start = new ProcessStartInfo("setsid", ["setpriv", "--pdeathsig", "TERM", executable, .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string key, string? value) in environment)
            start.Environment[key] = value;
        var started = new TaskCompletionSource<ChildProcess>(TaskCreationOptions.RunContinuationsAsynchronously);
        Starts.Add(() =>
        {
            try
            {
                started.SetResult(new ChildProcess(Process.Start(start)!, line));
            }
            catch (Exception e)
            {
                started.SetException(e);
            }
        });
        return started.Task;
    }

    /// <summary>SIGKILL.</summary>
    public void Kill()
    {
        if (IsRunning)
            _process.Kill();
    }

    /// <summary>SIGTERM, and SIGKILL where that is not enough.</summary>
    public async Task StopAsync(TimeSpan patience)
    {
        if (!IsRunning)
            return;
        _ = SendSignal(Id, Term);
        try
        {
            await Ended.WaitAsync(patience);
        }
        catch (TimeoutException)
        {
            Kill();
            await Ended;
        }
    }

    /// <summary>Lets go of its streams. Processes that it started may go on with them until then.</summary>
    public void Dispose()
    {
        _lifeline.Dispose();
        _process.Dispose();
    }

    private static void Tell(string? text, Action<string> line)
    {
        if (text is not null)
            line(text);
    }

    // The kernel signals the children when the thread that started them ends, so that one must live as long as we do.
    private static BlockingCollection<Action> StartLauncher()
    {
        var starts = new BlockingCollection<Action>();
        new Thread(() =>
        {
            foreach (Action start in starts.GetConsumingEnumerable())
                start();
        })
        { Name = "child launcher", IsBackground = true }.Start();
        return starts;
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int pid, int signal);
}
