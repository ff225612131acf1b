using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Srtp;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Dtls;

/// <summary>One end of a simulated association that writes down what happens to it.</summary>
internal sealed class DtlsEnd : IDtlsObserver
{
    public static readonly DateTimeOffset Date = new(2026, 11, 23, 0, 0, 0, TimeSpan.Zero);

    public DtlsEnd(DtlsCertificate certificate, Func<DtlsTransportOptions, DtlsTransportOptions>? configure = null)
    {
        DtlsTransportOptions options = new() { Certificate = certificate, Executor = DtlsLockStepExecutor.Instance };
        Transport = new DtlsTransport(configure?.Invoke(options) ?? options, this);
    }

    public DtlsTransport Transport { get; }

    public Action<byte[]> OnSend { get; set; } = _ => { };

    public SrtpKeyingMaterial? Keys { get; private set; }

    public List<byte[]> Data { get; } = [];

    public List<DtlsCloseReason> Closed { get; } = [];

    public int LargestDatagram { get; private set; }

    public void OnDtlsSend(ReadOnlySpan<byte> datagram)
    {
        LargestDatagram = Math.Max(LargestDatagram, datagram.Length);
        OnSend(datagram.ToArray());
    }

    public void OnDtlsConnected(SrtpKeyingMaterial keys) => Keys = keys;

    public void OnDtlsData(ReadOnlySpan<byte> data) => Data.Add(data.ToArray());

    public void OnDtlsClosed(DtlsCloseReason reason) => Closed.Add(reason);
}

/// <summary>A client and a server over two simulated links on a virtual clock.</summary>
internal sealed class DtlsPair : IDisposable
{
    public static readonly DtlsCertificate ClientCertificate = DtlsCertificate.Generate(DtlsEnd.Date);
    public static readonly DtlsCertificate ServerCertificate = DtlsCertificate.Generate(DtlsEnd.Date);

    private readonly VirtualLink _toServer;
    private readonly VirtualLink _toClient;

    public DtlsPair(
        LinkConditions? conditions = null,
        int seed = 1,
        Func<DtlsTransportOptions, DtlsTransportOptions>? client = null,
        Func<DtlsTransportOptions, DtlsTransportOptions>? server = null)
    {
        _toServer = new(conditions ?? LinkConditions.Perfect, seed);
        _toClient = new(conditions ?? LinkConditions.Perfect, seed + 1000);
        Client = new DtlsEnd(ClientCertificate, client);
        Server = new DtlsEnd(ServerCertificate, server);
        Client.OnSend = bytes =>
        {
            if (ToServerFilter(bytes))
                _toServer.Send(Now, default, bytes);
        };
        Server.OnSend = bytes =>
        {
            if (ToClientFilter(bytes))
                _toClient.Send(Now, default, bytes);
        };
    }

    public Instant Now { get; private set; } = Instant.Zero + TimeSpan.FromSeconds(5);

    public DtlsEnd Client { get; }

    public DtlsEnd Server { get; }

    /// <summary>False loses the datagram.</summary>
    public Func<byte[], bool> ToServerFilter { get; set; } = _ => true;

    public Func<byte[], bool> ToClientFilter { get; set; } = _ => true;

    public bool Connected =>
        Client.Transport.State == DtlsState.Connected && Server.Transport.State == DtlsState.Connected;

    public bool Ended =>
        Client.Transport.State is DtlsState.Closed or DtlsState.Failed
        && Server.Transport.State is DtlsState.Closed or DtlsState.Failed;

    public void Start(DtlsFingerprint? clientExpects = null, DtlsFingerprint? serverExpects = null)
    {
        Server.Transport.Start(Now, DtlsRole.Server, [serverExpects ?? ClientCertificate.Fingerprint]);
        Client.Transport.Start(Now, DtlsRole.Client, [clientExpects ?? ServerCertificate.Fingerprint]);
    }

    public void Run(TimeSpan atMost, Func<bool>? until = null)
    {
        Instant end = Now + atMost;
        while (!(until?.Invoke() ?? false))
        {
            Instant next = Instant.Min(
                Instant.Min(_toServer.NextDelivery, _toClient.NextDelivery),
                Instant.Min(Client.Transport.NextTimeout, Server.Transport.NextTimeout));
            if (next > end)
            {
                Now = end;
                return;
            }

            Now = Instant.Max(Now, next);
            while (_toServer.TryReceive(Now, out _, out byte[] bytes))
                Server.Transport.Receive(Now, bytes);
            while (_toClient.TryReceive(Now, out _, out byte[] bytes))
                Client.Transport.Receive(Now, bytes);
            if (Client.Transport.NextTimeout <= Now)
                Client.Transport.HandleTimeout(Now);
            if (Server.Transport.NextTimeout <= Now)
                Server.Transport.HandleTimeout(Now);
        }
    }

    public void Dispose()
    {
        Client.Transport.Dispose();
        Server.Transport.Dispose();
    }
}
