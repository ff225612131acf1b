using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Transcribe.AiGateway.Audio;
using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Models;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Subscriber;
using Transcribe.AiGateway.Takeover;
using Transcribe.AiGateway.Vad;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Transcripts;

namespace Transcribe.AiGateway;

public static class AiGatewayServices
{
    /// <summary>The gateway role. Needs the cluster services (bus, leases, room directory, transcripts, token minter).</summary>
    /// <exception cref="InvalidOperationException">The options are wrong; the message says which and how to fix them.</exception>
    public static IServiceCollection AddAiGateway(this IServiceCollection services, Action<AiGatewayOptions>? configure = null)
    {
        var options = new AiGatewayOptions();
        configure?.Invoke(options);
        string[] problems = [.. options.Validate()];
        if (problems.Length > 0)
            throw new InvalidOperationException(string.Join(Environment.NewLine, problems));

        services.AddSingleton(options);
        services.AddSingleton(provider => new GatewayMetrics(provider.GetService<IMeterFactory>()));
        services.AddSingleton(provider => new ModelManager(CreateHttpClient(), options.Models, provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton(provider => new RecognizerProvider(
            options.Recognizers, provider.GetRequiredService<ModelManager>(), provider.GetRequiredService<ILogger<RecognizerProvider>>()));
        services.AddSingleton<IVoiceActivityDetectorFactory>(_ => options.CreateVad());
        services.AddSingleton(provider => new CaptionWorkers(options.Workers, provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton<IRoomConnector, PeerRoomConnector>();
        services.AddSingleton<ITrackHistories, TrackHistories>();
        services.AddSingleton(provider => new TranscriptBacklog(
            provider.GetRequiredService<ITranscriptStore>(), provider.GetRequiredService<GatewayMetrics>(), provider.GetRequiredService<TimeProvider>(),
            CreateLogger(provider)));
        services.AddSingleton(provider => new GatewayCluster(
            provider.GetRequiredService<IRoomDirectory>(), provider.GetRequiredService<IMessageBus>(), provider.GetRequiredService<ILeaseStore>(),
            provider.GetRequiredService<INodeDirectory>(), provider.GetRequiredService<IClusterConnection>(), provider.GetRequiredService<NodeHeartbeat>(),
            provider.GetRequiredService<NodeWatcher>(), provider.GetRequiredService<NodeStandings>()[NodeRole.Gateway]));
        services.AddSingleton(provider => new TranscriberServices(
            provider.GetRequiredService<IRoomConnector>(), provider.GetRequiredService<CaptionWorkers>(),
            provider.GetRequiredService<IVoiceActivityDetectorFactory>(), () => new OpusDecoder(), provider.GetRequiredService<ITranscriptStore>(),
            provider.GetRequiredService<TranscriptBacklog>(), provider.GetRequiredService<ITrackHistories>(),
            provider.GetRequiredService<GatewayMetrics>(), provider.GetRequiredService<TimeProvider>(), CreateLogger(provider)));
        services.AddHostedService<GatewayService>();
        return services;
    }

    private static ILogger CreateLogger(IServiceProvider provider) => provider.GetRequiredService<ILoggerFactory>().CreateLogger("Transcribe.AiGateway");

    // Models are large and the manager has its own time-outs, by stall and not by duration.
    private static HttpClient CreateHttpClient() =>
        new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(5) }) { Timeout = Timeout.InfiniteTimeSpan };
}
