using Transcribe.AiGateway;
using Transcribe.Sfu.Control;

namespace Transcribe.Hosting;

/// <summary>The media roles of the process.</summary>
internal static class Roles
{
    public static void Add(IServiceCollection services, ServeOptions options)
    {
        services.AddSfu(sfu =>
        {
            sfu.NodeId = ServeHost.NodeId;
            sfu.UdpPort = options.UdpPort;
            foreach (string address in options.AdvertisedAddresses)
                sfu.AdvertisedAddresses.Add(address);
        });
        services.AddAiGateway(gateway => gateway.SignalingUrl = new Uri($"http://127.0.0.1:{options.HttpPort}"));
    }
}
