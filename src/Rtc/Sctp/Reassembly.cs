using System.Buffers;

namespace Transcribe.Rtc.Sctp;

/// <summary>
/// Puts fragments together and messages in order (RFC 9260, sections 6.5, 6.6 and 6.9). Whole messages that are due go to
/// the receiver at once, without a copy; only the rest is held, in pooled buffers.
/// </summary>
internal sealed class Reassembly(int maxMessageSize, Reassembly.IReceiver receiver)
{
    /// <summary>Charged for every held fragment beside its bytes, so that tiny fragments cannot pile up.</summary>
    public const int FragmentOverhead = 64;

    private readonly Dictionary<ushort, Stream> _streams = [];

    internal interface IReceiver
    {
        /// <summary>False if nothing may be delivered any more (the association closed inside the call).</summary>
        bool Deliver(ushort streamId, uint payloadProtocolId, ReadOnlySpan<byte> message);
    }

    private readonly record struct Fragment(uint Tsn, byte[] Buffer, int Length, byte Flags, uint Ppid);

    private sealed class Partial
    {
        public List<Fragment> Fragments { get; } = [];

        public int Bytes { get; set; }

        public bool IsComplete =>
            (Fragments[0].Flags & DataChunk.Begin) != 0 && (Fragments[^1].Flags & DataChunk.End) != 0 &&
            Fragments[^1].Tsn - Fragments[0].Tsn == (uint)(Fragments.Count - 1);
    }

    private sealed class Stream(ushort id)
    {
        public ushort Id { get; } = id;

        public ushort NextSsn { get; set; }

        public Dictionary<ushort, Partial> Ordered { get; } = [];

        public List<Fragment> Unordered { get; } = [];
    }

    /// <summary>Bytes held, overhead included.</summary>
    public int HeldBytes { get; private set; }

    /// <summary>Takes a chunk that has not been seen before. False if its message is larger than allowed.</summary>
    public bool TryAdd(in DataChunk chunk)
    {
        if (!_streams.TryGetValue(chunk.StreamId, out Stream? stream))
            _streams[chunk.StreamId] = stream = new(chunk.StreamId);
        const byte Whole = DataChunk.Begin | DataChunk.End;
        bool isWhole = (chunk.Flags & Whole) == Whole;
        if (isWhole && chunk.UserData.Length > maxMessageSize)
            return false;
        if ((chunk.Flags & DataChunk.Unordered) != 0)
        {
            if (!isWhole)
                return TryAddUnordered(stream, chunk);
            receiver.Deliver(chunk.StreamId, chunk.PayloadProtocolId, chunk.UserData);
            return true;
        }

        if (isWhole && chunk.Ssn == stream.NextSsn && !stream.Ordered.ContainsKey(chunk.Ssn))
        {
            stream.NextSsn++;
            if (receiver.Deliver(chunk.StreamId, chunk.PayloadProtocolId, chunk.UserData))
                DeliverDue(stream);
            return true;
        }

        if (Serial.Less(chunk.Ssn, stream.NextSsn))
            return true; // of a message that was skipped or that never was; nothing can become of it

        if (!stream.Ordered.TryGetValue(chunk.Ssn, out Partial? partial))
            stream.Ordered[chunk.Ssn] = partial = new();
        InsertAt(partial.Fragments, Hold(chunk));
        partial.Bytes += chunk.UserData.Length;
        if (partial.Bytes > maxMessageSize)
            return false;
        if (chunk.Ssn == stream.NextSsn)
            DeliverDue(stream);
        return true;
    }

    /// <summary>FORWARD TSN for one ordered stream: messages up to the SSN will not be completed.</summary>
    public void SkipOrdered(ushort streamId, ushort ssn)
    {
        if (!_streams.TryGetValue(streamId, out Stream? stream))
            _streams[streamId] = stream = new(streamId);
        if (Serial.Less(ssn, stream.NextSsn))
            return;

        // A jump further than what is held is walked over what is held, in order.
        List<ushort>? passed = null;
        foreach (ushort held in stream.Ordered.Keys)
        {
            if (Serial.LessOrEqual(held, ssn))
                (passed ??= []).Add(held);
        }

        ushort first = stream.NextSsn;
        passed?.Sort((a, b) => ((ushort)(a - first)).CompareTo((ushort)(b - first)));
        stream.NextSsn = (ushort)(ssn + 1);
        foreach (ushort held in passed ?? [])
        {
            if (!stream.Ordered.Remove(held, out Partial? partial))
                continue;
            if (partial.IsComplete)
            {
                if (!Deliver(stream.Id, partial.Fragments, 0, partial.Fragments.Count))
                    return;
            }
            else
            {
                Release(partial.Fragments);
            }
        }

        DeliverDue(stream);
    }

