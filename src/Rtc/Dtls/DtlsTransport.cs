using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Dtls;

/// <summary>
/// A DTLS 1.2 association (RFC 6347) that exports SRTP keys (RFC 5764), without sockets or clocks. Every method is
/// called on the owner's thread, and observers are called during such calls only.
/// </summary>
/// <remarks>
/// The handshake runs on a thread of the <see cref="IDtlsExecutor"/>; time, retransmission and the order in which
/// the handshake sees records are kept here. After it, records are processed on the owner's thread at once.
/// </remarks>
public sealed class DtlsTransport : IDisposable
{
    private const int MaxHeldHandshake = 8;
    private const int MaxHeldData = 32;

    private const byte Warning = 1;
    private const byte Fatal = 2;
    private const byte CloseNotify = 0;

    // Taken while in use: an observer may come back here.
    [ThreadStatic]
    private static byte[]? _plain;

    [ThreadStatic]
    private static byte[]? _sealed;

    private readonly DtlsTransportOptions _options;
    private readonly IDtlsObserver _observer;
    private List<byte[]> _heldProtected = [];
    private List<byte[]> _heldData = [];
    private DtlsHandshake? _handshake;
    private DtlsPolicy? _policy;
    private DtlsRecordLayer? _records;
    private byte[][] _lastFlight = [];
    private DtlsRole _role;
    private byte[]? _heldChangeCipherSpec;
    private bool _started;
    private bool _keysChanged;
    private Instant _handshakeDeadline = Instant.Never;
    private Instant _retransmitAt = Instant.Never;
    private TimeSpan _retransmitAfter;

