using Transcribe.Rtc;
using Transcribe.Rtc.Dtls;

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
        WallClockAtZero = clock.GetUtcNow() - (Instant.Of(clock) - Instant.Zero),
    };
}
