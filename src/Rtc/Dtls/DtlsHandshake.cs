using System.Security.Cryptography;
using Org.BouncyCastle.Tls;

namespace Transcribe.Rtc.Dtls;

/// <summary>
/// BouncyCastle's blocking handshake as a coroutine: it runs on a thread of the executor and blocks in
/// <see cref="Receive(Span{byte}, int)"/> until the owner feeds it a record. After the handshake a
/// <see cref="DtlsRecordLayer"/> takes over, and all of this is dropped.
/// </summary>
/// <remarks>
/// Unprotected records get new sequence numbers in both directions, so that we may repeat records towards
/// BouncyCastle and the peer without falling to a replay window; epoch 0 authenticates nothing, so nothing is lost.
/// </remarks>
internal sealed class DtlsHandshake(
    DtlsTransportOptions options,
    DtlsRole role,
    DtlsPolicy policy) : DatagramTransport
{
    private const int MaxInbox = 64;

    /// <summary>A host that forgets a session must not hold a thread for ever.</summary>
    private static readonly TimeSpan AbandonedAfter = TimeSpan.FromMinutes(5);

    private readonly object _gate = new();
    private readonly Queue<byte[]> _inbox = new();
    private readonly DtlsInboundFlight _inbound = new();
    private readonly List<byte[]> _clientHello = [];
    private List<byte[]> _outbox = [];
    private long _receiveSequence;
    private long _sendSequence;
    private int _lastMessageSent = -1;
    private bool _newFlight;
    private bool _begun;
    private bool _waiting;
    private bool _aborted;
    private bool _ended;

    // Our ChangeCipherSpec and Finished, and the first sequence number of epoch 1 not used.
    private readonly List<byte[]> _lastFlight = [];
    private long _nextProtectedSequence;

    /// <summary>The handshake ended well.</summary>
    public bool Succeeded { get; private set; }

    public Exception? Error { get; private set; }

    public bool TryStart() => options.Executor.TryRun(Run);

    // ---- owner's side, during the handshake

    /// <summary>Hands an unprotected or (once the keys have changed) protected record to the handshake.</summary>
    public bool Feed(ReadOnlySpan<byte> record)
    {
        byte[] copy = record.ToArray();
        lock (_gate)
        {
            if (_ended || record.Length > DtlsRecord.MaxHandshakeLength || _inbox.Count >= MaxInbox || (!_begun && IsQueued(record)))
                return false;
            if (DtlsRecord.Epoch(record) == 0)
            {
                DtlsRecord.SetSequence(copy, _receiveSequence++);
                if (DtlsRecord.Type(record) == DtlsRecord.Handshake)
                    _inbound.Note(DtlsRecord.Body(record));
            }

            _inbox.Enqueue(copy);
            Monitor.PulseAll(_gate);
            return true;
        }
    }

    /// <summary>Whether the peer's ChangeCipherSpec may be fed: all that must come before has come.</summary>
    public bool IsReadyForChangeCipherSpec
    {
        get
        {
            lock (_gate)
            {
                return role == DtlsRole.Server
                    ? _inbound.IsCompleteUpTo(DtlsRecord.CertificateVerify)
                    : _inbound.HasPrevious && _clientHello.Count == 0;
            }
        }
    }

    /// <summary>
    /// Has the last flight sent again. The first ClientHello, which answers nothing, is repeated as it is; later
    /// flights BouncyCastle writes anew when it sees the flight that they answer once more.
    /// </summary>
    /// <returns>False when there is nothing to repeat, or the handshake is busy.</returns>
    public bool Retransmit()
    {
        lock (_gate)
        {
            if (_ended || !_waiting || _inbox.Count > 0)
                return false;
            if (_clientHello.Count > 0)
            {
                foreach (byte[] record in _clientHello)
                {
                    byte[] again = [.. record];
                    DtlsRecord.SetSequence(again, _sendSequence++);
                    _outbox.Add(again);
                }

                return true;
            }

            foreach (byte[] record in _inbound.RepeatPrevious())
            {
                DtlsRecord.SetSequence(record, _receiveSequence++);
                _inbox.Enqueue(record);
            }

            Monitor.PulseAll(_gate);
            return _inbox.Count > 0;
        }
    }

    /// <summary>With a lock-step executor: waits until the handshake waits for us.</summary>
    public void WaitUntilIdle()
    {
        if (!options.Executor.IsLockStep)
            return;
        lock (_gate)
        {
            while (!_ended && !(_waiting && !_aborted && _inbox.Count == 0))
                Monitor.Wait(_gate);
        }
    }

    /// <summary>Takes the records to send, and tells whether they begin a new flight and whether it is over.</summary>
    public List<byte[]> Collect(out bool newFlight, out bool ended)
    {
        lock (_gate)
        {
            List<byte[]> records = _outbox;
            if (records.Count > 0)
                _outbox = [];
            (newFlight, _newFlight) = (_newFlight, false);
            ended = _ended;
            return records;
        }
    }

    /// <summary>Ends the handshake as soon as its thread looks.</summary>
    public void Abort()
    {
        lock (_gate)
        {
            _aborted = true;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>After the handshake: the record layer that goes on from here.</summary>
    /// <param name="unused">What was fed and not used.</param>
    /// <param name="lastFlight">Our last flight, for a peer that has not got it.</param>
    public DtlsRecordLayer TakeOver(out byte[][] unused, out byte[][] lastFlight)
    {
        lock (_gate)
        {
            unused = [.. _inbox];
            lastFlight = [.. _lastFlight];
            _inbox.Clear();
            DtlsRecordLayer layer = new(policy.RecordKeys, role == DtlsRole.Client, _nextProtectedSequence);
            CryptographicOperations.ZeroMemory(policy.RecordKeys);
            foreach (byte[] record in lastFlight)
            {
                if (DtlsRecord.Epoch(record) == 0)
                    DtlsRecord.SetSequence(record, _sendSequence);
            }

            return layer;
        }
    }

    // ---- the handshake's thread

    private void Run()
    {
        options.Executor.EnterCompute();
        try
        {
            bool aborted;
            lock (_gate)
            {
                _begun = true;
                aborted = _aborted;
            }

            if (!aborted)
            {
                // What these return would carry the data; our own record layer does.
                if (role == DtlsRole.Client)
                    new DtlsClientProtocol().Connect(new DtlsClientPeer(policy), this);
                else
                    new DtlsServerProtocol().Accept(new DtlsServerPeer(policy), this);
                Succeeded = policy.RecordKeys is not null;
            }
        }
        catch (Exception e)
        {
            // Whatever the peer's bytes provoke ends this session alone; the owner learns the reason.
            Error = e;
        }
        finally
        {
            options.Executor.LeaveCompute();
            lock (_gate)
            {
                _ended = true;
                Monitor.PulseAll(_gate);
            }

            options.Wake?.Invoke();
        }
    }

    private bool IsQueued(ReadOnlySpan<byte> record)
    {
        foreach (byte[] queued in _inbox)
        {
            if (DtlsRecord.Body(queued).SequenceEqual(DtlsRecord.Body(record)))
                return true;
        }

        return false;
    }

    // ---- DatagramTransport, called by BouncyCastle

    public int GetReceiveLimit() => DtlsRecord.MaxHandshakeLength;

    public int GetSendLimit() => options.MaxDatagram;

    public int Receive(byte[] buf, int off, int len, int waitMillis) => Receive(buf.AsSpan(off, len), waitMillis);

    public int Receive(Span<byte> buffer, int waitMillis)
    {
        lock (_gate)
        {
            if (TryTake(buffer, out int length))
                return length;
        }

        options.Executor.LeaveCompute();
        try
        {
            bool wake;
            lock (_gate)
            {
                _waiting = true;
                wake = _outbox.Count > 0;
                Monitor.PulseAll(_gate);
            }

            if (wake)
                options.Wake?.Invoke();
            lock (_gate)
            {
                while (_inbox.Count == 0 && !_aborted)
                {
                    if (!Monitor.Wait(_gate, AbandonedAfter))
                        _aborted = true;
                }

                _waiting = false;
            }
        }
        finally
        {
            options.Executor.EnterCompute();
        }

        lock (_gate)
            return TryTake(buffer, out int length) ? length : -1;
    }

    public void Send(byte[] buf, int off, int len) => Send(buf.AsSpan(off, len));

    public void Send(ReadOnlySpan<byte> buffer)
    {
        byte[] record = buffer.ToArray();
        lock (_gate)
        {
            byte type = DtlsRecord.Type(record);
            if (DtlsRecord.Epoch(record) == 0)
            {
                DtlsRecord.SetSequence(record, _sendSequence++);
                if (type == DtlsRecord.Handshake)
                    NoteSent(record);
                if (type == DtlsRecord.ChangeCipherSpec)
                {
                    _lastFlight.Clear();
                    _lastFlight.Add(record);
                }
            }
            else
            {
                _nextProtectedSequence = Math.Max(_nextProtectedSequence, DtlsRecord.Sequence(record) + 1);
                if (type == DtlsRecord.Handshake)
                    _lastFlight.Add(record);
            }

            _outbox.Add(record);
        }
    }

    public void Close()
    {
        // The owner closes.
    }

    private bool TryTake(Span<byte> buffer, out int length)
    {
        if (_aborted)
            throw new TlsFatalAlert(AlertDescription.user_canceled);
        length = 0;
        if (!_inbox.TryDequeue(out byte[]? record))
            return false;
        length = Math.Min(record.Length, buffer.Length);
        record.AsSpan(0, length).CopyTo(buffer);
        return true;
    }

    private void NoteSent(byte[] record)
    {
        ReadOnlySpan<byte> body = DtlsRecord.Body(record);
        if (!DtlsFragment.TryRead(ref body, out DtlsFragment fragment))
            return;
        if (fragment.MessageSequence > _lastMessageSent)
        {
            // A message not sent before: what it answers is the peer's previous flight now.
            _lastMessageSent = fragment.MessageSequence;
            _newFlight = true;
            _inbound.Turn();
            _clientHello.Clear();
        }

        if (fragment.MessageType == DtlsRecord.ClientHello && fragment.MessageSequence == _lastMessageSent)
            _clientHello.Add(record);
    }
}
