using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Transcribe.Director.Tests.Support;

/// <summary>The part of the Kubernetes API that reads and sets the scale of a workload and lists its pods.</summary>
internal sealed class FakeKubernetes : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly bool _stateful;
    private int _version = 1;
    private int _next;

    private FakeKubernetes(WebApplication app, bool stateful) => (_app, _stateful) = (app, stateful);

    public string Url => _app.Urls.Single();

    public int Replicas { get; set; }

    /// <summary>Names of pods, and their annotations.</summary>
    public ConcurrentDictionary<string, Dictionary<string, string>> Pods { get; } = new(StringComparer.Ordinal);

    /// <summary>"METHOD path", with the content type of a patch.</summary>
    public ConcurrentQueue<string> Calls { get; } = new();

    /// <summary>Methods of the scale -> the status to answer instead, so many times; status 0: never answer.</summary>
    public ConcurrentDictionary<string, (int Status, int Times)> Failures { get; } = new(StringComparer.Ordinal);

    public static async Task<FakeKubernetes> StartAsync(bool stateful = true)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(System.Net.IPAddress.Loopback, 0));
        WebApplication app = builder.Build();
        var api = new FakeKubernetes(app, stateful);
        string scale = $"/apis/apps/v1/namespaces/media/{(stateful ? "statefulsets" : "deployments")}/sfu/scale";
        app.MapGet(scale, (HttpContext http, CancellationToken _) => api.AnswerAsync(http, () => Task.FromResult(api.Scale())));
        app.MapPatch(scale, (HttpContext http, CancellationToken _) => api.AnswerAsync(http, () => api.PatchScaleAsync(http)));
        app.MapGet("/api/v1/namespaces/media/pods", (HttpContext http, CancellationToken _) => api.ListPods(http));
        app.MapPatch("/api/v1/namespaces/media/pods/{name}", (HttpContext http, string name) => api.PatchPodAsync(http, name));
        await app.StartAsync();
        return api;
    }

    /// <summary>Does what the controller does: makes and takes pods until there are as many as asked for.</summary>
    public void Reconcile()
    {
        while (Pods.Count < Replicas)
        {
            string name = _stateful ? $"sfu-{Enumerable.Range(0, 100).First(i => !Pods.ContainsKey($"sfu-{i}"))}" : $"sfu-7d4b9-{++_next}";
            Pods[name] = [];
        }

        while (Pods.Count > Replicas)
        {
            string name = _stateful
                ? Pods.Keys.OrderByDescending(pod => int.Parse(pod[4..], CultureInfo.InvariantCulture)).First()
                : Pods.OrderBy(pod => int.Parse(pod.Value.GetValueOrDefault("controller.kubernetes.io/pod-deletion-cost", "0"), CultureInfo.InvariantCulture)).First().Key;
            Pods.TryRemove(name, out _);
        }
    }

    /// <summary>Somebody else writes the workload.</summary>
    public void Touch() => _version++;

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();

    private async Task<IResult> AnswerAsync(HttpContext http, Func<Task<IResult>> answer)
    {
        Calls.Enqueue($"{http.Request.Method} {http.Request.ContentType}".TrimEnd());
        if (!Failures.TryGetValue(http.Request.Method, out (int Status, int Times) failure) || failure.Times == 0)
            return await answer();

        Failures[http.Request.Method] = (failure.Status, failure.Times - 1);
        if (failure.Status == 0)
            await Task.Delay(Timeout.Infinite, http.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);

        return Problem(failure.Status == 0 ? 500 : failure.Status, "It does not work.");
    }

    private static IResult Problem(int status, string message) => Results.Json(
        new { kind = "Status", apiVersion = "v1", status = "Failure", message, code = status }, statusCode: status);

    private IResult Scale() => Results.Json(new
    {
        kind = "Scale",
        apiVersion = "autoscaling/v1",
        metadata = new { name = "sfu", @namespace = "media", resourceVersion = _version.ToString(CultureInfo.InvariantCulture) },
        spec = new { replicas = Replicas },
        status = new { replicas = Pods.Count, selector = "app=sfu" },
    });

    private async Task<IResult> PatchScaleAsync(HttpContext http)
    {
        JsonNode patch = (await JsonSerializer.DeserializeAsync<JsonNode>(http.Request.Body))!;
        if (patch["metadata"]?["resourceVersion"]?.GetValue<string>() != _version.ToString(CultureInfo.InvariantCulture))
            return Problem(409, "The object has been modified.");

        Replicas = patch["spec"]!["replicas"]!.GetValue<int>();
        _version++;
        return Scale();
    }

    private IResult ListPods(HttpContext http) => http.Request.Query["labelSelector"] != "app=sfu"
        ? Problem(400, "Unknown selector.")
        : Results.Json(new
        {
            kind = "PodList",
            apiVersion = "v1",
            metadata = new { resourceVersion = "1" },
            items = Pods.Select(pod => new
            {
                metadata = new { name = pod.Key, creationTimestamp = "2026-11-22T10:00:00Z", annotations = pod.Value },
                status = new { phase = "Running" },
            }).ToArray(),
        });

    private async Task<IResult> PatchPodAsync(HttpContext http, string name)
    {
        JsonNode patch = (await JsonSerializer.DeserializeAsync<JsonNode>(http.Request.Body))!;
        foreach ((string key, JsonNode? value) in patch["metadata"]!["annotations"]!.AsObject())
            Pods[name][key] = value!.GetValue<string>();

        return Results.Json(new { kind = "Pod", apiVersion = "v1", metadata = new { name } });
    }
}
