using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;

namespace Transcribe.Director.Tests.Support;

/// <summary>The part of the Docker Engine API (v1.41) that creates, starts, lists, stops and removes containers, over TCP or a Unix socket.</summary>
internal sealed class FakeDocker : IAsyncDisposable
{
    private readonly WebApplication _app;

    private FakeDocker(WebApplication app, string? socket)
    {
        _app = app;
        Host = socket is null ? app.Urls.Single().Replace("http://", "tcp://", StringComparison.Ordinal) : $"unix://{socket}";
    }

    /// <summary>As TRANSCRIBE_DOCKER_HOST.</summary>
    public string Host { get; }

    public ConcurrentDictionary<string, Container> Containers { get; } = new(StringComparer.Ordinal);

    public ConcurrentQueue<string> Calls { get; } = new();

    /// <summary>"create", "start", "stop", "remove", "list" -> the status to answer instead; 0: never answer.</summary>
    public ConcurrentDictionary<string, int> Failures { get; } = new(StringComparer.Ordinal);

    public static async Task<FakeDocker> StartAsync(string? socket = null)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            if (socket is not null)
                kestrel.ListenUnixSocket(socket);
            else
                kestrel.Listen(System.Net.IPAddress.Loopback, 0);
        });
        WebApplication app = builder.Build();
        FakeDocker? docker = null;

        // Docker.DotNet sends "/v1.41/…" or no version at all.
        app.Use(async (http, next) =>
        {
            string path = http.Request.Path.Value!;
            if (path.StartsWith("/v1.", StringComparison.Ordinal))
                http.Request.Path = path[path.IndexOf('/', 1)..];

            await next();
        });
        app.UseRouting();
        app.MapPost("/containers/create", (HttpContext http, CancellationToken _) => docker!.AnswerAsync(http, "create", docker.CreateAsync));
        app.MapGet("/containers/json", (HttpContext http, CancellationToken _) => docker!.AnswerAsync(http, "list", docker.ListAsync));
        app.MapPost("/containers/{id}/start", (HttpContext http, CancellationToken _) => docker!.AnswerAsync(http, "start", docker.SetStateAsync("running")));
        app.MapPost("/containers/{id}/stop", (HttpContext http, CancellationToken _) => docker!.AnswerAsync(http, "stop", docker.SetStateAsync("exited")));
        app.MapDelete("/containers/{id}", (HttpContext http, CancellationToken _) => docker!.AnswerAsync(http, "remove", docker.RemoveAsync));
        await app.StartAsync();
        return docker = new FakeDocker(app, socket);
    }

    public async ValueTask DisposeAsync()
    {
        Failures.Clear();
        await _app.DisposeAsync();
    }

    private async Task<IResult> AnswerAsync(HttpContext http, string what, Func<HttpContext, Task<IResult>> answer)
    {
        Calls.Enqueue(what);
        if (!Failures.TryGetValue(what, out int status))
            return await answer(http);

        if (status == 0)
            await Task.Delay(Timeout.Infinite, http.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);

        return Results.Json(new { message = $"{what} does not work" }, statusCode: status == 0 ? 500 : status);
    }

    private async Task<IResult> CreateAsync(HttpContext http)
    {
        using JsonDocument body = await JsonDocument.ParseAsync(http.Request.Body);
        JsonElement root = body.RootElement;
        string name = http.Request.Query["name"].ToString();
        if (Containers.Values.Any(other => other.Name == name))
            return Results.Json(new { message = "The name is in use." }, statusCode: 409);

        var container = new Container(
            Guid.NewGuid().ToString("N"),
            name,
            root.GetProperty("Image").GetString()!,
            [.. root.GetProperty("Cmd").EnumerateArray().Select(item => item.GetString()!)],
            [.. root.GetProperty("Env").EnumerateArray().Select(item => item.GetString()!)],
            root.GetProperty("Labels").EnumerateObject().ToDictionary(label => label.Name, label => label.Value.GetString()!),
            root.GetProperty("HostConfig").GetProperty("NetworkMode").GetString()!);
        Containers[container.Id] = container;
        return Results.Json(new { Id = container.Id, Warnings = Array.Empty<string>() }, new JsonSerializerOptions(), statusCode: 201);
    }

    private Task<IResult> ListAsync(HttpContext http)
    {
        using JsonDocument filters = JsonDocument.Parse(http.Request.Query["filters"].ToString());
        string[] labels = [.. filters.RootElement.GetProperty("label").EnumerateObject().Select(label => label.Name)];
        bool all = http.Request.Query["all"].ToString() is "true" or "True" or "1";
        var found = Containers.Values
            .Where(container => labels.All(label => label.Split('=') is [var key, var value] && container.Labels.GetValueOrDefault(key) == value))
            .Where(container => all || container.State == "running")
            .Select(container => new
            {
                container.Id,
                Names = new[] { "/" + container.Name },
                container.Image,
                container.Labels,
                container.State,
                Status = container.State == "exited" ? "Exited (1) 2 seconds ago" : "Up 2 seconds",
                Created = DateTimeOffset.UtcNow.ToUnixTimeSeconds(),
            });
        return Task.FromResult(Results.Json(found.ToArray(), new JsonSerializerOptions()));
    }

    private Func<HttpContext, Task<IResult>> SetStateAsync(string state) => http =>
    {
        if (!Containers.TryGetValue((string)http.GetRouteValue("id")!, out Container? container))
            return Task.FromResult(Results.Json(new { message = "No such container" }, statusCode: 404));

        if (container.State == state)
            return Task.FromResult(Results.StatusCode(304));

        container.State = state;
        return Task.FromResult(Results.NoContent());
    };

    private Task<IResult> RemoveAsync(HttpContext http) => Task.FromResult(
        Containers.TryRemove((string)http.GetRouteValue("id")!, out _)
            ? Results.NoContent()
            : Results.Json(new { message = "No such container" }, statusCode: 404));

    internal sealed record Container(
        string Id, string Name, string Image, string[] Command, string[] Environment, Dictionary<string, string> Labels, string Network)
    {
        public string State { get; set; } = "created";
    }
}
