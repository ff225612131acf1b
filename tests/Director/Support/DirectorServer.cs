using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.TestHost;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Transcribe.Cluster;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Tokens;
using Transcribe.Cluster.Transcripts;
using Transcribe.Director.Http;

namespace Transcribe.Director.Tests.Support;

/// <summary>The HTTP API on ASP.NET's test server.</summary>
internal sealed class DirectorServer : IAsyncDisposable
{
    public const string Key = "key";
    public const string Secret = "0123456789abcdef0123456789abcdef";

    private readonly WebApplication _app;

    private DirectorServer(WebApplication app, FakeTimeProvider time)
    {
        _app = app;
        Time = time;
        Http = app.GetTestClient();
    }

    public FakeTimeProvider Time { get; }

    public HttpClient Http { get; }

    public IRoomDirectory Rooms => _app.Services.GetRequiredService<IRoomDirectory>();

    public ITranscriptStore Transcripts => _app.Services.GetRequiredService<ITranscriptStore>();

    public INodeDirectory Nodes => _app.Services.GetRequiredService<INodeDirectory>();

    public IMessageBus Bus => _app.Services.GetRequiredService<IMessageBus>();

    public IServiceProvider Services => _app.Services;

    public IAccessTokenValidator Tokens => _app.Services.GetRequiredService<IAccessTokenValidator>();

    public static async Task<DirectorServer> StartAsync(bool development = false, Action<IServiceCollection>? configure = null)
    {
        var time = new FakeTimeProvider(new DateTimeOffset(2026, 11, 22, 10, 0, 0, TimeSpan.Zero));
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseTestServer();
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton<TimeProvider>(time);
        builder.Services.AddSingleton<IIceServers>(new StaticIceServers([new IceServer(["stun:stun.example.org"])]));
        builder.Services.AddInProcessCluster(new ApiKeyRing([new ApiKey(Key, Secret)], development));
        builder.Services.AddDirector();
        configure?.Invoke(builder.Services);
        WebApplication app = builder.Build();
        app.UseProblemPages();
        app.UseRouting();
        app.UseCors();
        app.MapDirector();
        app.MapGet("/fails", string () => throw new InvalidOperationException("secret detail"));
        await app.StartAsync();
        return new DirectorServer(app, time);
    }

    public string Token(string participant = "alice", string room = "demo", Grants? grants = null) =>
        _app.Services.GetRequiredService<IAccessTokenMinter>().Mint(room, participant, grants ?? new Grants { Subscribe = true });

    public string AdminToken(string room = "demo") => Token("admin", room, new Grants { Admin = true });

    public Task AnnounceNodeAsync() => Nodes.AnnounceAsync(new NodeInfo("n1", NodeRole.Sfu, "127.0.0.1:7882")).AsTask();

    /// <param name="token">Null: the API key; "": nothing.</param>
    public async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, string? body = null, string? token = null, string type = "application/json")
    {
        using var request = new HttpRequestMessage(method, path);
        request.Headers.Authorization = token switch
        {
            null => Basic(Key, Secret),
            "" => null,
            _ => new AuthenticationHeaderValue("Bearer", token),
        };
        if (body is not null)
        {
            request.Content = new StringContent(body, Encoding.UTF8);
            request.Content.Headers.ContentType = new MediaTypeHeaderValue(type);
        }

        return await Http.SendAsync(request);
    }

    public static AuthenticationHeaderValue Basic(string key, string secret) =>
        new("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{key}:{secret}")));

    public static async Task<T> ReadAsync<T>(HttpResponseMessage response)
    {
        string body = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, $"{response.StatusCode}: {body}");
        return ClusterJson.Deserialize<T>(body);
    }

    public static async Task<string> AssertProblemAsync(HttpResponseMessage response, HttpStatusCode status, string code)
    {
        string body = await response.Content.ReadAsStringAsync();
        Assert.True(status == response.StatusCode, $"{response.StatusCode}: {body}");
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        using JsonDocument problem = JsonDocument.Parse(body);
        Assert.Equal(code, problem.RootElement.GetProperty("code").GetString());
        Assert.Equal((int)status, problem.RootElement.GetProperty("status").GetInt32());
        Assert.NotEqual("", problem.RootElement.GetProperty("title").GetString());
        string detail = problem.RootElement.GetProperty("detail").GetString()!;
        Assert.EndsWith(".", detail, StringComparison.Ordinal);
        return detail;
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _app.DisposeAsync();
    }
}
