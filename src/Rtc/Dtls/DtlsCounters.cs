namespace Transcribe.Rtc.Dtls;

/// <summary>What a <see cref="DtlsTransport"/> counted. Read on the owner's thread.</summary>
public sealed class DtlsCounters
{
    /// <summary>Datagrams handed to <see cref="IDtlsObserver.OnDtlsSend"/>.</summary>
    public long DatagramsSent { get; internal set; }

    /// <summary>Flights sent again because their time ran out.</summary>
    public long Retransmissions { get; internal set; }

    /// <summary>Records of application data received.</summary>
    public long DataReceived { get; internal set; }

    /// <summary>Records dropped because their header makes no sense.</summary>
    public long MalformedRecords { get; internal set; }

    /// <summary>Records dropped because they came too early and the room for such was used up, or in a state that has no use for them.</summary>
    public long UnexpectedRecords { get; internal set; }

    /// <summary>Records that did not authenticate, were replayed, or carried nothing for the application.</summary>
    public long DiscardedRecords { get; internal set; }
}
