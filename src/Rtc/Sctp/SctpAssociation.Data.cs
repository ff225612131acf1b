using System.Buffers.Binary;

namespace Transcribe.Rtc.Sctp;

/// <content>DATA, SACK and FORWARD TSN, both ways (RFC 9260, section 6; RFC 3758).</content>
public sealed partial class SctpAssociation
{
    private readonly List<(ushort StreamId, ushort Ssn)> _skipped = [];

    private SackNeed _sack;
    private Instant _sackTimer = Instant.Never;
    private int _dataPackets;
    private bool _sackAtOnce;

    private Instant _t3Timer = Instant.Never;
    private uint _peerWindow;
    private bool _fastRetransmit;
    private bool _forwardTsnDue;
    private Instant _forwardTsnSent = Instant.Zero;
    private Instant _lastDataSent = Instant.Zero;

    private enum SackNeed
    {
        None,
        Delayed,
        Immediate,
    }

    private bool CanCarryData =>
        State is SctpState.Established or SctpState.ShutdownPending or SctpState.ShutdownReceived;

    // ---- receiving ----

    private bool OnData(in SctpChunk chunk)
    {
        if (State is not (SctpState.Established or SctpState.ShutdownPending or SctpState.ShutdownSent))
            return true;
        if (!DataChunk.TryRead(chunk, out DataChunk data))
        {
            Statistics.DroppedMalformed++;
            return true;
        }

        if (data.UserData.IsEmpty)
        {
            AbortNow(SctpCause.NoUserData, "DATA without user data");
            return false;
        }

        _sackAtOnce |= (data.Flags & DataChunk.Immediate) != 0;
        if (_received.Contains(data.Tsn))
        {
            Statistics.DroppedDuplicates++;
            _received.AddDuplicate(data.Tsn);
            _sackAtOnce = true;
            return true;
        }

        // The next TSN in line is taken beyond the buffer's size: without it nothing held can ever be completed. What is
        // in line and still not complete is bounded all the same.
        bool inLine = data.Tsn == _received.CumulativeTsn + 1;
        int held = _reassembly.HeldBytes + data.UserData.Length + Reassembly.FragmentOverhead;
        if (!_received.IsInWindow(data.Tsn) || (held > _options.ReceiveBuffer && !inLine))
        {
            Statistics.DroppedNoRoom++;
            _sackAtOnce = true;
            return true;
        }

        if (held > _options.ReceiveBuffer + (2L * _options.MaxMessageSize))
        {
            AbortNow(SctpCause.OutOfResource, "the peer's incomplete messages exceed the receive buffer");
            return false;
        }

        if (data.StreamId >= _options.MaxStreams)
        {
            Span<byte> stream = stackalloc byte[4];
            BinaryPrimitives.WriteUInt32BigEndian(stream, (uint)data.StreamId << 16);
            Span<byte> error = Append(SctpChunkType.Error, 0, Tlv.HeaderSize + stream.Length);
            SctpPacketWriter.WriteParameter(error, (ushort)SctpCause.InvalidStream, stream);
            _received.Add(data.Tsn);
            return true;
        }

        _received.Add(data.Tsn);
        if (!_reassembly.TryAdd(data))
        {
            if (!_terminated)
                AbortNow(SctpCause.ProtocolViolation, "the peer's message exceeds max-message-size");
            return false;
        }

        return !_terminated;
    }

    /// <summary>All DATA of a packet was seen: decides when to acknowledge (section 6.2).</summary>
    private void OnDataPacket()
    {
        if (State is SctpState.CookieWait or SctpState.CookieEchoed or SctpState.Closed)
            return;
        if (_sackAtOnce || _received.HasGaps || ++_dataPackets >= 2 || State == SctpState.ShutdownSent)
        {
            _sack = SackNeed.Immediate;
        }
        else if (_sack == SackNeed.None)
        {
            _sack = SackNeed.Delayed;
            _sackTimer = _now + _options.DelayedAck;
        }

        _heartbeatTimer = _heartbeatPending ? _heartbeatTimer : NextHeartbeat;
        CompleteDeferredReset();
        if (State == SctpState.ShutdownSent)
            SendShutdown();
    }