    public DtlsTransport(DtlsTransportOptions options, IDtlsObserver observer)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxDatagram, 256, nameof(options));
        if (options.SrtpProfiles.Count == 0 || !options.SrtpProfiles.All(Srtp.SrtpProfiles.Known))
            throw new ArgumentException("SrtpProfiles must name one or more profiles that are supported.", nameof(options));
        _options = options;
        _observer = observer;
    }

    public DtlsState State { get; private set; }

    public DtlsCloseReason CloseReason { get; private set; }

    /// <summary>Description number of the fatal alert received (RFC 5246 section 7.2), if one was.</summary>
    public int? AlertReceived { get => _policy?.AlertReceived ?? field; private set; }

    /// <summary>What went wrong, for a log; null while nothing has.</summary>
    public string? FailureDetail { get; private set; }

    public DtlsCounters Counters { get; } = new();

    /// <summary>When <see cref="HandleTimeout"/> is due.</summary>
    public Instant NextTimeout =>
        State == DtlsState.Connecting ? Instant.Min(_handshakeDeadline, _retransmitAt) : Instant.Never;

    /// <summary>Starts as client or server.</summary>
    /// <param name="now">The current instant.</param>
    /// <param name="role">A server takes a thread only when the first ClientHello has come.</param>
    /// <param name="remoteFingerprints">
    /// From the peer's SDP. Of those with the strongest hash one must match the peer's certificate; an empty list
    /// matches none.
    /// </param>
    public void Start(Instant now, DtlsRole role, IReadOnlyList<DtlsFingerprint> remoteFingerprints)
    {
        if (State != DtlsState.New)
            throw new InvalidOperationException("The DTLS transport was started before.");
        State = DtlsState.Connecting;
        _role = role;
        _handshakeDeadline = now + _options.HandshakeTimeout;
        _policy = new DtlsPolicy(_options, role, [.. remoteFingerprints]);
        _handshake = new DtlsHandshake(_options, role, _policy);
        if (role == DtlsRole.Client)
            Begin(now);
    }

    /// <summary>Takes a datagram whose first byte is 20..63 (RFC 7983).</summary>
    public void Receive(Instant now, ReadOnlySpan<byte> datagram)
    {
        if (State is not (DtlsState.Connecting or DtlsState.Connected))
        {
            Counters.UnexpectedRecords++;
            return;
        }

        // It may have finished on its thread, and these records may be for the connection.
        if (State == DtlsState.Connecting)
            Poll(now);
        bool fed = false;
        while (datagram.Length > 0)
        {
            if (!DtlsRecord.TryRead(ref datagram, out ReadOnlySpan<byte> record))
            {
                Counters.MalformedRecords++;
                break;
            }

            if (State == DtlsState.Connecting)
                fed |= TakeHandshakeRecord(record);
            else if (State == DtlsState.Connected)
                TakeConnectedRecord(record);
        }

        if (!fed)
            return;
        if (!_started)
            Begin(now);
        else
            Advance(now);
    }

    /// <summary>Collects what the handshake's thread has produced; call after <see cref="DtlsTransportOptions.Wake"/>.</summary>
    public void Poll(Instant now)
    {
        if (State != DtlsState.Connecting || !_started)
            return;
        List<byte[]> records = _handshake!.Collect(out bool newFlight, out bool ended);
        SendFlight(records);
        if (newFlight)
        {
            _retransmitAfter = _options.InitialRetransmit;
            _retransmitAt = now + _retransmitAfter;
        }

        if (ended && State == DtlsState.Connecting)
            Finish();
    }

    public void HandleTimeout(Instant now)
    {
        if (State != DtlsState.Connecting)
            return;
        Poll(now);
        if (State != DtlsState.Connecting)
            return;
        if (now >= _handshakeDeadline)
        {
            End(DtlsState.Failed, DtlsCloseReason.HandshakeTimeout);
            return;
        }

        if (now < _retransmitAt)
            return;
        if (_handshake!.Retransmit())
        {
            Counters.Retransmissions++;
            _retransmitAfter = TimeSpan.FromTicks(Math.Min(_retransmitAfter.Ticks * 2, _options.MaxRetransmit.Ticks));
        }

        _retransmitAt = now + _retransmitAfter;
        Advance(now);
    }

    /// <summary>
    /// Sends one record of application data. False when not connected, or it is empty or does not fit
    /// <see cref="DtlsTransportOptions.MaxDatagram"/>.
    /// </summary>
    public bool Send(Instant now, ReadOnlySpan<byte> data)
    {
        if (State != DtlsState.Connected || data.IsEmpty || data.Length > MaxData)
            return false;
        return SendProtected(DtlsRecord.ApplicationData, data);
    }

    /// <summary>Longest <see cref="Send"/>: the datagram less record header, explicit nonce and tag.</summary>
    public int MaxData => _options.MaxDatagram - DtlsRecord.HeaderLength - DtlsRecord.MinProtectedBody;

    /// <summary>Sends close_notify (or, in the handshake, the alert user_canceled where it can) and ends.</summary>
    public void Close(Instant now)
    {
        switch (State)
        {
            case DtlsState.Connected:
                SendProtected(DtlsRecord.Alert, [Warning, CloseNotify]);
                break;
            case DtlsState.Connecting when _started:
                _handshake!.Abort();
                _handshake.WaitUntilIdle();
                SendFlight(_handshake.Collect(out _, out _));
                break;
            case DtlsState.Closed or DtlsState.Failed:
                return;
        }

        End(DtlsState.Closed, DtlsCloseReason.LocalClose);
    }

    /// <summary>Ends without a word to the peer or the observer.</summary>
    public void Dispose()
    {
        if (State is not (DtlsState.Closed or DtlsState.Failed))
        {
            State = DtlsState.Closed;
            CloseReason = DtlsCloseReason.LocalClose;
        }

        _handshake?.Abort();
        _records?.Dispose();
    }

    private void Begin(Instant now)
    {
        _started = true;
        if (!_handshake!.TryStart())
        {
            End(DtlsState.Failed, DtlsCloseReason.Overloaded);
            return;
        }

        Advance(now);
    }

    private void Advance(Instant now)
    {
        _handshake!.WaitUntilIdle();
        Poll(now);
    }

    private void Finish()
    {
        if (!_handshake!.Succeeded)
        {
            FailureDetail = _handshake.Error?.Message;
            DtlsCloseReason reason = Blame();
            End(reason == DtlsCloseReason.RemoteClose ? DtlsState.Closed : DtlsState.Failed, reason);
            return;
        }

        _records = _handshake.TakeOver(out byte[][] unused, out _lastFlight);
        byte[][] held = [.. unused, .. _heldProtected, .. _heldData];
        SrtpKeyingMaterial keys = _policy!.Keys!;

        // A session lives for hours: nothing of the handshake is kept.
        (_handshake, _policy, _heldChangeCipherSpec) = (null, null, null);
        (_heldProtected, _heldData) = ([], []);
        State = DtlsState.Connected;
        _observer.OnDtlsConnected(keys);
        foreach (byte[] record in held)
        {
            if (State == DtlsState.Connected)
                TakeConnectedRecord(record);
        }
    }

    private DtlsCloseReason Blame() => _policy! switch
    {
        { FingerprintMismatch: true } => DtlsCloseReason.FingerprintMismatch,
        { NoSrtpProfile: true } => DtlsCloseReason.NoSrtpProfile,
        { AlertReceived: not null } => DtlsCloseReason.AlertReceived,
        { RemoteClosed: true } => DtlsCloseReason.RemoteClose,
        _ => DtlsCloseReason.ProtocolError,
    };

    /// <summary>Returns true when the handshake has got something to do.</summary>
    private bool TakeHandshakeRecord(ReadOnlySpan<byte> record)
    {
        byte type = DtlsRecord.Type(record);
        switch (DtlsRecord.Epoch(record), type)
        {
            case (0, DtlsRecord.Handshake):
                if (!StartsWithClientHelloIfFirst(record) || !FeedOrCount(record))
                    return false;
                ReleaseProtected();
                return true;
            case (0, DtlsRecord.Alert) when _started:
                return FeedOrCount(record);
            case (0, DtlsRecord.ChangeCipherSpec) when _started:
                if (_keysChanged)
                    return false;
                _heldChangeCipherSpec = record.ToArray();
                return ReleaseProtected();
            case (1, _) when DtlsRecord.Body(record).Length < DtlsRecord.MinProtectedBody:
                Counters.MalformedRecords++;
                return false;
            case (1, DtlsRecord.ApplicationData) when _heldData.Count < MaxHeldData && _started:
                _heldData.Add(record.ToArray());
                return false;
            case (1, DtlsRecord.Handshake or DtlsRecord.Alert) when _keysChanged:
                return FeedOrCount(record);
            case (1, DtlsRecord.Handshake or DtlsRecord.Alert) when _heldProtected.Count < MaxHeldHandshake && _started:
                _heldProtected.Add(record.ToArray());
                return ReleaseProtected();
            default:
                Counters.UnexpectedRecords++;
                return false;
        }
    }

    // Nothing but a ClientHello may take a thread of the executor.
    private bool StartsWithClientHelloIfFirst(ReadOnlySpan<byte> record)
    {
        ReadOnlySpan<byte> body = DtlsRecord.Body(record);
        if (!DtlsFragment.TryRead(ref body, out DtlsFragment fragment))
        {
            Counters.MalformedRecords++;
            return false;
        }

        if (_started || fragment.MessageType == DtlsRecord.ClientHello)
            return true;
        Counters.UnexpectedRecords++;
        return false;
    }

    private bool FeedOrCount(ReadOnlySpan<byte> record)
    {
        if (_handshake!.Feed(record))
            return true;
        Counters.UnexpectedRecords++;
        return false;
    }

    /// <summary>
    /// Feeds ChangeCipherSpec and Finished together once everything before them has been fed, whatever order the
    /// network brought them in: with its keys changed BouncyCastle takes nothing of the old epoch any more.
    /// </summary>
    private bool ReleaseProtected()
    {
        if (_heldChangeCipherSpec is null || _keysChanged
            || !_heldProtected.Exists(held => DtlsRecord.Type(held) == DtlsRecord.Handshake)
            || !_handshake!.IsReadyForChangeCipherSpec)
            return false;
        _keysChanged = FeedOrCount(_heldChangeCipherSpec);
        if (!_keysChanged)
            return false;
        foreach (byte[] record in _heldProtected)
            FeedOrCount(record);
        _heldProtected.Clear();
        return true;
    }

    private void TakeConnectedRecord(ReadOnlySpan<byte> record)
    {
        // Whatever is of epoch 0 comes from a peer that repeats its last flight; its Finished, which authenticates,
        // follows and is answered.
        if (DtlsRecord.Epoch(record) != 1 || DtlsRecord.Body(record).Length < DtlsRecord.MinProtectedBody)
        {
            Counters.UnexpectedRecords++;
            return;
        }

        byte[] buffer = Take(ref _plain);
        try
        {
            int length = _records!.Open(record, buffer);
            if (length < 0)
                Counters.DiscardedRecords++;
            else
                TakeContent(DtlsRecord.Type(record), buffer.AsSpan(0, length));
        }
        finally
        {
            _plain = buffer;
        }
    }

    private void TakeContent(byte type, ReadOnlySpan<byte> content)
    {
        switch (type)
        {
            case DtlsRecord.ApplicationData when content.Length > 0:
                // The peer has our Finished.
                _lastFlight = [];
                Counters.DataReceived++;
                _observer.OnDtlsData(content);
                break;
            case DtlsRecord.Alert when content is [_, CloseNotify]:
                SendProtected(DtlsRecord.Alert, [Warning, CloseNotify]);
                End(DtlsState.Closed, DtlsCloseReason.RemoteClose);
                break;
            case DtlsRecord.Alert when content is [Fatal, byte description]:
                AlertReceived = description;
                End(DtlsState.Failed, DtlsCloseReason.AlertReceived);
                break;
            case DtlsRecord.Handshake when content.Length > 0 && content[0] == DtlsRecord.Finished && _role == DtlsRole.Server && _lastFlight.Length > 0:
                // The peer repeats its last flight, for it has lost ours.
                foreach (byte[] mine in _lastFlight)
                {
                    if (DtlsRecord.Epoch(mine) == 0)
                        DtlsRecord.SetSequence(mine, DtlsRecord.Sequence(mine) + 1);
                }

                Counters.Retransmissions++;
                SendFlight(_lastFlight);
                break;
            default:
                Counters.DiscardedRecords++;
                break;
        }
    }

    private bool SendProtected(byte type, ReadOnlySpan<byte> content)
    {
        byte[] buffer = Take(ref _sealed);
        try
        {
            int length = _records!.Seal(type, content, buffer);
            if (length == 0)
                return false;
            SendNow(buffer.AsSpan(0, length));
            return true;
        }
        finally
        {
            _sealed = buffer;
        }
    }

    private static byte[] Take(ref byte[]? kept)
    {
        byte[] buffer = kept ?? new byte[DtlsRecord.MaxLength];
        kept = null;
        return buffer;
    }

    private void SendFlight(IReadOnlyList<byte[]> records)
    {
        // BouncyCastle sends each record by itself; a flight needs fewer datagrams.
        Span<byte> datagram = stackalloc byte[_options.MaxDatagram <= 2048 ? _options.MaxDatagram : 2048];
        int used = 0;
        foreach (byte[] record in records)
        {
            if (used + record.Length > datagram.Length && used > 0)
            {
                SendNow(datagram[..used]);
                used = 0;
            }

            if (record.Length > datagram.Length)
            {
                SendNow(record);
                continue;
            }

            record.CopyTo(datagram[used..]);
            used += record.Length;
        }

        if (used > 0)
            SendNow(datagram[..used]);
    }

    private void SendNow(ReadOnlySpan<byte> datagram)
    {
        Counters.DatagramsSent++;
        _observer.OnDtlsSend(datagram);
    }

    private void End(DtlsState state, DtlsCloseReason reason)
    {
        State = state;
        CloseReason = reason;
        _heldProtected.Clear();
        _heldData.Clear();
        _handshake?.Abort();
        _observer.OnDtlsClosed(reason);
    }
}
