using System.CommandLine;
using Transcribe.Hosting;

namespace Transcribe.Commands;

internal static class ServeCommand
{
    public static Command Create()
    {
        var http = new Option<int?>("--http-port") { Description = "HTTP port: page, API, signalling. Default 8080 (TRANSCRIBE_HTTP_PORT)." };
        var udp = new Option<int?>("--udp-port") { Description = "UDP port for media. Default 7882 (TRANSCRIBE_UDP_PORT)." };
        var command = new Command("serve", "Runs every role in one process: page, API, signalling, SFU, AI gateway.") { http, udp };
        command.SetAction(async (arguments, cancellationToken) =>
        {
            ServeOptions options = ServeOptions.FromEnvironment();
            options = options with
            {
                HttpPort = arguments.GetValue(http) ?? options.HttpPort,
                UdpPort = arguments.GetValue(udp) ?? options.UdpPort,
            };
            await ServeHost.RunAsync(options, Console.Out, Console.Error, cancellationToken);
            return ExitStatus.Ok;
        });
        return command;
    }
}
