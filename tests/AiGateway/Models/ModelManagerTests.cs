using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using Transcribe.AiGateway.Models;

namespace Transcribe.AiGateway.Tests.Models;

public sealed class ModelManagerTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("transcribe-models").FullName;
    private readonly byte[] _content = RandomNumberGenerator.GetBytes(700_000);
    private readonly FileServer _server = new();
    private readonly HttpClient _http = new();

    private ModelInfo Model => new(
        "test.en", "whisper", "ggml-test.en.bin", _content.Length, ["en"], [new Uri(_server.Address, "ggml-test.en.bin")],
        Sha1: Convert.ToHexStringLower(SHA1.HashData(_content)));

    private string Target => Path.Combine(_folder, "ggml-test.en.bin");

    public void Dispose()
    {
        _server.Dispose();
        _http.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task Downloads_checks_and_reports_progress()
    {
        _server.Content = _content;
        var progress = new List<DownloadProgress>();
        string path = await Manager().FetchAsync(Model, new Progress(progress.Add));

        Assert.Equal(Target, path);
        Assert.Equal(_content, File.ReadAllBytes(path));
        Assert.Equal(_content.Length, progress[^1].Received);
        Assert.Equal(["ggml-test.en.bin"], Directory.GetFiles(_folder).Select(Path.GetFileName));
        Assert.Equal(path, Manager().Find(Model));
        await Manager().FetchAsync(Model);
        Assert.Single(_server.Requests);
    }

    [Fact]
    public async Task Goes_on_where_a_download_broke_off()
    {
        _server.Content = _content;
        _server.BreakAfter = 300_000;
        await Manager().FetchAsync(Model);

        Assert.Equal(_content, File.ReadAllBytes(Target));
        Assert.Equal(2, _server.Requests.Count);
        Assert.StartsWith("bytes=", _server.Requests[1].Range);
        Assert.NotEqual("bytes=0-", _server.Requests[1].Range);
    }

    [Fact]
    public async Task Goes_on_in_another_process()
    {
        _server.Content = _content;
        File.WriteAllBytes(Target + ".part", _content[..500_000]);
        await Manager().FetchAsync(Model);

        Assert.Equal(_content, File.ReadAllBytes(Target));
        Assert.Equal("bytes=500000-", Assert.Single(_server.Requests).Range);
    }

    [Fact]
    public async Task Starts_over_where_the_server_cannot_resume_or_the_part_was_wrong()
    {
        _server.Content = _content;
        _server.IgnoresRange = true;
        File.WriteAllBytes(Target + ".part", new byte[500_000]);
        await Manager().FetchAsync(Model);
        Assert.Equal(_content, File.ReadAllBytes(Target));

        File.Delete(Target);
        _server.IgnoresRange = false;
        File.WriteAllBytes(Target + ".part", new byte[500_000]);
        await Manager().FetchAsync(Model);
        Assert.Equal(_content, File.ReadAllBytes(Target));
    }

    [Fact]
    public async Task Refuses_a_file_with_the_wrong_checksum_and_leaves_nothing()
    {
        _server.Content = [.. _content.Reverse()];

        var error = await Assert.ThrowsAsync<ModelException>(() => Manager().FetchAsync(Model));
        Assert.Contains("wrong checksum", error.Message);
        Assert.Contains("TRANSCRIBE_MODEL_PATH", error.Message);
        Assert.Empty(Directory.GetFiles(_folder));
    }

    [Fact]
    public async Task Prefers_the_mirror()
    {
        _server.Content = _content;
        ModelInfo elsewhere = Model with { Urls = [new Uri("http://127.0.0.1:1/never")] };
        await Manager(mirror: new Uri(_server.Address, "some/mirror")).FetchAsync(elsewhere);

        Assert.Equal("/some/mirror/ggml-test.en.bin", Assert.Single(_server.Requests).Path);
    }

    [Fact]
    public async Task Does_not_insist_on_a_file_that_is_not_there()
    {
        var error = await Assert.ThrowsAsync<ModelException>(() => Manager().FetchAsync(Model));

        Assert.Contains("404", error.Message);
        Assert.Single(_server.Requests);
    }

    [Fact]
    public async Task Gives_up_on_a_server_that_falls_silent()
    {
        _server.Content = _content;
        _server.StallAfter = 100_000;

        var error = await Assert.ThrowsAsync<ModelException>(() => Manager(stall: TimeSpan.FromMilliseconds(200), attempts: 1).FetchAsync(Model));
        Assert.Contains("sent nothing", error.Message);
    }

    [Fact]
    public void Uses_the_offline_path_as_it_is()
    {
        string offline = Directory.CreateDirectory(Path.Combine(_folder, "offline")).FullName, file = Path.Combine(offline, "ggml-test.en.bin");
        File.WriteAllText(file, "any");

        Assert.Equal(file, new ModelManager(_http, new() { Directory = _folder, OfflinePath = offline }, TimeProvider.System).Find(Model));
        Assert.Equal(file, new ModelManager(_http, new() { Directory = _folder, OfflinePath = file }, TimeProvider.System).Find(Model));
    }

    [Fact]
    public void The_manifest_names_whole_models()
    {
        Assert.NotEmpty(ModelManifest.BuiltIn.Models);
        Assert.All(ModelManifest.BuiltIn.Models, model =>
        {
            Assert.Equal(40, model.Sha1?.Length ?? 40);
            Assert.All(model.Urls, url => Assert.EndsWith(model.File, url.AbsolutePath));
            Assert.True(model.Knows("en-US"));
        });
        Assert.False(ModelManifest.BuiltIn.Find("BASE.EN")!.Knows("de"));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"version":1,"models":[{"name":"a","engine":"whisper","file":"../a","size":1,"sha1":"00","languages":[],"urls":[]}]}""")]
    [InlineData("""{"version":1,"models":[{"name":"a","engine":"whisper","file":"a","size":1,"languages":[],"urls":[]}]}""")]
    public void Refuses_a_manifest_that_cannot_be_trusted(string json) => Assert.ThrowsAny<JsonException>(() => ModelManifest.Parse(json));

    private ModelManager Manager(Uri? mirror = null, TimeSpan? stall = null, int attempts = 2) =>
        new(_http, new() { Directory = _folder, Mirror = mirror, Attempts = attempts, StallTimeout = stall ?? TimeSpan.FromSeconds(10) }, TimeProvider.System);

    private sealed class Progress(Action<DownloadProgress> report) : IProgress<DownloadProgress>
    {
        public void Report(DownloadProgress value) => report(value);
    }

    /// <summary>Serves one file with ranges, and misbehaves as told.</summary>
    private sealed class FileServer : IDisposable
    {
        private readonly HttpListener _listener = new();

        public FileServer()
        {
            for (int port = Random.Shared.Next(20000, 50000); ; port++)
            {
                _listener.Prefixes.Clear();
                _listener.Prefixes.Add($"http://127.0.0.1:{port}/");
                try
                {
                    _listener.Start();
                    Address = new Uri($"http://127.0.0.1:{port}/");
                    break;
                }
                catch (HttpListenerException)
                {
                    // Taken; the next one.
                    continue;
                }
            }

            _ = ServeAsync();
        }

        public Uri Address { get; }

        public byte[]? Content { get; set; }

        public int? BreakAfter { get; set; }

        public int? StallAfter { get; set; }

        public bool IgnoresRange { get; set; }

        public List<(string Path, string? Range)> Requests { get; } = [];

        public void Dispose() => _listener.Close();

        private async Task ServeAsync()
        {
            while (_listener.IsListening)
            {
                HttpListenerContext context;
                try
                {
                    context = await _listener.GetContextAsync();
                }
                catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
                {
                    return;
                }

                try
                {
                    await AnswerAsync(context);
                }
                catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
                {
                    // The client went away.
                    continue;
                }
            }
        }

        private async Task AnswerAsync(HttpListenerContext context)
        {
            string? range = context.Request.Headers["Range"];
            Requests.Add((context.Request.Url!.AbsolutePath, range));
            HttpListenerResponse response = context.Response;
            if (Content is null)
            {
                response.StatusCode = 404;
                response.Close();
                return;
            }

            int from = 0;
            if (range is not null && !IgnoresRange)
            {
                from = int.Parse(range["bytes=".Length..^1]);
                response.StatusCode = 206;
                response.Headers["Content-Range"] = $"bytes {from}-{Content.Length - 1}/{Content.Length}";
            }

            response.ContentLength64 = Content.Length - from;
            int length = Math.Min(Content.Length - from, BreakAfter ?? StallAfter ?? int.MaxValue);
            await response.OutputStream.WriteAsync(Content.AsMemory(from, length));
            await response.OutputStream.FlushAsync();
            if (BreakAfter is not null)
            {
                BreakAfter = null;
                // Give the bytes time to be read: a reset discards what the client has not taken.
                await Task.Delay(100);
                response.Abort();
            }
            else if (StallAfter is null)
            {
                response.Close();
            }
        }
    }
}
