using System.Net.Sockets;
using Transcribe.AiGateway;
using Transcribe.Cluster;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Director;
using Transcribe.Director.Http;
using Transcribe.Director.Provisioning;
using Transcribe.Sfu.Control;
using Transcribe.Signaling;

namespace Transcribe.Hosting;

/// <summary>One role of a cluster in this process: <c>transcribe director|signaling|sfu|gateway</c>.</summary>
public static class RoleHost
{
    /// <summary>Wires the role; nothing is bound and nobody is spoken to yet.</summary>
    /// <exception cref="ConfigurationException">Options that cannot be used.</exception>
    public static IHost Build(RoleOptions options)
    {
        try
        {
            if (options.HttpPort is not { } port)
            {
                HostApplicationBuilder plain = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ContentRootPath = AppContext.BaseDirectory });
                plain.AddBasics(options.LogLevel, options.LogsNode ? options.NodeId : null);
                AddRole(plain.Services, options);
                return plain.Build();
            }

            WebApplicationBuilder web = HostBasics.CreateWebBuilder();
            web.AddBasics(options.LogLevel, options.LogsNode ? options.NodeId : null);
            web.ConfigureKestrel(options.EffectiveHttpAddress, port);
            web.Services.AddProblemPages();
            AddRole(web.Services, options);
            WebApplication app = web.Build();
            app.UseForwardedHeaders();
            app.UseProblemPages();
            app.UseSecurityHeaders(hubsElsewhere: true);
            app.UseRouting();
            if (options.ServesClients)
                app.UseCors();
            MapRole(app, options);
            return app;
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            throw new ConfigurationException(e.Message);
        }
    }

    /// <summary>Runs until the token, Ctrl-C, SIGTERM, or the end of standard input where the options say so; says on <paramref name="output"/>, in one line, where it is.</summary>
    /// <exception cref="ConfigurationException">Options that cannot be used, or a port that is taken.</exception>
    public static async Task RunAsync(
        RoleOptions options, TextWriter output, TextWriter warnings, CancellationToken cancellationToken = default)
    {
        if (options.StopsAtEndOfInput)
        {
            // Not disposed: standard input may end at any time until the process does.
            var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            Lifeline.Watch(ending.Cancel);
            cancellationToken = ending.Token;
        }

        if (options.Keys is { } keys)
            await HostBasics.WarnOfWeakKeysAsync(keys, warnings);
        using IHost host = Build(options);
        Ports.Check(options.EffectiveHttpAddress, options.HttpPort, options.Role == NodeRole.Sfu ? options.UdpPort : null);
        try
        {
            await host.StartAsync(cancellationToken);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            throw new ConfigurationException($"TRANSCRIBE_HTTP_PORT is {options.HttpPort}, and it cannot be bound: {e.Message.TrimEnd('.')}. Set another port.");
        }

        await output.WriteLineAsync(Banner(host, options));
        await output.FlushAsync(cancellationToken);
        await host.WaitForShutdownAsync(cancellationToken);
    }

    /// <summary>"sfu node sfu-1 (region local) is up, media on UDP 7882".</summary>
    internal static string Banner(IHost host, RoleOptions options)
    {
        string node = options.LogsNode ? $"[{options.NodeId}] " : "";
        string at = HostBasics.Url(host.Services) is { } url ? $", HTTP at {url}" : "";
        string media = options.Role == NodeRole.Sfu ? $", media on UDP {string.Join(", ", host.Services.GetRequiredService<SfuNode>().UdpPorts)}" : "";
        return $"{node}{options.Role.ToString().ToLowerInvariant()} node {options.NodeId} (region {options.Region}) is up{at}{media}";
    }

    private static void AddRole(IServiceCollection services, RoleOptions options)
    {
        services.AddSingleton<IIceServers>(new StaticIceServers(options.IceServers));
        ClusterWiring.Add(services, options);
        switch (options.Role)
        {
            case NodeRole.Director:
                services.AddDirector(options.Settings.Apply("Director", new DirectorOptions()));
                foreach (KeyValuePair<string, string> variable in options.Settings.Variables("Sfu"))
                    options.Provisioning.NodeEnvironment.TryAdd(variable.Key, variable.Value);
                services.AddProvisioning(options.Provisioning);
                break;
            case NodeRole.Signaling:
                SignalingOptions signaling = options.Settings.Apply("Signaling", new SignalingOptions());
                (signaling.NodeId, signaling.Region) = (options.NodeId, options.Region);
                services.AddSignaling(signaling);
                services.AddCors();
                break;
            case NodeRole.Sfu:
                services.AddSfu(sfu =>
                {
                    options.Settings.Apply("Sfu", sfu);
                    sfu.NodeId = options.NodeId;
                    sfu.Region = options.Region;
                    sfu.UdpPort = options.UdpPort;
                    foreach (string address in options.AdvertisedAddresses)
                        sfu.AdvertisedAddresses.Add(address);
                    if (options.MaxSessions is { } most)
                        sfu.Limits.MaxSessions = most;
                    sfu.Relay.MaxRelaysPerTrack = options.RelayFanOut ?? sfu.Relay.MaxRelaysPerTrack;
                    sfu.Validate();
                });
                break;
            case NodeRole.Gateway:
                services.AddAiGateway(gateway =>
                {
                    options.Settings.Apply("Gateway", gateway);
                    (gateway.Node, gateway.Region) = (options.NodeId, options.Region);
                    gateway.Capacity = options.MaxSessions ?? gateway.Capacity;
                });
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(options), options.Role, "There is no such role.");
        }
    }

    private static void MapRole(WebApplication app, RoleOptions options)
    {
        if (options.Role == NodeRole.Director)
        {
            app.UseMeetingPage(MeetingPage.Find(options.PagePath));
            app.MapDirector();
            return;
        }

        if (options.Role == NodeRole.Signaling)
            app.MapSignaling();
        app.MapRoleHealth(options.Role);
    }
}
