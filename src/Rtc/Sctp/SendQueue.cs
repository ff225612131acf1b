using System.Buffers;
using System.Diagnostics.CodeAnalysis;

namespace Transcribe.Rtc.Sctp;

/// <summary>A message on its way out; its buffer is pooled.</summary>
internal sealed class OutboundMessage
{
    public byte[] Buffer { get; set; } = [];

    public int Length { get; set; }

    public ushort StreamId { get; set; }

    public ushort Ssn { get; set; }

    public uint PayloadProtocolId { get; set; }

    public bool Unordered { get; set; }

    /// <summary>-1 is without limit.</summary>
    public int MaxRetransmits { get; set; }

    public Instant Expires { get; set; }

    /// <summary>Bytes that were put into DATA chunks.</summary>
    public int Offset { get; set; }

    public uint FirstTsn { get; set; }

    /// <summary>DATA chunks of it that the cumulative TSN has not passed.</summary>
    public int Outstanding { get; set; }

    public bool Abandoned { get; set; }
}

/// <summary>
/// Messages not yet cut into DATA chunks. Streams take turns message by message; a message once begun is finished first,
/// for the TSNs of its fragments must be consecutive (RFC 9260, section 6.9).
/// </summary>
internal sealed class SendQueue
{
    /// <summary>Charged for every held message beside its bytes, so that tiny messages cannot pile up.</summary>
    public const int MessageOverhead = 64;

    private const int MaxPooled = 64;

    private readonly Dictionary<ushort, Stream> _streams = [];
    private readonly Queue<Stream> _ready = new();
    private readonly Stack<OutboundMessage> _pool = new();
    private readonly List<ushort> _low = [];
    private OutboundMessage? _current;

    private sealed class Stream(ushort id)
    {
        public ushort Id { get; } = id;

        public Queue<OutboundMessage> Messages { get; } = new();

        public ushort NextSsn { get; set; }

        public int Buffered { get; set; }

        public int LowThreshold { get; set; }

        public bool IsReady { get; set; }
    }

    /// <summary>Bytes of messages held, until the peer has acknowledged them.</summary>
    public int HeldBytes { get; private set; }

    /// <summary><see cref="HeldBytes"/> with the overhead per message.</summary>
    public int Charge { get; private set; }

    /// <summary>Unsent messages given up because their time had passed, since the counter was last taken.</summary>
    public int Expired { get; set; }

    /// <summary>True if nothing waits for its first transmission.</summary>
    public bool IsEmpty
    {
        get
        {
            foreach (Stream stream in _ready)
            {
                if (stream.Messages.Count > 0)
                    return false;
            }

            return _current is null;
        }
    }

    /// <summary>Streams whose buffered amount fell to their threshold.</summary>
    public List<ushort> LowStreams => _low;

    public void Enqueue(ushort streamId, uint ppid, ReadOnlySpan<byte> data, bool unordered, int maxRetransmits, Instant expires)
    {
        OutboundMessage message = _pool.TryPop(out OutboundMessage? pooled) ? pooled : new();
        message.Buffer = ArrayPool<byte>.Shared.Rent(data.Length);
        data.CopyTo(message.Buffer);
        message.Length = data.Length;
        message.StreamId = streamId;
        message.PayloadProtocolId = ppid;
        message.Unordered = unordered;
        message.MaxRetransmits = maxRetransmits;
        message.Expires = expires;
        message.Offset = 0;
        message.Outstanding = 0;
        message.Abandoned = false;
        HeldBytes += data.Length;
        Charge += data.Length + MessageOverhead;
        Stream stream = Get(streamId);
        stream.Messages.Enqueue(message);
        stream.Buffered += data.Length;
        if (!stream.IsReady)
        {
            stream.IsReady = true;
            _ready.Enqueue(stream);
        }
    }

    /// <summary>The message to take the next fragment from.</summary>
    public bool TryPeek(Instant now, [NotNullWhen(true)] out OutboundMessage? message)
    {
        while (_current is null && _ready.TryPeek(out Stream? stream))
        {
            if (stream.Messages.TryPeek(out OutboundMessage? head) && head.Expires <= now)
            {
                stream.Messages.Dequeue();
                Drained(stream, head.Length);
                Release(head);
                Expired++;
                continue;
            }

            if (head is not null)
                break;
            _ready.Dequeue();
            stream.IsReady = false;
        }

        message = _current ?? (_ready.TryPeek(out Stream? next) ? next.Messages.Peek() : null);
        return message is not null;
    }

    /// <summary>Marks bytes of the peeked message as put into a chunk. Its SSN is assigned with the first.</summary>
    public void Take(OutboundMessage message, int bytes)
    {
        Stream stream = Get(message.StreamId);
        if (_current is null)
        {
            _ready.Dequeue();
            stream.Messages.Dequeue();
            if (stream.Messages.Count > 0)
                _ready.Enqueue(stream);
            else
                stream.IsReady = false;
            _current = message;
            if (!message.Unordered)
                message.Ssn = stream.NextSsn++;
            else
                message.Ssn = 0;
        }

        message.Offset += bytes;
        if (message.Offset == message.Length)
            _current = null;
        Drained(stream, bytes);
    }

    /// <summary>Gives up the rest of a message that was begun. True if there was a rest.</summary>
    public bool AbandonRest(OutboundMessage message)
    {
        if (_current != message)
            return false;
        _current = null;
        Drained(Get(message.StreamId), message.Length - message.Offset);
        return true;
    }

    public void Release(OutboundMessage message)
    {
        HeldBytes -= message.Length;
        Charge -= message.Length + MessageOverhead;
        ArrayPool<byte>.Shared.Return(message.Buffer);
        message.Buffer = [];
        if (_pool.Count < MaxPooled)
            _pool.Push(message);
    }

    /// <summary>True if nothing of the stream waits for its first transmission.</summary>
    public bool IsDrained(ushort streamId) => !_streams.TryGetValue(streamId, out Stream? stream) || stream.Buffered == 0;

    public int GetBuffered(ushort streamId) => _streams.TryGetValue(streamId, out Stream? stream) ? stream.Buffered : 0;

    public void SetLowThreshold(ushort streamId, int bytes) => Get(streamId).LowThreshold = bytes;

    /// <summary>Drops what was not begun of a stream.</summary>
    public void Discard(ushort streamId)
    {
        if (!_streams.TryGetValue(streamId, out Stream? stream))
            return;
        while (stream.Messages.TryDequeue(out OutboundMessage? message))
        {
            stream.Buffered -= message.Length;
            Release(message);
        }
    }

    /// <summary>The stream begins anew with SSN 0.</summary>
    public void ResetStream(ushort streamId)
    {
        if (_streams.TryGetValue(streamId, out Stream? stream))
            (stream.NextSsn, stream.LowThreshold) = (0, 0);
    }

    /// <summary>Drops all that was not begun, and all stream state.</summary>
    public void Clear()
    {
        foreach (ushort id in _streams.Keys)
            Discard(id);
        _streams.Clear();
        _ready.Clear();
        _low.Clear();
        if (_current is { Outstanding: 0 } unsent)
            Release(unsent);
        _current = null;
    }

    private Stream Get(ushort streamId)
    {
        if (!_streams.TryGetValue(streamId, out Stream? stream))
            _streams[streamId] = stream = new(streamId);
        return stream;
    }

    private void Drained(Stream stream, int bytes)
    {
        int before = stream.Buffered;
        stream.Buffered -= bytes;
        if (before > stream.LowThreshold && stream.Buffered <= stream.LowThreshold)
            _low.Add(stream.Id);
    }
}
