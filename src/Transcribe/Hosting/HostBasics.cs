using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.HttpOverrides;
using Microsoft.Extensions.Logging.Console;
using Transcribe.Cluster.Tokens;
using Transcribe.Sfu.Control;

namespace Transcribe.Hosting;

/// <summary>What every host of this program has alike.</summary>
internal static class HostBasics
{
    private const int MaxRequestBodyBytes = 1024 * 1024;

    private static readonly TimeSpan ShutdownTimeout = TimeSpan.FromSeconds(10);

    /// <param name="node">Begins every line, where several processes write to one stream; null for none.</param>
    public static void AddBasics(this IHostApplicationBuilder builder, LogLevel level, string? node = null)
    {
        builder.Logging.AddSimpleConsole(console =>
        {
            console.SingleLine = true;
            console.TimestampFormat = node is null ? "HH:mm:ss.fff " : $"'[{node}]' HH:mm:ss.fff ";
            console.ColorBehavior = LoggerColorBehavior.Default;
        });

        // Standard output belongs to the command's own words.
        builder.Services.Configure<ConsoleLoggerOptions>(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Logging.SetMinimumLevel(level);
        builder.Logging.AddFilter("Microsoft", LogLevel.Warning);
        builder.Logging.AddFilter("System", LogLevel.Warning);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = ShutdownTimeout);

        // A TLS proxy on this machine may say what the client asked for; nobody else's word counts (the default known proxies).
        builder.Services.Configure<ForwardedHeadersOptions>(headers =>
            headers.ForwardedHeaders = ForwardedHeaders.XForwardedFor | ForwardedHeaders.XForwardedProto | ForwardedHeaders.XForwardedHost);
    }

    public static WebApplicationBuilder CreateWebBuilder() => WebApplication.CreateSlimBuilder(new WebApplicationOptions
    {
        ApplicationName = typeof(HostBasics).Assembly.GetName().Name,
        ContentRootPath = AppContext.BaseDirectory,
    });

    /// <param name="address">An IP address, "localhost", or "*".</param>
    public static void ConfigureKestrel(this WebApplicationBuilder builder, string address, int port) => builder.WebHost.ConfigureKestrel(kestrel =>
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxRequestBodySize = MaxRequestBodyBytes;
        switch (address)
        {
            case "*":
                kestrel.ListenAnyIP(port);
                break;

            // Kestrel's own "localhost" cannot choose one free port for both families.
            case "localhost" when port != 0:
                kestrel.ListenLocalhost(port);
                break;
            case "localhost":
                kestrel.Listen(IPAddress.Loopback, 0);
                break;
            default:
                kestrel.Listen(IPAddress.Parse(address), port);
                break;
        }
    });

    /// <summary>Of this program, as nodes announce it.</summary>
    public static string Version { get; } = typeof(HostBasics).Assembly.GetName().Version?.ToString(3) ?? "";

    /// <summary>The URL that people of this machine open, once the host runs; null where it serves no HTTP.</summary>
    public static Uri? Url(IServiceProvider services) => Bound(services) is { } bound ? WithHost(bound, "localhost") : null;

    /// <summary>The URL for other machines where none was configured: of the first address of this one, where it listens on all.</summary>
    public static Uri PublicUrl(IServiceProvider services) => WithHost(
        Bound(services) ?? throw new InvalidOperationException("The host has not been started."),
        AdvertisedCandidates.LocalAddresses().FirstOrDefault(a => a.AddressFamily == AddressFamily.InterNetwork)?.ToString() ?? "127.0.0.1");

    public static async Task WarnOfWeakKeysAsync(ApiKeyRing keys, TextWriter warnings)
    {
        foreach (string key in keys.WeakKeys)
        {
            await warnings.WriteLineAsync(
                $"Warning: the secret of API key \"{key}\" (TRANSCRIBE_API_SECRET) is shorter than {ApiKeyRing.RecommendedSecretBytes} bytes, so its tokens can be forged by guessing it. Make a longer one with: openssl rand -hex 32");
        }
    }

    private static string? Bound(IServiceProvider services) =>
        services.GetService<IServer>()?.Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault();

    private static Uri WithHost(string bound, string insteadOfAll) => new UriBuilder(
        bound.Replace("//*", $"//{insteadOfAll}", StringComparison.Ordinal).Replace("//[::]", $"//{insteadOfAll}", StringComparison.Ordinal)).Uri;
}
