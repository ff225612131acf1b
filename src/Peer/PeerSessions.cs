using Transcribe.Rtc;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Ice;

namespace Transcribe.Peer;

/// <summary>What all sessions of this process share: one certificate, one bounded set of handshake threads.</summary>
internal static class PeerSessions
{
    private static readonly Lazy<DtlsCertificate> Certificate = new(() => DtlsCertificate.Generate(DateTimeOffset.UtcNow));
    private static readonly Lazy<IDtlsExecutor> Executor = new(() => new DtlsPoolExecutor());

    public static RtcSessionOptions Create(TimeProvider clock, Action wake) => new()
    {
        Certificate = Certificate.Value,
        DtlsExecutor = Executor.Value,
        Wake = wake,

        // A lost media node shows within seconds: there is another one to go to.
        Ice = new IceAgentOptions { ConsentInterval = TimeSpan.FromSeconds(2), DisconnectedAfter = TimeSpan.FromSeconds(5) },
        WallClockAtZero = clock.GetUtcNow() - (Instant.Of(clock) - Instant.Zero),
    };
}
