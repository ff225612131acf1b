using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Tests.Dtls;

/// <summary>Against the openssl program over loopback sockets, on the real clock.</summary>
public sealed class OpenSslInteropTests : IDisposable
{
    private const string Profiles = "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80";

    private readonly string _directory = Directory.CreateTempSubdirectory("dtls").FullName;
    private readonly StringBuilder _output = new();
    private readonly DtlsFingerprint _fingerprint;
    private Process? _process;
    private IPEndPoint? _peer;

    public OpenSslInteropTests()
    {
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = new("CN=openssl", key, HashAlgorithmName.SHA256);
        using X509Certificate2 certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        File.WriteAllText(Path.Combine(_directory, "cert.pem"), certificate.ExportCertificatePem());
        File.WriteAllText(Path.Combine(_directory, "key.pem"), key.ExportPkcs8PrivateKeyPem());
        _fingerprint = DtlsFingerprint.Sha256(certificate.RawData);
    }

    [Theory]
    [InlineData(SrtpProfile.AeadAes128Gcm)]
    [InlineData(SrtpProfile.Aes128CmHmacSha1Tag80)]
    public void Our_server_talks_to_an_openssl_client(SrtpProfile profile)
    {
        using UdpClient socket = new(new IPEndPoint(IPAddress.Loopback, 0));
        int port = ((IPEndPoint)socket.Client.LocalEndPoint!).Port;
        DtlsEnd end = new(DtlsPair.ServerCertificate, o => o with { SrtpProfiles = [profile] });
        end.Transport.Start(Now(), DtlsRole.Server, [_fingerprint]);
        StartOpenSsl($"s_client -dtls1_2 -connect 127.0.0.1:{port} -use_srtp {Profiles} -keymatexport EXTRACTOR-dtls_srtp -keymatexportlen {SrtpKeyingMaterial.ExportLength(profile)}");
        Drive(end, socket, null, profile, clientIsUs: false);
    }

    [Theory]
    [InlineData(SrtpProfile.AeadAes128Gcm, "")]
    [InlineData(SrtpProfile.Aes128CmHmacSha1Tag80, "")]
    [InlineData(SrtpProfile.AeadAes128Gcm, "-listen")] // with HelloVerifyRequest
    public void Our_client_talks_to_an_openssl_server(SrtpProfile profile, string more)
    {
        using UdpClient socket = new(new IPEndPoint(IPAddress.Loopback, 0));
        int port;
        using (UdpClient free = new(new IPEndPoint(IPAddress.Loopback, 0)))
            port = ((IPEndPoint)free.Client.LocalEndPoint!).Port;
        StartOpenSsl($"s_server -dtls1_2 -accept 127.0.0.1:{port} -Verify 1 {more} -use_srtp {Profiles} -keymatexport EXTRACTOR-dtls_srtp -keymatexportlen {SrtpKeyingMaterial.ExportLength(profile)}");
        DtlsEnd end = new(DtlsPair.ClientCertificate, o => o with { SrtpProfiles = [profile] });
        end.Transport.Start(Now(), DtlsRole.Client, [_fingerprint]);
        Drive(end, socket, new IPEndPoint(IPAddress.Loopback, port), profile, clientIsUs: true);
    }

    public void Dispose()
    {
        if (_process is { HasExited: false })
            _process.Kill();
        _process?.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    private static Instant Now() => Instant.Of(TimeProvider.System);

    private void Drive(DtlsEnd end, UdpClient socket, IPEndPoint? peer, SrtpProfile profile, bool clientIsUs)
    {
        socket.Client.ReceiveTimeout = 20;
        _peer = peer;
        end.OnSend = bytes =>
        {
            if (_peer is not null)
                socket.Send(bytes, _peer);
        };
        Pump(end, socket, () => end.Transport.State != DtlsState.Connecting);
        Assert.True(end.Transport.State == DtlsState.Connected, $"{end.Transport.CloseReason} {end.Transport.FailureDetail}\n{Output()}");
        Assert.Equal(profile, end.Keys!.Profile);

        // openssl prints the exporter's output: the same keys as ours.
        Pump(end, socket, () => Output().Contains("Keying material:", StringComparison.Ordinal));
        string line = Output().Split('\n').First(text => text.Contains("Keying material:", StringComparison.Ordinal));
        byte[] exported = Convert.FromHexString(line.Split(':')[1].Trim());
        SrtpKeyingMaterial theirs = SrtpKeyingMaterial.FromExporter(profile, exported, isClient: !clientIsUs);
        Assert.Equal(theirs.LocalMasterKey, end.Keys.RemoteMasterKey);
        Assert.Equal(theirs.RemoteMasterSalt, end.Keys.LocalMasterSalt);

        Assert.True(end.Transport.Send(Now(), "hello from here\n"u8));
        _process!.StandardInput.WriteLine("hello from there");
        _process.StandardInput.Flush();
        Pump(end, socket, () => end.Data.Count > 0 && Output().Contains("hello from here", StringComparison.Ordinal));
        Assert.Equal("hello from there\n", Encoding.ASCII.GetString(end.Data[0]));
        end.Transport.Close(Now());
    }

    private void Pump(DtlsEnd end, UdpClient socket, Func<bool> until)
    {
        long giveUp = Environment.TickCount64 + 20_000;
        while (!until())
        {
            Assert.True(Environment.TickCount64 < giveUp, $"nothing more came\n{end.Transport.State} {end.Transport.FailureDetail}\n{Output()}");
            try
            {
                IPEndPoint from = new(IPAddress.Any, 0);
                byte[] bytes = socket.Receive(ref from!);
                _peer ??= from;
                end.Transport.Receive(Now(), bytes);
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.TimedOut or SocketError.ConnectionRefused)
            {
                // A refused datagram: openssl does not listen yet; the retransmission reaches it.
            }

            if (end.Transport.NextTimeout <= Now())
                end.Transport.HandleTimeout(Now());
        }
    }

    private void StartOpenSsl(string arguments)
    {
        ProcessStartInfo start = new("openssl", $"{arguments} -cert cert.pem -key key.pem")
        {
            WorkingDirectory = _directory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        try
        {
            _process = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip("openssl is not installed");
        }

        _process.OutputDataReceived += (_, line) => Append(line.Data);
        _process.ErrorDataReceived += (_, line) => Append(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    private void Append(string? line)
    {
        lock (_output)
            _output.Append(line).Append('\n');
    }

    private string Output()
    {
        lock (_output)
            return _output.ToString();
    }
}
