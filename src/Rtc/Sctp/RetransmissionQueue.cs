namespace Transcribe.Rtc.Sctp;

internal enum OutboundChunkState : byte
{
    InFlight,
    Lost,
    Acknowledged,
    Abandoned,
}

/// <summary>A DATA chunk with a TSN that the peer's cumulative TSN has not passed.</summary>
internal struct OutboundChunk
{
    public OutboundMessage Message;
    public int Offset;
    public int Length;
    public byte Flags;
    public OutboundChunkState State;
    public byte Misses;
    public int Transmissions;
    public Instant SentAt;

    /// <summary>The first TSN that had not been sent when this chunk was: only its acknowledgement and later ones speak of a loss.</summary>
    public uint SentBefore;
}

/// <summary>What a SACK told.</summary>
internal struct SackOutcome
{
    public int AcknowledgedBytes;
    public bool CumulativeAdvanced;
    public bool NewLoss;
    public Instant? RttSentAt;
}

/// <summary>The outstanding DATA chunks in TSN order: acknowledgement, loss detection, and giving up (RFC 3758).</summary>
internal sealed class RetransmissionQueue(uint initialTsn, SendQueue sendQueue)
{
    /// <summary>Chunk header and the fixed part of DATA.</summary>
    public const int ChunkOverhead = Tlv.HeaderSize + DataChunk.FixedSize;

    private const int MissesForLoss = 3;

    private readonly List<OutboundMessage> _toAbandon = [];
    private OutboundChunk[] _ring = new OutboundChunk[4];
    private int _head;
    private int _lostScan;

    public int Count { get; private set; }

    public int LostCount { get; private set; }

    /// <summary>Bytes of chunks in flight, with headers.</summary>
    public int FlightSize { get; private set; }

    /// <summary>Bytes of user data in flight.</summary>
    public int FlightPayload { get; private set; }

    /// <summary>Messages given up after their first transmission, since the counter was last taken.</summary>
    public int AbandonedMessages { get; set; }

    /// <summary>The peer understands FORWARD TSN: without, everything is sent until it arrives.</summary>
    public bool PartialReliability { get; set; }

    public uint FirstTsn { get; private set; } = initialTsn;

    public uint NextTsn => FirstTsn + (uint)Count;

    public uint CumulativeTsn => FirstTsn - 1;

    public static int CostOf(int length) => ChunkOverhead + Tlv.Pad(length);

    public ref OutboundChunk this[int index] => ref _ring[(_head + index) & (_ring.Length - 1)];

    /// <summary>Assigns the next TSN to bytes of a message, which is sent now.</summary>
    public ref OutboundChunk Add(OutboundMessage message, int offset, int length, byte flags, Instant now)
    {
        if (Count == _ring.Length)
            Grow();
        if (message.Outstanding == 0 && offset == 0)
            message.FirstTsn = NextTsn;
        message.Outstanding++;
        ref OutboundChunk chunk = ref this[Count++];
        chunk = new()
        {
            Message = message,
            Offset = offset,
            Length = length,
            Flags = flags,
            Transmissions = 1,
            SentAt = now,
            SentBefore = NextTsn,
        };
        FlightSize += CostOf(length);
        FlightPayload += length;
        return ref chunk;
    }

    /// <summary>The lost chunk with the lowest TSN, or -1. Gives up what has expired.</summary>
    public int NextLost(Instant now)
    {
        while (LostCount > 0)
        {
            while (this[_lostScan].State != OutboundChunkState.Lost)
                _lostScan++;
            if (!PartialReliability || this[_lostScan].Message.Expires > now)
                return _lostScan;
            Abandon(this[_lostScan].Message);
        }

        return -1;
    }

    public void MarkSentAgain(int index, Instant now)
    {
        ref OutboundChunk chunk = ref this[index];
        chunk.State = OutboundChunkState.InFlight;
        chunk.Misses = 0;
        chunk.Transmissions++;
        chunk.SentAt = now;
        chunk.SentBefore = NextTsn;
        LostCount--;
        FlightSize += CostOf(chunk.Length);
        FlightPayload += chunk.Length;
    }

    /// <summary>Applies a SACK. False if it is older than one seen, or acknowledges what was never sent.</summary>
    public bool TryApply(in SackChunk sack, Instant now, bool inFastRecovery, out SackOutcome outcome)
    {
        if (!TryAdvance(sack.CumulativeTsn, out outcome))
            return false;
        int highestNew = -1;
        int highest = -1;
        int previousEnd = 0;
        for (int block = 0; block < sack.GapCount; block++)
        {
            (int start, int end) = sack.Gap(block);
            if (start <= previousEnd || end < start || start > Count)
                break; // out of order or beyond what was sent: the rest makes no sense
            previousEnd = end;
            for (int i = start - 1; i < Math.Min(end, Count); i++)
            {
                highest = i;
                ref OutboundChunk chunk = ref this[i];
                if (chunk.State is OutboundChunkState.InFlight or OutboundChunkState.Lost)
                {
                    highestNew = i;
                    outcome.AcknowledgedBytes += chunk.Length;
                    if (chunk.Transmissions == 1)
                        outcome.RttSentAt = chunk.SentAt;
                    Leave(ref chunk, OutboundChunkState.Acknowledged);
                }
            }
        }

        // RFC 9260, section 7.2.4: only TSNs below the highest newly acknowledged one count as missing, except in fast
        // recovery when the cumulative TSN moves.
        int limit = inFastRecovery && outcome.CumulativeAdvanced ? highest : highestNew;
        for (int i = 0; i < limit; i++)
        {
            ref OutboundChunk chunk = ref this[i];
            if (chunk.State == OutboundChunkState.InFlight && Serial.LessOrEqual(chunk.SentBefore, FirstTsn + (uint)limit)
                && ++chunk.Misses >= MissesForLoss)
            {
                outcome.NewLoss = true;
                MarkLost(i, now);
            }
        }

        AbandonMarked();
        return true;
    }

