namespace Transcribe.Rtc.Rtp;

/// <summary>
/// The header extensions one m-section negotiated: ids by URI, and the well-known ones as fields, so that a packet path
/// needs no dictionary. An id of 0 means "not negotiated".
/// </summary>
public sealed class RtpExtensionIds
{
    private readonly Dictionary<string, byte> _ids = new(StringComparer.Ordinal);

    /// <summary>Nothing negotiated.</summary>
    public static RtpExtensionIds None { get; } = new([]);

    /// <param name="extensions">Id and URI of each negotiated extension; ids outside 1..255 are ignored.</param>
    public RtpExtensionIds(IEnumerable<(int Id, string Uri)> extensions)
    {
        foreach ((int id, string uri) in extensions)
        {
            if (id is > 0 and < 256)
                _ids[uri] = (byte)id;
        }

        Mid = Of(RtpExtensionUris.Mid);
        RtpStreamId = Of(RtpExtensionUris.RtpStreamId);
        RepairedRtpStreamId = Of(RtpExtensionUris.RepairedRtpStreamId);
        AudioLevel = Of(RtpExtensionUris.AudioLevel);
        AbsoluteSendTime = Of(RtpExtensionUris.AbsoluteSendTime);
        TransportSequenceNumber = Of(RtpExtensionUris.TransportSequenceNumber);
        VideoOrientation = Of(RtpExtensionUris.VideoOrientation);
    }

    public byte Mid { get; }

    public byte RtpStreamId { get; }

    public byte RepairedRtpStreamId { get; }

    public byte AudioLevel { get; }

    public byte AbsoluteSendTime { get; }

    public byte TransportSequenceNumber { get; }

    public byte VideoOrientation { get; }

    /// <summary>All negotiated extensions.</summary>
    public IReadOnlyDictionary<string, byte> All => _ids;

    /// <summary>The id of a URI, or 0.</summary>
    public byte Of(string uri) => _ids.GetValueOrDefault(uri);
}

/// <summary>
/// Which header extension of a source becomes which of a destination. Extensions that describe one hop (mid, rid,
/// send time, transport sequence number) are never mapped: the destination's sender writes its own.
/// </summary>
public sealed class RtpExtensionMap
{
    private static readonly string[] HopByHop =
    [
        RtpExtensionUris.Mid,
        RtpExtensionUris.RtpStreamId,
        RtpExtensionUris.RepairedRtpStreamId,
        RtpExtensionUris.AbsoluteSendTime,
        RtpExtensionUris.TransportSequenceNumber,
        RtpExtensionUris.TransmissionOffset,
        RtpExtensionUris.VideoTiming,
    ];

    private readonly byte[] _destinationBySource = new byte[256];

    private RtpExtensionMap()
    {
    }

    /// <summary>Maps nothing: every extension of the source is dropped.</summary>
    public static RtpExtensionMap Empty { get; } = new();

    /// <summary>Destination id of a source id, or 0 where the destination did not negotiate it.</summary>
    public byte this[byte sourceId] => _destinationBySource[sourceId];

    /// <summary>Maps the extensions both sides negotiated, hop-by-hop ones excepted.</summary>
    public static RtpExtensionMap Between(RtpExtensionIds source, RtpExtensionIds destination)
    {
        RtpExtensionMap map = new();
        foreach ((string uri, byte id) in source.All)
        {
            if (!HopByHop.Contains(uri))
                map._destinationBySource[id] = destination.Of(uri);
        }

        return map;
    }

    /// <summary>Maps exactly the given ids.</summary>
    public static RtpExtensionMap Of(IEnumerable<(byte Source, byte Destination)> pairs)
    {
        RtpExtensionMap map = new();
        foreach ((byte source, byte destination) in pairs)
        {
            if (source != 0)
                map._destinationBySource[source] = destination;
        }

        return map;
    }
}
