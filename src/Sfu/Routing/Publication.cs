using Transcribe.Cluster.Rooms;
using Transcribe.Rtc;
using Transcribe.Rtc.Codecs;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Routing;

/// <summary>
/// A published track on this worker: takes each of its packets once and hands it to the downtracks, and to other workers
/// that have some. Keeps what all of them share: the retransmission cache, the last sender report, the pending keyframe
/// request.
/// </summary>
internal sealed partial class Publication
{
    /// <summary>A keyframe asked for and not seen is asked for again after this.</summary>
    private static readonly TimeSpan KeyframePatience = TimeSpan.FromSeconds(1);

    /// <summary>Packets wait for the rest of their frame no longer than this.</summary>
    private static readonly TimeSpan LongestHold = TimeSpan.FromMicroseconds(500);

    /// <summary>With fewer subscribers, sending a frame in one piece saves less than the wait costs.</summary>
    private const int HoldForSubscribers = 4;

    private readonly SfuWorker _worker;
    private readonly ITrackOrigin _origin;
    private readonly TrackInfo _info;
    private RetransmissionCache? _cache;
    private AudioHistory? _history;
    private PacketRun? _run;
    private Downtrack[] _downtracks = new Downtrack[4];
    private int _count;
    private int _repairable;
    private PayloadFormat _format;
    private int _codecPayloadType = -1;
    private SenderReport _report;
    private Instant _reportArrival;
    private bool _hasReport;
    private bool _isWanted;
    private uint? _ssrc;
    private Instant _keyframeAsked = new(long.MinValue / 2);

    /// <param name="room">Its room on this worker.</param>
    /// <param name="info">What it is, as far as it is known now.</param>
    /// <param name="owner">The session of this worker that publishes it; null for one that comes from elsewhere.</param>
    public Publication(SfuRoom room, TrackInfo info, ITrackOrigin origin, SfuSession? owner)
    {
        Room = room;
        Owner = owner;
        _worker = room.Worker;
        _info = info;
        _origin = origin;
        IsMuted = info.Muted;
        Activity = Kind == TrackKind.Audio && owner is not null ? new AudioActivity() : null;
        _ssrc = info.Ssrc;

        // What another node's publisher prefers is not known here; links carry every codec.
        Codec = info.Node == _worker.NodeId ? origin.Codecs.FirstOrDefault(codec => !codec.IsRepair) : null;
    }

    public SfuRoom Room { get; }

    /// <summary>The session of this worker that publishes it; null for one that comes from elsewhere.</summary>
    public SfuSession? Owner { get; }

    public ITrackOrigin Origin => _origin;

    public string TrackId => _info.Id;

    /// <summary>Who publishes it.</summary>
    public string Participant => _info.Participant;

    public TrackKind Kind => _info.Kind;

    /// <summary>What it is sent with: the codec of its packets, before them the one its publisher prefers, null for a remote one.</summary>
    public RtpCodec? Codec { get; private set; }

    public bool IsMuted { get; private set; }

    /// <summary>The last seconds of a voice that is transcribed; null for any other track.</summary>
    public AudioHistory? History => _history;

    /// <summary>Loudness; null for video, and for a track that is heard elsewhere first.</summary>
    public AudioActivity? Activity { get; }

    public bool IsClosed { get; private set; }

    /// <summary>Whether others may know of it. A hidden session's tracks are told to nobody.</summary>
    public bool IsAnnounced => Owner is not { Hidden: true };

    /// <summary>Downtracks that wait for a keyframe.</summary>
    public int Waiting { get; set; }

    /// <summary>The cluster is told of a track by the node of its publisher.</summary>
    private bool IsOurs => Owner is { Hidden: false };

    public TrackInfo Describe() => _info with { Muted = IsMuted, Ssrc = _ssrc };

    public void Add(Downtrack downtrack)
    {
        if (_count == _downtracks.Length)
            Array.Resize(ref _downtracks, _count * 2);
        downtrack.Index = _count;
        _downtracks[_count++] = downtrack;
        if (downtrack.CanRepair)
            _repairable++;
        _worker.Counters.Downtracks++;
        UpdateWanted();
    }

    public void Remove(Downtrack downtrack)
    {
        int index = downtrack.Index;
        if ((uint)index >= (uint)_count || !ReferenceEquals(_downtracks[index], downtrack))
            return;
        Downtrack last = _downtracks[--_count];
        _downtracks[index] = last;
        last.Index = index;
        _downtracks[_count] = null!;
        downtrack.Index = -1;
        if (downtrack.CanRepair && --_repairable == 0)
            _cache?.Clear();
        _worker.Counters.Downtracks--;
        UpdateWanted();
    }

    /// <summary>One packet of the publisher, decrypted; to everybody who receives the track.</summary>
    public void OnPacket(Instant now, in RtpPacket packet)
    {
        if (_ssrc is null)
        {
            _ssrc = packet.Ssrc;
            Announce();
        }

        if (IsMuted)
        {
            _worker.Counters.Drop(SfuDropReason.Muted);
            return;
        }

        byte payloadType = packet.PayloadType;
        if (payloadType != _codecPayloadType)
            UseCodec(payloadType);

        if (Activity is not null)
        {
            if (packet.TryGetExtension(_origin.HeaderExtensions.AudioLevel, out ReadOnlySpan<byte> data)
                && AudioLevel.TryRead(data, out AudioLevel level))
            {
                Activity.OnLevel(level.Level);
            }
        }

        _history?.Add(packet);
        if (_repairable > 0)
            (_cache ??= NewCache()).Add(now, packet);
        if (_count == 0 && _crossings.Count == 0)
            return;
        _run ??= new PacketRun();
        _run.Add(now, packet);
        if (_run.IsFull || !_worker.StaysInPlace(packet.Bytes))
            Forward(now);
        else
            _worker.Queue(this, _run);
    }