    /// <summary>The cumulative TSN of a SACK or SHUTDOWN.</summary>
    public bool TryAdvance(uint cumulativeTsn, out SackOutcome outcome)
    {
        outcome = default;
        int passed = (int)(cumulativeTsn - CumulativeTsn);
        if (passed < 0 || passed > Count)
            return false;
        for (int i = 0; i < passed; i++)
        {
            ref OutboundChunk chunk = ref this[0];
            if (chunk.State is OutboundChunkState.InFlight or OutboundChunkState.Lost)
            {
                outcome.AcknowledgedBytes += chunk.Length;
                if (chunk.Transmissions == 1)
                    outcome.RttSentAt = chunk.SentAt;
                Leave(ref chunk, OutboundChunkState.Acknowledged);
            }

            OutboundMessage message = chunk.Message;
            chunk = default;
            _head = (_head + 1) & (_ring.Length - 1);
            Count--;
            FirstTsn++;
            if (--message.Outstanding == 0 && (message.Abandoned || message.Offset == message.Length))
                sendQueue.Release(message);
        }

        _lostScan = Math.Max(0, _lostScan - passed);
        outcome.CumulativeAdvanced = passed > 0;
        return true;
    }

    /// <summary>T3-rtx: all that is in flight counts as lost.</summary>
    public void MarkAllLost(Instant now)
    {
        // A peer may take back what it told in gap blocks; then the first TSN is one of those.
        bool reneged = Count > 0 && this[0].State == OutboundChunkState.Acknowledged;
        for (int i = 0; i < Count; i++)
        {
            if (this[i].State == OutboundChunkState.InFlight)
            {
                MarkLost(i, now);
            }
            else if (reneged && this[i].State == OutboundChunkState.Acknowledged)
            {
                this[i].State = OutboundChunkState.Lost;
                LostCount++;
                _lostScan = Math.Min(_lostScan, i);
            }
        }

        AbandonMarked();
    }

    /// <summary>How far the peer may go without what was given up (RFC 3758, section 3.5), and which SSNs it then skips.</summary>
    /// <returns>Number of chunks to go past; 0 if there is nothing to tell.</returns>
    public int CollectAbandoned(List<(ushort StreamId, ushort Ssn)> streams, int maxStreams)
    {
        streams.Clear();
        int passed = 0;
        OutboundMessage? previous = null;
        while (passed < Count && this[passed].State == OutboundChunkState.Abandoned)
        {
            OutboundMessage message = this[passed].Message;
            if (message != previous && !message.Unordered)
            {
                int at = streams.FindIndex(s => s.StreamId == message.StreamId);
                if (at >= 0)
                    streams[at] = (message.StreamId, message.Ssn);
                else if (streams.Count == maxStreams)
                    break;
                else
                    streams.Add((message.StreamId, message.Ssn));
            }

            previous = message;
            passed++;
        }

        return passed;
    }

    /// <summary>Drops everything; the TSNs go on from here.</summary>
    public void Clear()
    {
        _ = TryAdvance(NextTsn - 1, out _);
    }

    private void MarkLost(int index, Instant now)
    {
        ref OutboundChunk chunk = ref this[index];
        Leave(ref chunk, OutboundChunkState.Lost);
        chunk.Misses = 0;
        LostCount++;
        _lostScan = Math.Min(_lostScan, index);
        OutboundMessage message = chunk.Message;
        bool spent = message.MaxRetransmits >= 0 && chunk.Transmissions > message.MaxRetransmits;
        if (PartialReliability && (spent || message.Expires <= now))
            _toAbandon.Add(message);
    }

    private void AbandonMarked()
    {
        foreach (OutboundMessage message in _toAbandon)
            Abandon(message);
        _toAbandon.Clear();
    }

    /// <summary>Gives up a message of which at least one chunk was sent.</summary>
    public void Abandon(OutboundMessage message)
    {
        if (message.Abandoned)
            return;
        message.Abandoned = true;
        AbandonedMessages++;
        if (sendQueue.AbandonRest(message))
        {
            // A TSN that is never sent: should the peer have all that was sent, it must still be told that the rest will not come.
            ref OutboundChunk end = ref Add(message, message.Offset, 0, DataChunk.End, Instant.Zero);
            Leave(ref end, OutboundChunkState.Abandoned);
        }

        for (int i = Math.Max(0, (int)(message.FirstTsn - FirstTsn)); i < Count && this[i].Message == message; i++)
            Leave(ref this[i], OutboundChunkState.Abandoned);
    }

    /// <summary>Takes a chunk out of the counts of its old state.</summary>
    private void Leave(ref OutboundChunk chunk, OutboundChunkState to)
    {
        if (chunk.State == OutboundChunkState.InFlight)
        {
            FlightSize -= CostOf(chunk.Length);
            FlightPayload -= chunk.Length;
        }
        else if (chunk.State == OutboundChunkState.Lost)
        {
            LostCount--;
        }

        chunk.State = to;
    }

    private void Grow()
    {
        var larger = new OutboundChunk[_ring.Length * 2];
        for (int i = 0; i < Count; i++)
            larger[i] = this[i];
        (_ring, _head) = (larger, 0);
    }
}