    private void OnForwardTsn(ReadOnlySpan<byte> value)
    {
        if (State is not (SctpState.Established or SctpState.ShutdownPending or SctpState.ShutdownSent))
            return;
        if (!ForwardTsnChunk.TryRead(value, out ForwardTsnChunk chunk) || !_received.IsInWindow(chunk.NewCumulativeTsn))
        {
            Statistics.DroppedMalformed++;
            return;
        }

        _sackAtOnce = true;
        _sack = SackNeed.Immediate;
        if (Serial.LessOrEqual(chunk.NewCumulativeTsn, _received.CumulativeTsn))
            return;
        _received.AdvanceTo(chunk.NewCumulativeTsn);
        _reassembly.SkipUnordered(chunk.NewCumulativeTsn);
        for (int i = 0; i < chunk.StreamCount && !_terminated; i++)
        {
            (ushort streamId, ushort ssn) = chunk.Stream(i);
            if (streamId < _options.MaxStreams)
                _reassembly.SkipOrdered(streamId, ssn);
        }

        if (!_terminated)
            CompleteDeferredReset();
    }

    // ---- acknowledgements of what we sent ----

    private void OnSack(ReadOnlySpan<byte> value)
    {
        if (!CanCarryData && State != SctpState.ShutdownSent)
            return;
        if (!SackChunk.TryRead(value, out SackChunk sack))
        {
            Statistics.DroppedMalformed++;
            return;
        }

        bool wasFull = _outstanding.FlightSize + _packetSize >= _congestion.Window;
        if (!_outstanding.TryApply(sack, _now, _congestion.InFastRecovery, out SackOutcome outcome))
        {
            Statistics.DroppedMalformed += Serial.Less(sack.CumulativeTsn, _outstanding.FirstTsn) ? 0 : 1;
            return;
        }

        _peerWindow = sack.ReceiverWindow;
        AfterAcknowledgement(outcome, wasFull);

        // A peer without room that answers is alive (section 6.1).
        if (sack.ReceiverWindow < (uint)_packetSize)
            _errors = 0;
        if (outcome.NewLoss && _congestion.OnLoss(_outstanding.NextTsn - 1))
        {
            _fastRetransmit = true;
            Statistics.FastRetransmits++;
        }
    }

    private void AfterAcknowledgement(in SackOutcome outcome, bool wasFull)
    {
        if (outcome.RttSentAt is { } sentAt)
            _rto.Sample(_now - sentAt);
        _congestion.OnAcknowledged(
            outcome.AcknowledgedBytes, _outstanding.CumulativeTsn, outcome.CumulativeAdvanced, wasFull, _outstanding.Count == 0);
        if (outcome.AcknowledgedBytes > 0 || outcome.CumulativeAdvanced)
            _errors = 0;
        if (_outstanding.Count == 0)
            _t3Timer = Instant.Never;
        else if (outcome.CumulativeAdvanced)
            _t3Timer = _now + _rto.Rto;
        NoteAbandoned();

        // Told again if an acknowledgement shows that the peer has not heard it yet, once a round trip.
        _forwardTsnDue |= _outstanding.Count > 0 && _outstanding[0].State == OutboundChunkState.Abandoned
            && (outcome.CumulativeAdvanced || _now - _forwardTsnSent >= _rto.SmoothedRtt);
    }

    private void NoteAbandoned()
    {
        if (_outstanding.AbandonedMessages == 0)
            return;
        Statistics.MessagesAbandoned += _outstanding.AbandonedMessages;
        _outstanding.AbandonedMessages = 0;
        _forwardTsnDue = true;
    }

