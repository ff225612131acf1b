using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Transcribe.Cluster.Rooms;
using Transcribe.Rtc;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Relay;

/// <summary>
/// A track that is published on another node: its packets come by a link, once, however many receivers are here, and only
/// while there are any. For the thread of the node's relay worker.
/// </summary>
internal sealed class RelayOrigin(TrackInfo info, RelayFormat format, Action<bool> wanted) : ITrackOrigin
{
    private readonly SequenceSplice _sequence = new();
    private SfuSession? _link;
    private RtcMedia? _media;
    private uint _lastTimestamp;
    private bool _hasTimestamp;
    private bool _skipOld;

    public TrackInfo Info => info;

    /// <summary>The publication that this one feeds.</summary>
    public Publication? Target { get; set; }

    public IReadOnlyList<RtpCodec> Codecs => format.Codecs;

    public RtpExtensionIds HeaderExtensions => format.HeaderExtensions;

    /// <summary>Packets taken, over all links.</summary>
    public long Packets { get; private set; }

    /// <summary>The packets come on this m-section of this link from now on.</summary>
    public void Attach(SfuSession link, RtcMedia media)
    {
        if (_media is not null && ReferenceEquals(_media.Tag, this))
            _media.Tag = null;
        (_link, _media) = (link, media);
        media.Tag = this;
        _sequence.Restart();
        _skipOld = _hasTimestamp;
    }

    /// <summary>The m-section carries something else from now on, or nothing.</summary>
    public void Detach(RtcMedia media)
    {
        if (ReferenceEquals(media.Tag, this))
            media.Tag = null;
        if (ReferenceEquals(_media, media))
            (_link, _media) = (null, null);
    }

    public void OnPacket(Instant now, in RtpPacket packet)
    {
        if (_skipOld && info.Kind == TrackKind.Audio)
        {
            // Two links overlap for a moment: what came by the one must not come again by the other.
            int ahead = unchecked((int)(packet.Timestamp - _lastTimestamp));
            if (ahead <= 0 && ahead > -48_000 * 5)
                return;
        }

        if (!_sequence.TryMap(packet.SequenceNumber, out ushort sequenceNumber))
            return;
        _skipOld = false;
        if (!_hasTimestamp || unchecked((int)(packet.Timestamp - _lastTimestamp)) > 0)
            _lastTimestamp = packet.Timestamp;
        _hasTimestamp = true;
        Packets++;

        // The bytes are this worker's: what the session has done with the number is done.
        ReadOnlySpan<byte> bytes = packet.Bytes;
        Span<byte> own = MemoryMarshal.CreateSpan(ref MemoryMarshal.GetReference(bytes), bytes.Length);
        BinaryPrimitives.WriteUInt16BigEndian(own[2..], sequenceNumber);
        Target?.OnPacket(now, packet);
    }

    public void OnSenderReport(in SenderReport report, Instant arrival) => Target?.OnSenderReport(report, arrival);

    public bool RequestKeyframe(Instant now)
    {
        // Without a link: the node at its other end asks for one when it comes.
        if (_media is null || _link is null || !_media.RequestKeyframe(now))
            return false;
        _link.Worker.Counters.KeyframesRequested++;
        _link.Worker.Touch(_link);
        return true;
    }

    public void SetWanted(Instant now, bool isWanted) => wanted(isWanted);
}
