using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc.Negotiation;

/// <summary>What the m-sections of many sessions have alike, kept once.</summary>
/// <param name="Formats">Formats of the peer's m-line.</param>
/// <param name="Codecs">Codecs in force with their retransmission formats.</param>
/// <param name="ExtMaps">Header extensions in force.</param>
/// <param name="Negotiated">The same for the packet path.</param>
internal sealed record SharedNegotiation(
    IReadOnlyList<string> Formats,
    IReadOnlyList<RtpCodec> Codecs,
    IReadOnlyList<SdpExtMap> ExtMaps,
    NegotiatedMedia Negotiated)
{
    private SdpFormatText? _text;

    /// <summary>How our descriptions write it.</summary>
    public SdpFormatText Text => _text ??= SdpFormatText.Of(Codecs, ExtMaps);
}

/// <summary>What decides the outcome of a negotiation: the peer's format lines and our own abilities, each by instance.</summary>
internal readonly record struct NegotiationKey(
    SdpFormats Offered,
    IReadOnlyList<RtpCodec> Codecs,
    IReadOnlyList<string> Extensions,
    bool WithoutTransportFeedback,
    bool AllowMixedExtensions,
    bool ReducedSizeRtcp)
{
    // By instance: the contents of the format lines would be compared else.
    public bool Equals(NegotiationKey other) =>
        ReferenceEquals(Offered, other.Offered) && ReferenceEquals(Codecs, other.Codecs) && ReferenceEquals(Extensions, other.Extensions)
        && WithoutTransportFeedback == other.WithoutTransportFeedback && AllowMixedExtensions == other.AllowMixedExtensions
        && ReducedSizeRtcp == other.ReducedSizeRtcp;

    public override int GetHashCode() => HashCode.Combine(
        System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(Offered), WithoutTransportFeedback, AllowMixedExtensions, ReducedSizeRtcp);
}

/// <summary>
/// Clients of one make offer the same codecs and extensions, which take 10 KiB a session. Sessions of one host share
/// them. Thread-safe, bounded.
/// </summary>
internal sealed class NegotiationCache
{
    private const int Capacity = 256;
    private const int MaxText = 4096;

    private readonly Lock _lock = new();
    private readonly Dictionary<SharedNegotiation, SharedNegotiation> _known = new(new Comparer());
    private readonly Dictionary<NegotiationKey, SharedNegotiation> _outcomes = [];

    public int Count
    {
        get
        {
            lock (_lock)
                return _known.Count;
        }
    }

    /// <summary>The outcome of a negotiation that took place before.</summary>
    public SharedNegotiation? Find(in NegotiationKey key)
    {
        lock (_lock)
            return _outcomes.GetValueOrDefault(key);
    }

    /// <summary>Remembers the outcome of a negotiation.</summary>
    public void Add(in NegotiationKey key, SharedNegotiation outcome)
    {
        lock (_lock)
        {
            if (_outcomes.Count >= Capacity)
                _outcomes.Clear();
            _outcomes[key] = outcome;
        }
    }

    /// <summary>An equal one that others use, or this one.</summary>
    public SharedNegotiation Share(SharedNegotiation negotiation)
    {
        // What no browser offers is not worth a place.
        int text = negotiation.Formats.Sum(format => format.Length)
            + negotiation.Codecs.Sum(codec => codec.Name.Length + codec.Parameters.Sum(p => p.Key.Length + p.Value.Length))
            + negotiation.ExtMaps.Sum(map => map.Uri.Length);
        if (text > MaxText)
            return negotiation;
        lock (_lock)
        {
            if (_known.TryGetValue(negotiation, out SharedNegotiation? known))
                return known;
            if (_known.Count >= Capacity)
                _known.Clear();
            _known.Add(negotiation, negotiation);
            return negotiation;
        }
    }

    private sealed class Comparer : IEqualityComparer<SharedNegotiation>
    {
        public bool Equals(SharedNegotiation? x, SharedNegotiation? y) =>
            ReferenceEquals(x, y)
            || (x is not null && y is not null
                && x.Negotiated.AllowMixedExtensions == y.Negotiated.AllowMixedExtensions
                && x.Negotiated.ReducedSizeRtcp == y.Negotiated.ReducedSizeRtcp
                && x.Formats.SequenceEqual(y.Formats, StringComparer.Ordinal)
                && x.ExtMaps.SequenceEqual(y.ExtMaps)
                && Same(x.Codecs, y.Codecs)
                && Same(x.Negotiated.Codecs, y.Negotiated.Codecs));

        public int GetHashCode(SharedNegotiation negotiation)
        {
            HashCode hash = default;
            foreach (RtpCodec codec in negotiation.Codecs)
            {
                hash.Add(codec.PayloadType);
                hash.Add(codec.Name, StringComparer.Ordinal);
                hash.Add(codec.Parameters.Count);
            }

            foreach (SdpExtMap map in negotiation.ExtMaps)
                hash.Add(map.Id);
            hash.Add(negotiation.Formats.Count);
            return hash.ToHashCode();
        }

        private static bool Same(IReadOnlyList<RtpCodec> a, IReadOnlyList<RtpCodec> b)
        {
            if (a.Count != b.Count)
                return false;
            for (int i = 0; i < a.Count; i++)
            {
                if (!Same(a[i], b[i]))
                    return false;
            }

            return true;
        }

        private static bool Same(RtpCodec a, RtpCodec b) =>
            a.PayloadType == b.PayloadType && a.Name == b.Name && a.ClockRate == b.ClockRate && a.Channels == b.Channels
            && a.RtxPayloadType == b.RtxPayloadType && a.Feedback.SequenceEqual(b.Feedback)
            && a.Parameters.SequenceEqual(b.Parameters);
    }
}
