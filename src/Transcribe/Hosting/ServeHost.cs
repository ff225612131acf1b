using System.Net.Sockets;
using Transcribe.Cluster;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Tokens;
using Transcribe.Director;
using Transcribe.Director.Http;
using Transcribe.Sfu.Control;
using Transcribe.Signaling;

namespace Transcribe.Hosting;

/// <summary>All roles in one process: <c>transcribe serve</c>.</summary>
public static class ServeHost
{
    /// <summary>Name of the one SFU node.</summary>
    public const string NodeId = "n1";

    /// <summary>Wires the roles; nothing is bound yet.</summary>
    /// <exception cref="ConfigurationException">Options that cannot be used.</exception>
    public static WebApplication Build(ServeOptions options)
    {
        WebApplicationBuilder builder = HostBasics.CreateWebBuilder();
        builder.AddBasics(options.LogLevel);
        builder.ConfigureKestrel(options.EffectiveHttpAddress, options.HttpPort);
        builder.Services.AddSingleton<IIceServers>(new StaticIceServers(options.IceServers));
        builder.Services.AddInProcessCluster(options.Keys);
        Roles.Add(builder.Services, options);
        try
        {
            builder.Services.AddSignaling(options.Settings.Apply("Signaling", new SignalingOptions()));
            builder.Services.AddDirector(options.Settings.Apply("Director", new DirectorOptions()));
        }
        catch (ArgumentException e)
        {
            throw new ConfigurationException(e.Message);
        }

        WebApplication app = builder.Build();
        app.UseForwardedHeaders();
        app.UseProblemPages();
        app.UseSecurityHeaders();
        app.UseRouting();
        app.UseCors();
        app.UseMeetingPage(MeetingPage.Find(options.PagePath));
        app.MapSignaling();
        app.MapDirector();
        app.Lifetime.ApplicationStarted.Register(() => Roles.OnStarted(app, options));
        return app;
    }

    /// <summary>
    /// Runs until the token, Ctrl-C or SIGTERM; says on <paramref name="output"/> where it is, and on
    /// <paramref name="warnings"/> what had better be changed.
    /// </summary>
    /// <exception cref="ConfigurationException">Options that cannot be used, or a port that is taken.</exception>
    public static async Task RunAsync(
        ServeOptions options, TextWriter output, TextWriter warnings, CancellationToken cancellationToken = default)
    {
        await HostBasics.WarnOfWeakKeysAsync(options.Keys, warnings);
        await using WebApplication app = Build(options);
        Ports.Check(options.EffectiveHttpAddress, options.HttpPort, options.UdpPort);
        try
        {
            await app.StartAsync(cancellationToken);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            throw new ConfigurationException(
                $"TRANSCRIBE_HTTP_PORT is {options.HttpPort} and TRANSCRIBE_UDP_PORT is {options.UdpPort}, and one of them cannot be bound: {e.Message.TrimEnd('.')}. Set another port.");
        }

        await WriteBannerAsync(app, options, output);
        await app.WaitForShutdownAsync(cancellationToken);
    }

    /// <summary>The URL that people open, once the host runs.</summary>
    public static Uri Url(WebApplication app) => HostBasics.Url(app.Services) ?? throw new InvalidOperationException("The host has not been started.");

    /// <summary>The UDP ports of media, once the host runs.</summary>
    public static IReadOnlyList<int> UdpPorts(WebApplication app) => app.Services.GetRequiredService<SfuNode>().UdpPorts;

    private static async Task WriteBannerAsync(WebApplication app, ServeOptions options, TextWriter output)
    {
        Uri url = Url(app);
        await output.WriteLineAsync($"Transcribe is at {url} (reference of its API: {new Uri(url, "docs")})");
        await output.WriteLineAsync($"Media is on UDP {string.Join(", ", UdpPorts(app))}");
        if (MeetingPage.Find(options.PagePath) is null)
            await output.WriteLineAsync("The meeting page is not built: run ./run, or npm ci && npm run build in src/Client.");

        if (options.Keys.IsDevelopment)
        {
            await output.WriteLineAsync("Development key, made up for this run (set TRANSCRIBE_API_KEY and TRANSCRIBE_API_SECRET for your own):");
            await output.WriteLineAsync($"  TRANSCRIBE_API_KEY={options.Keys.Signing.Key}");
            await output.WriteLineAsync($"  TRANSCRIBE_API_SECRET={options.Keys.Signing.Secret}");
        }

        await output.FlushAsync();
    }
}