    /// <summary>Whether the packets at hand should wait for the rest of their frame, until the instant told.</summary>
    public bool TryHold(Instant now, out Instant until)
    {
        until = Instant.Never;
        if (_run is not { Count: > 0, EndsFrame: false } run || (_count < HoldForSubscribers && _crossings.Count == 0))
            return false;
        until = run.Since + LongestHold;
        return now < until && run.TryHold();
    }

    /// <summary>Sends the packets at hand to everybody who receives the track.</summary>
    public void Forward(Instant now)
    {
        if (_run is not { Count: > 0 } run)
            return;
        if (_crossings.Count > 0)
            Cross(run);
        if (Waiting > 0)
            LookForKeyframe(now, run);

        // Backwards: a downtrack that is taken out during the loop is replaced by one that had its packets.
        Downtrack[] downtracks = _downtracks;
        for (int i = _count - 1; i >= 0; i--)
        {
            Downtrack downtrack = downtracks[i];
            try
            {
                downtrack.Forward(now, run);
            }
            catch (Exception e)
            {
                _worker.Fault(downtrack.Subscriber, e);
            }
        }

        run.Clear();
    }

    public void OnSenderReport(in SenderReport report, Instant arrival)
    {
        (_report, _reportArrival, _hasReport) = (report, arrival, true);
        foreach ((WorkerLink link, int channel) in _crossings)
            link.Write(channel, report, arrival);
        for (int i = 0; i < _count; i++)
            _downtracks[i].UseSenderReport(report, arrival);
    }

    public bool TryGetSenderReport(out SenderReport report, out Instant arrival)
    {
        (report, arrival) = (_report, _reportArrival);
        return _hasReport;
    }

    /// <summary>A packet still in the cache, by the publisher's number.</summary>
    public bool TryGetPacket(Instant now, ushort sequenceNumber, out RtpPacket packet)
    {
        if (_cache is not null)
            return _cache.TryGet(now, sequenceNumber, out packet);
        packet = default;
        return false;
    }

    /// <summary>Asks the publisher for a keyframe. Many requests become one: the session throttles what it sends.</summary>
    public void RequestKeyframe(Instant now)
    {
        if (Kind != TrackKind.Video || IsClosed || IsMuted)
            return;
        _keyframeAsked = now;
        _origin.RequestKeyframe(now);
    }

    /// <summary>Muted, nothing is forwarded, whatever the publisher sends.</summary>
    public void SetMuted(bool muted)
    {
        if (IsMuted == muted)
            return;
        IsMuted = muted;
        _run?.Clear();
        _history?.Clear();
        Activity?.Reset();
        if (!muted)
        {
            for (int i = 0; i < _count; i++)
                _downtracks[i].Resume();
            if (_count > 0)
                RequestKeyframe(_worker.Now);
        }

        if (IsOurs)
            _worker.Raise(new TrackMuteChanged(Room.Name, Participant, TrackId, muted));
        Room.OnMuted(this);
    }

    /// <summary>Keeps the last seconds of a voice published here, or forgets them.</summary>
    public void KeepHistory(bool keep)
    {
        if (!keep || IsClosed)
            _history = null;
        else if (Kind == TrackKind.Audio && IsOurs)
            _history ??= new AudioHistory();
    }

    /// <summary>Tells the cluster of the track, if that is this node's to do.</summary>
    public void Announce()
    {
        if (IsOurs)
            _worker.Raise(new TrackAnnounced(Room.Name, Owner!.Id, Describe()));
    }

    /// <summary>Tells the cluster that the track is gone, if that is this node's to do.</summary>
    public void Withdraw()
    {
        if (IsOurs)
            _worker.Raise(new TrackWithdrawn(Room.Name, Participant, TrackId));
    }

    /// <summary>No packet comes any more.</summary>
    public void Close()
    {
        IsClosed = true;
        _run?.Clear();
        while (_count > 0)
            _downtracks[_count - 1].Detach();
        _crossings.Clear();
        UpdateWanted();
        _cache = null;
        _history = null;
    }

    private void UpdateWanted()
    {
        bool wanted = _count + _crossings.Count > 0;
        if (wanted == _isWanted)
            return;
        _isWanted = wanted;
        _origin.SetWanted(_worker.Now, wanted);
    }

    private void LookForKeyframe(Instant now, PacketRun run)
    {
        bool any = false;
        for (int i = 0; i < run.Count; i++)
        {
            ref readonly RtpOutline outline = ref run.Outline(i);
            bool keyframe = PayloadFormats.IsKeyframe(_format, run.Packet(i).Slice(outline.HeaderLength, outline.PayloadLength));
            run.IsKeyframe(i) = keyframe;
            any |= keyframe;
        }

        if (!any && now - _keyframeAsked > KeyframePatience)
            RequestKeyframe(now);
    }

    private RetransmissionCache NewCache() =>
        new(Kind == TrackKind.Audio ? RetransmissionCacheOptions.Audio : RetransmissionCacheOptions.Video);

    private void UseCodec(byte payloadType)
    {
        _codecPayloadType = payloadType;
        RtpCodec? codec = null;
        foreach (RtpCodec candidate in _origin.Codecs)
        {
            if (candidate.PayloadType == payloadType)
                codec = candidate;
        }

        _format = codec is null ? PayloadFormat.Unknown : PayloadFormats.Of(codec.Name);
        if (codec is not null && !codec.IsRepair)
            Codec = codec;
    }
}
