using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Transcribe.Cluster.Tests.Support;

/// <summary>
/// A real <c>redis-server</c> of a test: on a free port of 127.0.0.1, with a directory of its own, killed with SIGKILL.
/// Every write is in its append-only file when it is acknowledged, so a killed server comes back with its data.
/// </summary>
public sealed class RedisServer : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly string _executable;
    private readonly string _directory;
    private Process? _process;

    private RedisServer(string executable, string directory, int port)
    {
        _executable = executable;
        _directory = directory;
        Port = port;
        AppDomain.CurrentDomain.ProcessExit += KillAtExit;
    }

    /// <summary>Stays the same over restarts.</summary>
    public int Port { get; }

    /// <summary>For <c>TRANSCRIBE_REDIS</c>.</summary>
    public string ConnectionString => $"127.0.0.1:{Port}";

    public bool IsRunning => _process is { HasExited: false };

    /// <exception cref="InvalidOperationException">There is no redis-server on the PATH, or it does not start.</exception>
    public static async Task<RedisServer> StartAsync()
    {
        string executable = Find();
        for (int attempt = 1; ; attempt++)
        {
            var server = new RedisServer(executable, Directory.CreateTempSubdirectory("transcribe-redis-").FullName, FreePort());
            try
            {
                await server.LaunchAsync();
                return server;
            }
            catch (InvalidOperationException) when (attempt < 3)
            {
                // Somebody else took the port between the search and the start.
                await server.DisposeAsync();
            }
        }
    }

    /// <summary>Kills the server (SIGKILL): its clients see closed connections, its port refuses.</summary>
    public async Task KillAsync()
    {
        if (_process is not { } process)
            return;

        _process = null;
        process.Kill();
        await process.WaitForExitAsync();
        process.Dispose();
    }

    /// <summary>Stops the server where it is (SIGSTOP): connections stay and nobody answers.</summary>
    public void Suspend() => Signal("STOP");

    /// <summary>Lets a suspended server go on (SIGCONT).</summary>
    public void Resume() => Signal("CONT");

    /// <summary>Starts a killed server again on the same port, with its data or with none.</summary>
    public async Task StartAgainAsync(bool keepData)
    {
        if (_process is not null)
            throw new InvalidOperationException("The server still runs; kill it first.");

        if (!keepData)
        {
            Directory.Delete(_directory, recursive: true);
            Directory.CreateDirectory(_directory);
        }

        await LaunchAsync();
    }

    /// <summary>Kills the server and starts it again at once.</summary>
    public async Task RestartAsync(bool keepData)
    {
        await KillAsync();
        await StartAgainAsync(keepData);
    }

    public async ValueTask DisposeAsync()
    {
        AppDomain.CurrentDomain.ProcessExit -= KillAtExit;
        await KillAsync();
        if (Directory.Exists(_directory))
            Directory.Delete(_directory, recursive: true);
    }

    private static string Find()
    {
        foreach (string folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator))
        {
            string candidate = Path.Combine(folder, "redis-server");
            if (folder.Length > 0 && File.Exists(candidate))
                return candidate;
        }

        throw new InvalidOperationException("There is no redis-server on the PATH. Install it: apt-get install redis-server");
    }

    private void Signal(string name)
    {
        using Process kill = Process.Start("kill", ["-" + name, $"{_process!.Id}"]);
        kill.WaitForExit();
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private async Task LaunchAsync()
    {
        var start = new ProcessStartInfo(_executable) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = _directory };
        string[] arguments =
        [
            "--port", $"{Port}", "--bind", "127.0.0.1", "--dir", _directory, "--daemonize", "no", "--save", "",
            "--appendonly", "yes", "--appendfsync", "no", "--loglevel", "warning",
        ];
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);

        Process process = Process.Start(start) ?? throw new InvalidOperationException($"{_executable} did not start.");
        var output = new StringBuilder();
        process.OutputDataReceived += (_, line) => Append(output, line.Data);
        process.ErrorDataReceived += (_, line) => Append(output, line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _process = process;
        var waited = Stopwatch.StartNew();
        while (!await AnswersAsync())
        {
            if (process.HasExited || waited.Elapsed > Patience)
                throw new InvalidOperationException($"{_executable} did not begin to answer on port {Port}: {Read(output)}");

            await Task.Delay(20);
        }
    }

    private async Task<bool> AnswersAsync()
    {
        try
        {
            using var client = new TcpClient();
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(2));
            await client.ConnectAsync(IPAddress.Loopback, Port, patience.Token);
            await client.GetStream().WriteAsync("PING\r\n"u8.ToArray(), patience.Token);
            byte[] answer = new byte[64];
            int length = await client.GetStream().ReadAsync(answer, patience.Token);
            return answer.AsSpan(0, length).StartsWith("+PONG"u8);
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException)
        {
            return false;
        }
    }

    private static void Append(StringBuilder output, string? line)
    {
        lock (output)
            output.AppendLine(line);
    }

    private static string Read(StringBuilder output)
    {
        lock (output)
            return output.ToString();
    }

    private void KillAtExit(object? sender, EventArgs e) => _process?.Kill();
}
