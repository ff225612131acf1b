using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.RegularExpressions;
using Transcribe.Cluster.Tokens;
using Transcribe.Peer;

namespace Transcribe.EndToEnd.Tests.Support;

/// <summary>A `transcribe serve` process on free ports, as a user would start it.</summary>
public sealed class TranscribeServer : IAsyncDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _log = new();
    private readonly ApiKeyRing _keys;
    private readonly AccessTokenMinter _minter;

    private TranscribeServer(Process process, ApiKeyRing keys)
    {
        _process = process;
        _keys = keys;
        _minter = new AccessTokenMinter(keys, TimeProvider.System);
        process.OutputDataReceived += (_, e) => Note(e.Data);
        process.ErrorDataReceived += (_, e) => Note(e.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public int HttpPort { get; private set; }

    public int ProcessId => _process.Id;

    public Uri Url => new($"http://127.0.0.1:{HttpPort}");

    public string Log
    {
        get
        {
            lock (_log)
                return _log.ToString();
        }
    }

    public static async Task<TranscribeServer> StartAsync()
    {
        var keys = new ApiKeyRing([new ApiKey("testkey", "0123456789abcdef0123456789abcdef0123456789abcdef")]);
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "transcribe"), "serve")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Repository.Root,
            Environment =
            {
                ["TRANSCRIBE_HTTP_PORT"] = "0",
                ["TRANSCRIBE_UDP_PORT"] = "0",
                ["TRANSCRIBE_API_KEY"] = keys.Signing.Key,
                ["TRANSCRIBE_API_SECRET"] = keys.Signing.Secret,
            },
        };
        var server = new TranscribeServer(Process.Start(start)!, keys);
        using var client = new HttpClient();
        for (int i = 0; i < 300; i++)
        {
            if (server._process.HasExited)
                throw new InvalidOperationException($"The server exited with {server._process.ExitCode}:\n{server.Log}");
            if (server.HttpPort == 0)
            {
                // The first line it prints.
                Match banner = Regex.Match(server.Log, @"^Transcribe is at http://[^/]*:(\d+)/", RegexOptions.Multiline);
                server.HttpPort = banner.Success ? int.Parse(banner.Groups[1].ValueSpan) : 0;
            }
            else
            {
                using HttpResponseMessage ready = await client.GetAsync(new Uri(server.Url, "/readyz"));
                if (ready.IsSuccessStatusCode)
                    return server;
            }

            await Task.Delay(100);
        }

        throw new TimeoutException($"The server was not ready within 30 s:\n{server.Log}");
    }

    public string Token(string room, string participant, Grants? grants = null, TimeSpan? timeToLive = null) =>
        _minter.Mint(room, participant, grants ?? new Grants { Publish = true, Subscribe = true, PublishData = true }, timeToLive: timeToLive);

    public Task<RoomClient> JoinAsync(string room, string participant, RoomHandlers? handlers = null, PeerOptions? options = null) =>
        RoomClient.JoinAsync(
            (options ?? new PeerOptions { ServerUrl = Url, Token = "" }) with { ServerUrl = Url, Token = Token(room, participant) },
            handlers ?? new RoomHandlers());

    public HttpClient CreateAdminClient(string room)
    {
        var client = new HttpClient { BaseAddress = Url };
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", Token(room, "admin", new Grants { Admin = true }));
        return client;
    }

    /// <summary>A client that shows the API key itself, as an app's backend does.</summary>
    public HttpClient CreateKeyClient()
    {
        var client = new HttpClient { BaseAddress = Url };
        string credentials = Convert.ToBase64String(Encoding.UTF8.GetBytes($"{_keys.Signing.Key}:{_keys.Signing.Secret}"));
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Basic", credentials);
        return client;
    }

    public async Task SetTranscriptionAsync(string room, bool enabled)
    {
        using HttpClient admin = CreateAdminClient(room);
        using HttpResponseMessage response = await admin.PutAsJsonAsync($"/v1/rooms/{room}/transcription", new { enabled, engine = "pocketsphinx", language = "en" });
        response.EnsureSuccessStatusCode();
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            // As Ctrl-C and service managers do: it must end by itself.
            using (Process kill = Process.Start("kill", ["-TERM", _process.Id.ToString()]))
                await kill.WaitForExitAsync();
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
            try
            {
                await _process.WaitForExitAsync(patience.Token);
            }
            catch (OperationCanceledException)
            {
                _process.Kill(entireProcessTree: true);
                throw new TimeoutException($"The server did not end within 20 s of SIGTERM:\n{Log}");
            }
        }

        await File.WriteAllTextAsync(Path.Combine(Repository.Output, $"server-{HttpPort}.log"), Log);
        _process.Dispose();
    }

    private void Note(string? line)
    {
        lock (_log)
            _log.AppendLine(line);
    }
}
