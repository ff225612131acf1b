using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Threading.Channels;
using Transcribe.Cluster;
using Transcribe.Commands;

namespace Transcribe.Bench;

/// <summary>A child process of this program on processors of its own; it ends with its standard input, at the latest with us.</summary>
internal class BenchProcess : IDisposable
{
    private readonly Process _process;

    protected BenchProcess(IReadOnlyCollection<int> processors, params string[] arguments)
    {
        string self = Environment.ProcessPath ?? throw new CommandException("This program does not know its own path.");
        var start = new ProcessStartInfo(self) { RedirectStandardInput = true, RedirectStandardOutput = true };
        if (Path.GetFileNameWithoutExtension(self) == "dotnet")
            start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "transcribe.dll"));
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);

        // A child inherits the processors of the thread that forks it.
        Process? process = null;
        var starter = new Thread(() =>
        {
            BenchNative.TryPin(processors);
            process = Process.Start(start);
        });
        starter.Start();
        starter.Join();
        _process = process ?? throw new CommandException("The process under test did not start.");
    }

    public int Id => _process.Id;

    protected StreamReader Output => _process.StandardOutput;

    protected StreamWriter Input => _process.StandardInput;

    /// <summary>CPU time so far, in nanoseconds.</summary>
    public long Cpu => BenchNative.ProcessCpu(Id);

    /// <summary>User and system time from /proc/PID/stat, in hundredths of a second.</summary>
    public (long User, long System) Ticks
    {
        get
        {
            string stat = File.ReadAllText($"/proc/{Id}/stat");
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return (long.Parse(fields[11], CultureInfo.InvariantCulture), long.Parse(fields[12], CultureInfo.InvariantCulture));
        }
    }

    /// <summary>Resident memory in bytes, and threads.</summary>
    public (long Resident, int Threads) Memory
    {
        get
        {
            long resident = 0;
            int threads = 0;
            foreach (string line in File.ReadLines($"/proc/{Id}/status"))
            {
                if (line.StartsWith("VmRSS:", StringComparison.Ordinal))
                    resident = long.Parse(line[6..].Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture) * 1024;
                else if (line.StartsWith("Threads:", StringComparison.Ordinal))
                    threads = int.Parse(line[8..], CultureInfo.InvariantCulture);
            }

            return (resident, threads);
        }
    }

    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
        try
        {
            Input.Close();
        }
        catch (IOException)
        {
            // It is gone already.
        }

        if (!_process.WaitForExit(TimeSpan.FromSeconds(10)))
            _process.Kill();
        _process.Dispose();
    }
}

/// <summary>The floor's process.</summary>
internal sealed class BenchFloorProcess : BenchProcess
{
    public BenchFloorProcess(IReadOnlyCollection<int> processors)
        : base(processors, "bench", "floor-process")
    {
        Port = ushort.Parse(Output.ReadLine() ?? throw new CommandException("The floor's process ended at once.", ExitStatus.Failed), CultureInfo.InvariantCulture);
    }

    public ushort Port { get; }

    public void Plan(FloorPlan plan)
    {
        Input.WriteLine(JsonSerializer.Serialize(plan, ClusterJson.Options));
        Input.Flush();
        Output.ReadLine();
    }
}

/// <summary>Where clients of a bench join.</summary>
internal interface IBenchServer
{
    /// <summary>Asks; the answer comes on some thread.</summary>
    void Ask(BenchRequest request, Action<BenchReply> answered);
}

/// <summary>The SFU's process and its control channel.</summary>
internal sealed class BenchServerProcess : BenchProcess, IBenchServer
{
    private readonly ConcurrentDictionary<int, Action<BenchReply>> _pending = new();
    private readonly Channel<BenchRequest> _outgoing = Channel.CreateUnbounded<BenchRequest>();
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _reading;
    private int _id;

    public BenchServerProcess(IReadOnlyCollection<int> processors, int workers)
        : base(processors, "bench", "server-process", "--workers", workers.ToString(CultureInfo.InvariantCulture))
    {
        _reading = Task.Run(ReadAsync);
        _ = Task.Run(WriteAsync);
    }

    public Task ReadyAsync() => _ready.Task.WaitAsync(TimeSpan.FromSeconds(60));

    public void Ask(BenchRequest request, Action<BenchReply> answered)
    {
        int id = Interlocked.Increment(ref _id);
        _pending[id] = answered;
        _outgoing.Writer.TryWrite(request with { Id = id });
    }

    public async Task<BenchReply> AskAsync(BenchRequest request)
    {
        var answer = new TaskCompletionSource<BenchReply>(TaskCreationOptions.RunContinuationsAsynchronously);
        Ask(request, reply => answer.TrySetResult(reply));
        BenchReply reply = await answer.Task.WaitAsync(TimeSpan.FromSeconds(120));
        return reply.Error is null ? reply : throw new CommandException($"The server refused \"{request.Op}\": {reply.Error}", ExitStatus.Failed);
    }

    public async Task<BenchServerStats> StatsAsync(bool collect = false) =>
        (await AskAsync(new BenchRequest(0, collect ? "collect" : "stats"))).Stats!;

    protected override void Dispose(bool disposing)
    {
        _outgoing.Writer.TryComplete();
        base.Dispose(disposing);
        _reading.Wait(TimeSpan.FromSeconds(5));
    }

    private async Task WriteAsync()
    {
        await foreach (BenchRequest request in _outgoing.Reader.ReadAllAsync())
        {
            await Input.WriteLineAsync(JsonSerializer.Serialize(request, ClusterJson.Options));
            await Input.FlushAsync();
        }
    }

    private async Task ReadAsync()
    {
        while (await Output.ReadLineAsync() is { } line)
        {
            BenchReply reply = ClusterJson.Deserialize<BenchReply>(line);
            if (reply.Id == 0)
                _ready.TrySetResult();
            else if (_pending.TryRemove(reply.Id, out Action<BenchReply>? answered))
                answered(reply);
        }

        _ready.TrySetException(new CommandException("The server's process ended at once.", ExitStatus.Failed));
        foreach (int id in _pending.Keys)
        {
            if (_pending.TryRemove(id, out Action<BenchReply>? answered))
                answered(new BenchReply(id, "The server's process ended."));
        }
    }
}
