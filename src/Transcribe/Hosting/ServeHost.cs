using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.HttpOverrides;
using Microsoft.Extensions.Logging.Console;
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

    private const int MaxRequestBodyBytes = 1024 * 1024;

    private static readonly TimeSpan ShutdownTimeout = TimeSpan.FromSeconds(10);

    /// <summary>Wires the roles; nothing is bound yet.</summary>
    /// <exception cref="ConfigurationException">Options that cannot be used.</exception>
    public static WebApplication Build(ServeOptions options)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions
        {
            ApplicationName = typeof(ServeHost).Assembly.GetName().Name,
            ContentRootPath = AppContext.BaseDirectory,
        });
        ConfigureLogging(builder, options);
        ConfigureKestrel(builder, options);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = ShutdownTimeout);
        builder.Services.AddSingleton<IIceServers>(new StaticIceServers(options.IceServers));
        builder.Services.AddInProcessCluster(options.Keys);
        Roles.Add(builder.Services, options);
        builder.Services.AddSignaling();
        builder.Services.AddDirector();

        // A TLS proxy on this machine may say what the client asked for; nobody else's word counts (the default known proxies).
        builder.Services.Configure<ForwardedHeadersOptions>(headers =>
            headers.ForwardedHeaders = ForwardedHeaders.XForwardedFor | ForwardedHeaders.XForwardedProto | ForwardedHeaders.XForwardedHost);

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
        foreach (string key in options.Keys.WeakKeys)
        {
            await warnings.WriteLineAsync(
                $"Warning: the secret of API key \"{key}\" (TRANSCRIBE_API_SECRET) is shorter than {ApiKeyRing.RecommendedSecretBytes} bytes, so its tokens can be forged by guessing it. Make a longer one with: openssl rand -hex 32");
        }

        await using WebApplication app = Build(options);
        Ports.Check(options);
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
    public static Uri Url(WebApplication app)
    {
        string bound = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault()
            ?? throw new InvalidOperationException("The host has not been started.");
        var url = new UriBuilder(bound.Replace("//*", "//localhost", StringComparison.Ordinal).Replace("//[::]", "//localhost", StringComparison.Ordinal));
        return url.Uri;
    }

    /// <summary>The UDP ports of media, once the host runs.</summary>
    public static IReadOnlyList<int> UdpPorts(WebApplication app) => app.Services.GetRequiredService<SfuNode>().UdpPorts;

    private static void ConfigureLogging(WebApplicationBuilder builder, ServeOptions options)
    {
        builder.Logging.AddSimpleConsole(console =>
        {
            console.SingleLine = true;
            console.TimestampFormat = "HH:mm:ss.fff ";
            console.ColorBehavior = LoggerColorBehavior.Default;
        });

        // Standard output belongs to the command's own words.
        builder.Services.Configure<ConsoleLoggerOptions>(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Logging.SetMinimumLevel(options.LogLevel);
        builder.Logging.AddFilter("Microsoft", LogLevel.Warning);
        builder.Logging.AddFilter("System", LogLevel.Warning);
    }

    private static void ConfigureKestrel(WebApplicationBuilder builder, ServeOptions options) => builder.WebHost.ConfigureKestrel(kestrel =>
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxRequestBodySize = MaxRequestBodyBytes;
        switch (options.EffectiveHttpAddress)
        {
            case "*":
                kestrel.ListenAnyIP(options.HttpPort);
                break;

            // Kestrel's own "localhost" cannot choose one free port for both families.
            case "localhost" when options.HttpPort != 0:
                kestrel.ListenLocalhost(options.HttpPort);
                break;
            case "localhost":
                kestrel.Listen(IPAddress.Loopback, 0);
                break;
            default:
                kestrel.Listen(IPAddress.Parse(options.EffectiveHttpAddress), options.HttpPort);
                break;
        }
    });

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
