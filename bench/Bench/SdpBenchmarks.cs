using BenchmarkDotNet.Attributes;
using Transcribe.Rtc;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Bench;

/// <summary>The signalling part of a join: a new session takes an offer and answers it.</summary>
[MemoryDiagnoser]
public class SdpBenchmarks : IRtcSessionObserver
{
    private readonly DtlsCertificate _certificate = DtlsCertificate.Generate(DateTimeOffset.UtcNow);
    private string _offer = "";

    /// <summary>Receive-only audio and video m-sections each.</summary>
    [Params(1, 8)]
    public int Slots { get; set; }

    [GlobalSetup]
    public void Prepare()
    {
        using RtcSession client = Session(lite: false);
        client.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        client.AddMedia(MediaKind.Video, MediaDirection.SendOnly);
        for (int i = 0; i < Slots; i++)
        {
            client.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
            client.AddMedia(MediaKind.Video, MediaDirection.RecvOnly);
        }

        client.CreateDataChannel(Instant.Zero, "captions");
        _offer = client.CreateOffer(Instant.Zero);
    }

    [GlobalCleanup]
    public void End() => _certificate.Dispose();

    [Benchmark]
    public int Answer()
    {
        using RtcSession server = Session(lite: true);
        if (!server.TrySetRemoteOffer(Instant.Zero, _offer, out string? error))
            throw new InvalidOperationException(error);
        return server.CreateAnswer(Instant.Zero).Length;
    }

    void IRtcSessionObserver.OnSend(in TransportPath path, ReadOnlySpan<byte> datagram)
    {
    }

    void IRtcSessionObserver.OnStateChanged(RtcSessionState state)
    {
    }

    void IRtcSessionObserver.OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival)
    {
    }

    private RtcSession Session(bool lite) =>
        new(new RtcSessionOptions { Certificate = _certificate, DtlsExecutor = DtlsLockStepExecutor.Instance, IceLite = lite }, this);
}