    private void OnT3Timer()
    {
        _t3Timer = Instant.Never;
        if (_outstanding.Count == 0 || (!CanCarryData && State != SctpState.ShutdownSent))
            return;
        Statistics.RetransmissionTimeouts++;
        _rto.BackOff();
        if (CountError())
            return;
        _congestion.OnTimeout();
        _outstanding.MarkAllLost(_now);
        NoteAbandoned();
        _forwardTsnDue = true;
        _t3Timer = _now + _rto.Rto;
    }

    // ---- sending ----

    /// <summary>Sends what is due and what the windows allow.</summary>
    private void Transmit()
    {
        if (_terminated)
            return;
        if (CanCarryData || State == SctpState.ShutdownSent)
        {
            if (_sack == SackNeed.Immediate)
                AppendSack();
            if (_forwardTsnDue)
                AppendForwardTsn();
        }

        if (CanCarryData)
        {
            TransmitData(onePacketOnly: false);
            RequestResets();
        }

        GoOnShuttingDown();
    }

    private void TransmitData(bool onePacketOnly)
    {
        bool fast = _fastRetransmit;
        _fastRetransmit = false;
        int index;
        while ((index = _outstanding.NextLost(_now)) >= 0)
        {
            int length = _outstanding[index].Length;
            int cost = RetransmissionQueue.CostOf(length);
            bool fits = _writer.IsOpen && _writer.Remaining >= cost;
            if (fast && _writer.HasChunks && !fits)
                fast = false; // one packet goes out whatever the window (section 7.2.4)
            if (!fast && _outstanding.FlightSize > 0 && _outstanding.FlightSize + cost > _congestion.Window)
                break;
            if (!HasPeerRoom(length) || (onePacketOnly && !fits))
                break;
            PrepareForData(cost);
            _outstanding.MarkSentAgain(index, _now);
            WriteData(_outstanding.FirstTsn + (uint)index, _outstanding[index]);
            Statistics.Retransmissions++;
            if (index == 0)
                _t3Timer = Instant.Never;
            StartT3();
        }

        NoteAbandoned();
        if (_forwardTsnDue && CanCarryData)
            AppendForwardTsn();
        if (_outstanding.LostCount > 0)
            return;
        if (_outstanding.FlightSize == 0 && _now - _lastDataSent > _rto.Rto)
            _congestion.OnIdle();
        int largest = _packetSize - SctpPacket.HeaderSize - RetransmissionQueue.ChunkOverhead;
        while (_outstanding.FlightSize < _congestion.Window && _outstanding.Count < ReceiveTracker.Window
            && _sendQueue.TryPeek(_now, out OutboundMessage? message))
        {
            if (_outstanding.PartialReliability && message.Offset > 0 && message.Expires <= _now)
            {
                _outstanding.Abandon(message);
                continue;
            }

            int length = Math.Min(message.Length - message.Offset, largest);
            int cost = RetransmissionQueue.CostOf(length);
            if (!HasPeerRoom(length) || (onePacketOnly && _writer.Remaining < cost))
                break;
            PrepareForData(cost);
            byte flags = message.Unordered ? DataChunk.Unordered : (byte)0;
            if (message.Offset == 0)
                flags |= DataChunk.Begin;
            int offset = message.Offset;
            _sendQueue.Take(message, length);
            if (message.Offset == message.Length)
                flags |= DataChunk.End;
            if (_sendQueue.IsEmpty || _outstanding.FlightSize + cost >= _congestion.Window)
                flags |= DataChunk.Immediate; // nothing follows that would trigger the acknowledgement
            ref OutboundChunk chunk = ref _outstanding.Add(message, offset, length, flags, _now);
            WriteData(_outstanding.NextTsn - 1, chunk);
            StartT3();
        }

        Statistics.MessagesAbandoned += _sendQueue.Expired;
        _sendQueue.Expired = 0;
        NoteAbandoned();
        if (_forwardTsnDue && CanCarryData)
            AppendForwardTsn();
    }

    /// <summary>One chunk may always be in flight: it probes a closed window (section 6.1).</summary>
    private bool HasPeerRoom(int length) =>
        _outstanding.FlightSize == 0 || _outstanding.FlightPayload + (long)length <= _peerWindow;

