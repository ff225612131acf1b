using Transcribe.Sfu.Control;

namespace Transcribe.Hosting;

/// <summary>The media roles of the process.</summary>
internal static class Roles
{
    /// <exception cref="ConfigurationException">An option that cannot work.</exception>
    public static void Add(IServiceCollection services, ServeOptions options)
    {
        services.AddSfu(sfu =>
        {
            sfu.NodeId = ServeHost.NodeId;
            sfu.UdpPort = options.UdpPort;
            foreach (string address in options.MediaAddresses)
                sfu.AdvertisedAddresses.Add(address);

            try
            {
                sfu.Validate();
            }
            catch (InvalidOperationException e)
            {
                throw new ConfigurationException(e.Message);
            }
        });
    }
}
