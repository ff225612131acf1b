using System.Net;
using Transcribe.AiGateway;
using Transcribe.Sfu.Control;

namespace Transcribe.Hosting;

/// <summary>The media roles of the process.</summary>
internal static class Roles
{
    /// <exception cref="ConfigurationException">An option that cannot work.</exception>
    public static void Add(IServiceCollection services, ServeOptions options)
    {
        try
        {
            services.AddSfu(sfu =>
            {
                options.Settings.Apply("Sfu", sfu);
                sfu.NodeId = ServeHost.NodeId;
                sfu.UdpPort = options.UdpPort;
                foreach (string address in options.AdvertisedAddresses)
                    sfu.AdvertisedAddresses.Add(address);

                sfu.Validate();
            });
            services.AddAiGateway(gateway => options.Settings.Apply("Gateway", gateway).SignalingUrl = LocalUrl(options));
        }
        catch (InvalidOperationException e)
        {
            throw new ConfigurationException(e.Message);
        }
    }

    /// <summary>Tells the gateway where signalling is, once a free port was taken.</summary>
    public static void OnStarted(WebApplication app, ServeOptions options)
    {
        if (options.HttpPort == 0)
            app.Services.GetRequiredService<AiGatewayOptions>().SignalingUrl = LocalUrl(options with { HttpPort = ServeHost.Url(app).Port });
    }

    /// <summary>The gateway joins over the network path like any client, on an address that Kestrel listens on.</summary>
    private static Uri LocalUrl(ServeOptions options)
    {
        bool own = IPAddress.TryParse(options.EffectiveHttpAddress, out IPAddress? address)
            && !address.Equals(IPAddress.Any) && !address.Equals(IPAddress.IPv6Any);
        return new UriBuilder("http", own ? address!.ToString() : "127.0.0.1", options.HttpPort).Uri;
    }
}