    private void PrepareForData(int cost)
    {
        if (_writer.IsOpen && _writer.Remaining < cost)
            FlushPacket();
        if (_sack != SackNeed.None && !_writer.HasChunks && CanCarryData)
        {
            AppendSack();
            if (_writer.Remaining < cost)
                FlushPacket();
        }
    }

    private void WriteData(uint tsn, in OutboundChunk chunk)
    {
        OutboundMessage message = chunk.Message;
        Span<byte> to = Append(SctpChunkType.Data, chunk.Flags, DataChunk.FixedSize + chunk.Length);
        BinaryPrimitives.WriteUInt32BigEndian(to, tsn);
        BinaryPrimitives.WriteUInt16BigEndian(to[4..], message.StreamId);
        BinaryPrimitives.WriteUInt16BigEndian(to[6..], message.Ssn);
        BinaryPrimitives.WriteUInt32BigEndian(to[8..], message.PayloadProtocolId);
        message.Buffer.AsSpan(chunk.Offset, chunk.Length).CopyTo(to[DataChunk.FixedSize..]);
        _lastDataSent = _now;
    }

    private void StartT3()
    {
        if (_t3Timer == Instant.Never && CanCarryData)
            _t3Timer = _now + _rto.Rto;
    }

    private void AppendSack()
    {
        _sack = SackNeed.None;
        _sackTimer = Instant.Never;
        _sackAtOnce = false;
        _dataPackets = 0;
        IReadOnlyList<(uint Start, uint End)> ranges = _received.Ranges;
        IReadOnlyList<uint> duplicates = _received.Duplicates;
        int room = (_packetSize - SctpPacket.HeaderSize - Tlv.HeaderSize - SackChunk.FixedSize) / 4;
        int gaps = Math.Min(ranges.Count, room);
        int repeats = Math.Min(duplicates.Count, room - gaps);
        Span<byte> to = Append(SctpChunkType.Sack, 0, SackChunk.FixedSize + ((gaps + repeats) * 4));
        uint cumulative = _received.CumulativeTsn;
        BinaryPrimitives.WriteUInt32BigEndian(to, cumulative);
        BinaryPrimitives.WriteUInt32BigEndian(to[4..], (uint)Math.Max(0, _options.ReceiveBuffer - _reassembly.HeldBytes));
        BinaryPrimitives.WriteUInt16BigEndian(to[8..], (ushort)gaps);
        BinaryPrimitives.WriteUInt16BigEndian(to[10..], (ushort)repeats);
        to = to[SackChunk.FixedSize..];
        for (int i = 0; i < gaps; i++)
        {
            BinaryPrimitives.WriteUInt16BigEndian(to, (ushort)(ranges[i].Start - cumulative));
            BinaryPrimitives.WriteUInt16BigEndian(to[2..], (ushort)(ranges[i].End - cumulative));
            to = to[4..];
        }

        for (int i = 0; i < repeats; i++)
            BinaryPrimitives.WriteUInt32BigEndian(to[(i * 4)..], duplicates[i]);
        _received.ClearDuplicates();
    }

    private void AppendForwardTsn()
    {
        _forwardTsnDue = false;
        int room = (_packetSize - SctpPacket.HeaderSize - Tlv.HeaderSize - 4) / 4;
        int passed = _outstanding.CollectAbandoned(_skipped, room);
        if (passed == 0)
            return;
        _forwardTsnSent = _now;
        Span<byte> to = Append(SctpChunkType.ForwardTsn, 0, 4 + (_skipped.Count * 4));
        BinaryPrimitives.WriteUInt32BigEndian(to, _outstanding.FirstTsn + (uint)passed - 1);
        for (int i = 0; i < _skipped.Count; i++)
        {
            BinaryPrimitives.WriteUInt16BigEndian(to[(4 + (i * 4))..], _skipped[i].StreamId);
            BinaryPrimitives.WriteUInt16BigEndian(to[(6 + (i * 4))..], _skipped[i].Ssn);
        }

        StartT3();
    }
}