    /// <summary>FORWARD TSN for unordered fragments: those up to the TSN will not be completed.</summary>
    public void SkipUnordered(uint tsn)
    {
        foreach (Stream stream in _streams.Values)
        {
            int passed = 0;
            while (passed < stream.Unordered.Count && Serial.LessOrEqual(stream.Unordered[passed].Tsn, tsn))
                Release(stream.Unordered[passed++]);
            stream.Unordered.RemoveRange(0, passed);
        }
    }

    /// <summary>The stream begins anew with SSN 0.</summary>
    public void Reset(ushort streamId)
    {
        if (_streams.Remove(streamId, out Stream? stream))
            Clear(stream);
    }

    /// <summary>All streams begin anew.</summary>
    public void ResetAll()
    {
        foreach (Stream stream in _streams.Values)
            Clear(stream);
        _streams.Clear();
    }

    private void Clear(Stream stream)
    {
        foreach (Partial partial in stream.Ordered.Values)
            Release(partial.Fragments);
        Release(stream.Unordered);
        stream.Ordered.Clear();
        stream.Unordered.Clear();
    }

    private bool TryAddUnordered(Stream stream, in DataChunk chunk)
    {
        List<Fragment> held = stream.Unordered;
        int at = InsertAt(held, Hold(chunk));
        int first = at;
        int bytes = held[at].Length;
        while ((held[first].Flags & DataChunk.Begin) == 0 && first > 0 && held[first - 1].Tsn + 1 == held[first].Tsn
            && (held[first - 1].Flags & DataChunk.End) == 0)
        {
            bytes += held[--first].Length;
        }

        int last = at;
        while ((held[last].Flags & DataChunk.End) == 0 && last + 1 < held.Count && held[last + 1].Tsn == held[last].Tsn + 1
            && (held[last + 1].Flags & DataChunk.Begin) == 0)
        {
            bytes += held[++last].Length;
        }

        if (bytes > maxMessageSize)
            return false;
        if ((held[first].Flags & DataChunk.Begin) == 0 || (held[last].Flags & DataChunk.End) == 0)
            return true;
        List<Fragment> message = held.GetRange(first, last - first + 1);
        held.RemoveRange(first, message.Count);
        Deliver(stream.Id, message, 0, message.Count);
        return true;
    }

    private void DeliverDue(Stream stream)
    {
        while (stream.Ordered.TryGetValue(stream.NextSsn, out Partial? partial) && partial.IsComplete)
        {
            stream.Ordered.Remove(stream.NextSsn++);
            if (!Deliver(stream.Id, partial.Fragments, 0, partial.Fragments.Count))
                return;
        }
    }

    private bool Deliver(ushort streamId, List<Fragment> fragments, int first, int count)
    {
        uint ppid = fragments[first].Ppid;
        if (count == 1)
        {
            Fragment only = fragments[first];
            bool goOn = receiver.Deliver(streamId, ppid, only.Buffer.AsSpan(0, only.Length));
            Release(only);
            return goOn;
        }

        int length = 0;
        for (int i = first; i < first + count; i++)
            length += fragments[i].Length;
        byte[] whole = ArrayPool<byte>.Shared.Rent(length);
        int at = 0;
        for (int i = first; i < first + count; i++)
        {
            fragments[i].Buffer.AsSpan(0, fragments[i].Length).CopyTo(whole.AsSpan(at));
            at += fragments[i].Length;
            Release(fragments[i]);
        }

        bool result = receiver.Deliver(streamId, ppid, whole.AsSpan(0, length));
        ArrayPool<byte>.Shared.Return(whole);
        return result;
    }

    private Fragment Hold(in DataChunk chunk)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(chunk.UserData.Length);
        chunk.UserData.CopyTo(buffer);
        HeldBytes += chunk.UserData.Length + FragmentOverhead;
        return new(chunk.Tsn, buffer, chunk.UserData.Length, chunk.Flags, chunk.PayloadProtocolId);
    }

    private void Release(in Fragment fragment)
    {
        HeldBytes -= fragment.Length + FragmentOverhead;
        ArrayPool<byte>.Shared.Return(fragment.Buffer);
    }

    private void Release(List<Fragment> fragments)
    {
        foreach (Fragment fragment in fragments)
            Release(fragment);
    }

    private static int InsertAt(List<Fragment> fragments, in Fragment fragment)
    {
        int at = fragments.Count;
        while (at > 0 && Serial.Less(fragment.Tsn, fragments[at - 1].Tsn))
            at--;
        fragments.Insert(at, fragment);
        return at;
    }
}
