using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Dtls;

/// <summary>
/// Runs a handshake within the process, so that the first real one does not pay for compiling and table building
/// (some 60 to 90 ms). Call once at start-up, off the media threads.
/// </summary>
public static class DtlsWarmup
{
    /// <summary>Returns whether the handshake came to its end.</summary>
    public static bool Run()
    {
        using DtlsCertificate certificate = DtlsCertificate.Generate(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
        DtlsTransportOptions options = new() { Certificate = certificate, Executor = DtlsLockStepExecutor.Instance };
        Side a = new();
        Side b = new();
        using DtlsTransport client = new(options, a);
        using DtlsTransport server = new(options, b);
        server.Start(Instant.Zero, DtlsRole.Server, [certificate.Fingerprint]);
        client.Start(Instant.Zero, DtlsRole.Client, [certificate.Fingerprint]);
        bool moved = true;
        while (moved)
            moved = Deliver(a, server) | Deliver(b, client);
        client.Send(Instant.Zero, [1]);
        Deliver(a, server);
        return client.State == DtlsState.Connected && server.State == DtlsState.Connected && b.Data > 0;
    }

    private static bool Deliver(Side from, DtlsTransport to)
    {
        bool any = false;
        while (from.Sent.TryDequeue(out byte[]? datagram))
        {
            to.Receive(Instant.Zero, datagram);
            any = true;
        }

        return any;
    }

    private sealed class Side : IDtlsObserver
    {
        public Queue<byte[]> Sent { get; } = new();

        public int Data { get; private set; }

        public void OnDtlsSend(ReadOnlySpan<byte> datagram) => Sent.Enqueue(datagram.ToArray());

        public void OnDtlsConnected(SrtpKeyingMaterial keys)
        {
        }

        public void OnDtlsData(ReadOnlySpan<byte> data) => Data++;

        public void OnDtlsClosed(DtlsCloseReason reason)
        {
        }
    }
}
