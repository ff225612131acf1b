using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.SignalR.Client;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Tokens;
using Transcribe.Hosting;

namespace Transcribe.EndToEnd.Tests.Support;

/// <summary>`transcribe serve` inside the test's process, so that its meters can be read.</summary>
public sealed class HostedServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ApiKeyRing _keys;

    private HostedServer(WebApplication app, ApiKeyRing keys)
    {
        (_app, _keys) = (app, keys);
        UdpPort = ServeHost.UdpPorts(app)[0];
        Url = ServeHost.Url(app);
    }

    public Uri Url { get; }

    public int UdpPort { get; }

    public static async Task<HostedServer> StartAsync()
    {
        var keys = new ApiKeyRing([new ApiKey("badkey", "fedcba9876543210fedcba9876543210fedcba9876543210")]);
        var options = new ServeOptions
        {
            Keys = keys,
            HttpAddress = "127.0.0.1",
            HttpPort = 0,
            UdpPort = 0,
            AdvertisedAddresses = ["127.0.0.1"],
            LogLevel = LogLevel.Warning,
        };
        WebApplication app = ServeHost.Build(options);
        await app.StartAsync();
        return new HostedServer(app, keys);
    }

    public string Token(string room, string participant, Grants? grants = null, TimeSpan? timeToLive = null, TimeProvider? clock = null) =>
        new AccessTokenMinter(_keys, clock ?? TimeProvider.System)
            .Mint(room, participant, grants ?? new Grants { Publish = true, Subscribe = true, PublishData = true }, timeToLive: timeToLive);

    public IServiceProvider Services => _app.Services;

    public string BasicCredentials => Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes($"{_keys.Signing.Key}:{_keys.Signing.Secret}"));

    public string ApiKey => _keys.Signing.Key;

    /// <summary>A bare connection to the hub, to send what no client would.</summary>
    public async Task<HubConnection> ConnectAsync()
    {
        HubConnection hub = new HubConnectionBuilder()
            .WithUrl(new Uri(Url, HubMethods.Path))
            .AddJsonProtocol(json => ClusterJson.Configure(json.PayloadSerializerOptions))
            .Build();
        await hub.StartAsync();
        return hub;
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
    }
}

/// <summary>The SFU's counters, read as an exporter reads them.</summary>
internal sealed class MeterReader : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly Lock _gate = new();
    private readonly Dictionary<string, long> _values = new(StringComparer.Ordinal);

    public MeterReader(string meter)
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == meter)
                listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            string name = instrument.Name;
            foreach ((string key, object? tag) in tags)
            {
                if (key == "reason")
                    name += $"/{tag}";
            }

            _values[name] = _values.GetValueOrDefault(name) + value;
        });
        _listener.Start();
    }

    /// <summary>Values now by instrument, or "instrument/reason"; summed over the workers.</summary>
    public IReadOnlyDictionary<string, long> Read()
    {
        lock (_gate)
        {
            _values.Clear();
            _listener.RecordObservableInstruments();
            return new Dictionary<string, long>(_values, StringComparer.Ordinal);
        }
    }

    public void Dispose() => _listener.Dispose();
}

/// <summary>What signalling and the HTTP API have refused so far, as "surface/code".</summary>
internal sealed class RefusalReader : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly ConcurrentDictionary<string, long> _counts = new(StringComparer.Ordinal);

    public RefusalReader()
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == Refusals.MeterName)
                listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<long>((_, value, tags, _) =>
        {
            string[] parts = ["", ""];
            foreach ((string key, object? tag) in tags)
                parts[key == "surface" ? 0 : 1] = $"{tag}";
            _counts.AddOrUpdate(string.Join('/', parts), value, (_, sum) => sum + value);
        });
        _listener.Start();
    }

    /// <summary>Refusals with this code on one surface ("hub", "whip", "api"), or on all.</summary>
    public long Count(string? surface, string code) =>
        _counts.Where(c => c.Key.EndsWith($"/{code}", StringComparison.Ordinal) && (surface is null || c.Key.StartsWith($"{surface}/", StringComparison.Ordinal))).Sum(c => c.Value);

    public void Dispose() => _listener.Dispose();
}
