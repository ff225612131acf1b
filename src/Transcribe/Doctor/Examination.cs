using System.Net;
using System.Net.Sockets;
using Transcribe.AiGateway.Models;
using Transcribe.AiGateway.Native;
using Transcribe.AiGateway.Recognition;
using Transcribe.Hosting;

namespace Transcribe.Doctor;

/// <summary>Looks at this machine for everything the product needs; each check is one method and one finding.</summary>
internal static class Examination
{
    public static async Task<IReadOnlyList<Finding>> RunAsync(CancellationToken cancellationToken)
    {
        ServeOptions? options = null;
        var findings = new List<Finding> { Configuration(ref options) };
        findings.AddRange([Runtime(), Opus(), PocketSphinx(), Whisper(), VoiceActivity(), Page(options)]);
        findings.Add(await PortAsync("HTTP port", options?.HttpPort ?? 8080, ProtocolType.Tcp, "TRANSCRIBE_HTTP_PORT"));
        findings.Add(await PortAsync("UDP port", options?.UdpPort ?? 7882, ProtocolType.Udp, "TRANSCRIBE_UDP_PORT"));
        findings.Add(SocketBuffers());
        cancellationToken.ThrowIfCancellationRequested();
        return findings;
    }

    private static Finding Configuration(ref ServeOptions? options)
    {
        try
        {
            options = ServeOptions.FromEnvironment();
            return new("Configuration", Severity.Fine, "the TRANSCRIBE_* variables make sense");
        }
        catch (ConfigurationException e)
        {
            return new("Configuration", Severity.Broken, e.Message);
        }
    }

    private static Finding Runtime() =>
        new(".NET", Severity.Fine, System.Runtime.InteropServices.RuntimeInformation.FrameworkDescription);

    private static Finding Opus() => NativeLibraries.IsPresent(NativeLibraries.Opus)
        ? new("libopus", Severity.Fine, "found")
        : new("libopus", Severity.Broken, "libopus.so.0 is missing: no audio can be decoded for captions", "apt-get install libopus0");

    private static Finding PocketSphinx() => PocketSphinxRecognizer.TryFind(new PocketSphinxOptions(), out string? problem)
        ? new("pocketsphinx", Severity.Fine, "found, with its US English model")
        : new("pocketsphinx", Severity.Limited, $"{problem} Without it and without a Whisper model there are no captions.", "apt-get install libpocketsphinx3 pocketsphinx-en-us");

    private static Finding Whisper()
    {
        if (WhisperLibrary.Find() is null)
            return new("whisper.cpp", Severity.Limited, "the native library is not built: captions come from pocketsphinx", "src/AiGateway/Native/build-whisper.sh (a minute; needs npm, cmake and g++)");
        using var http = new HttpClient();
        var manager = new ModelManager(http, ModelManagerOptions.FromEnvironment(), TimeProvider.System);
        string[] here = [.. ModelManifest.BuiltIn.Models.Where(m => manager.Find(m) is not null).Select(m => m.Name)];
        return here.Length > 0
            ? new("whisper.cpp", Severity.Fine, $"found, with {string.Join(", ", here)}")
            : new("whisper.cpp", Severity.Limited, "found, but there is no model: it is downloaded when transcription is first switched on, or by hand", "transcribe models fetch base.en");
    }

    private static Finding VoiceActivity() => File.Exists(Path.Combine(ModelManagerOptions.FromEnvironment().Directory, "silero_vad_v5.onnx"))
        ? new("Voice activity", Severity.Fine, "Silero")
        : new("Voice activity", Severity.Limited, "the Silero model is missing: a simpler energy detector is used", "models/fetch-silero.sh");

    private static Finding Page(ServeOptions? options)
    {
        return MeetingPage.Find(options?.PagePath) is { } path
            ? new("Meeting page", Severity.Fine, path)
            : new("Meeting page", Severity.Limited, "not built: the API and SDK work, the page does not", "npm ci && npm run build in src/Client (./run does it)");
    }

    private static async Task<Finding> PortAsync(string subject, int port, ProtocolType protocol, string variable)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, protocol == ProtocolType.Tcp ? SocketType.Stream : SocketType.Dgram, protocol);
        try
        {
            socket.Bind(new IPEndPoint(IPAddress.Any, port));
            return new(subject, Severity.Fine, $"{port} is free");
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            return protocol == ProtocolType.Tcp && await IsTranscribeAsync(port)
                ? new(subject, Severity.Fine, $"{port} is served by Transcribe")
                : new(subject, Severity.Limited, $"{port} is in use", $"stop what uses it, or choose another with {variable}");
        }
        catch (SocketException e)
        {
            return new(subject, Severity.Broken, $"{port} cannot be opened: {e.Message}", $"choose another with {variable}");
        }
    }

    private static async Task<bool> IsTranscribeAsync(int port)
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(2) };
        try
        {
            using HttpResponseMessage response = await http.GetAsync(new Uri($"http://127.0.0.1:{port}/healthz"));
            return response.IsSuccessStatusCode;
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            return false;
        }
    }

    private static Finding SocketBuffers()
    {
        const string Path = "/proc/sys/net/core/rmem_max";
        if (!File.Exists(Path) || !long.TryParse(File.ReadAllText(Path), out long bytes))
            return new("Socket buffers", Severity.Fine, "this system has no such limit to read");
        return bytes >= 2_000_000
            ? new("Socket buffers", Severity.Fine, $"rmem_max is {bytes / 1024} KiB")
            : new("Socket buffers", Severity.Limited, $"rmem_max is {bytes / 1024} KiB: bursts of video may be lost in the kernel", "sysctl -w net.core.rmem_max=8388608");
    }
}
