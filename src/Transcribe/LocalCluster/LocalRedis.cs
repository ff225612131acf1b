using System.Net;
using System.Net.Sockets;
using System.Text;
using Transcribe.Commands;

namespace Transcribe.LocalCluster;

/// <summary>
/// A redis-server on a free port of 127.0.0.1 with a directory of its own. What it acknowledged is in its append-only
/// file: killed, it comes back with its data.
/// </summary>
internal sealed class LocalRedis : IAsyncDisposable
{
    private const int Attempts = 5;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly string _directory = Directory.CreateTempSubdirectory("transcribe-redis-").FullName;
    private ChildProcess? _process;
    private bool _stopping;

    private LocalRedis()
    {
    }

    /// <summary>It ended without having been told to by <see cref="DisposeAsync"/>; with its exit status.</summary>
    public event Action<int>? Died;

    /// <summary>The same over restarts.</summary>
    public int Port { get; private set; }

    public string ConnectionString => $"127.0.0.1:{Port}";

    public ChildProcess Process => _process ?? throw new InvalidOperationException("redis-server has not been started.");

    /// <exception cref="CommandException">There is none on this machine, or it does not start.</exception>
    public static async Task<LocalRedis> StartAsync()
    {
        if (!(Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Any(folder => File.Exists(Path.Combine(folder, "redis-server"))))
            throw new CommandException("There is no redis-server on this machine. Install it: apt-get install redis-server (./run cluster does it).");

        var redis = new LocalRedis();
        for (int attempt = 1; ; attempt++)
        {
            redis.Port = LikelyFreePort();
            try
            {
                await redis.StartAgainAsync();
                return redis;
            }
            catch (CommandException) when (attempt < Attempts)
            {
                // Somebody else took the port between the search and the start.
            }
            catch
            {
                await redis.DisposeAsync();
                throw;
            }
        }
    }

    /// <summary>SIGKILL.</summary>
    public async Task KillAsync()
    {
        Process.Kill();
        await Process.Ended;
    }

    /// <summary>Starts it on its port, with the data it had or with none.</summary>
    public async Task StartAgainAsync(bool keepData = true)
    {
        if (!keepData)
        {
            Directory.Delete(_directory, recursive: true);
            Directory.CreateDirectory(_directory);
        }

        var said = new StringBuilder();
        _process?.Dispose();
        _process = await ChildProcess.StartAsync(
            "redis-server",
            [
                "--port", $"{Port}", "--bind", "127.0.0.1", "--dir", _directory, "--daemonize", "no", "--save", "",
                "--appendonly", "yes", "--appendfsync", "no", "--loglevel", "warning",
            ],
            new Dictionary<string, string?>(),
            line => said.AppendLine(line));
        using var patience = new CancellationTokenSource(Patience);
        while (!await AnswersAsync(patience.Token))
        {
            if (!_process.IsRunning)
                throw new CommandException($"redis-server ended at once: {said}", ExitStatus.Failed);
            if (patience.IsCancellationRequested)
                throw new CommandException($"redis-server did not begin to answer on port {Port}: {said}", ExitStatus.Failed);
            await Task.Delay(20, CancellationToken.None);
        }

        _ = WatchAsync(_process);
    }

    public async ValueTask DisposeAsync()
    {
        _stopping = true;
        if (_process is not null)
        {
            await _process.StopAsync(TimeSpan.FromSeconds(5));
            _process.Dispose();
        }

        if (Directory.Exists(_directory))
            Directory.Delete(_directory, recursive: true);
    }

    private async Task WatchAsync(ChildProcess process)
    {
        int status = await process.Ended;
        if (!_stopping)
            Died?.Invoke(status);
    }

    // redis-server cannot be told to take any free port: 0 means none.
    private static int LikelyFreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private async Task<bool> AnswersAsync(CancellationToken cancellationToken)
    {
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync(IPAddress.Loopback, Port, cancellationToken);
            await client.GetStream().WriteAsync("PING\r\n"u8.ToArray(), cancellationToken);
            byte[] answer = new byte[64];
            int length = await client.GetStream().ReadAsync(answer, cancellationToken);
            return answer.AsSpan(0, length).StartsWith("+PONG"u8);
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException)
        {
            return false;
        }
    }
}
