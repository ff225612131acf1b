using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Routing;

/// <summary>
/// One worker's part of a room: the sessions that live on it, and the tracks they may receive, those included that come
/// from other workers of the node.
/// </summary>
internal sealed partial class SfuRoom
{
    public delegate void RelayedData(in DataMessage message, ReadOnlySpan<byte> data);

    private static readonly TimeSpan SpeakerInterval = TimeSpan.FromMilliseconds(300);

    /// <summary>dB.</summary>
    private const int LevelStep = 6;

    private readonly SfuWorker _worker;
    private readonly List<SfuSession> _sessions = [];
    private readonly List<Publication> _publications = [];
    private readonly SpeakerTimer _timer;
    private readonly List<Publication> _speaking = [];
    private readonly List<SfuSession> _watchers = [];
    private string[] _lastSpeakers = [];
    private bool _keepsHistory;
    private int[] _lastLevels = [];

    public SfuRoom(SfuWorker worker, string name)
    {
        _worker = worker;
        Name = name;
        _timer = new SpeakerTimer(this);
        _keepsHistory = worker.IsTranscribed(name);
    }

    public string Name { get; }

    public SfuWorker Worker => _worker;

    /// <summary>Takes the messages of this node's sessions to other nodes; set on one worker of the node.</summary>
    public RelayedData? Relayed { get; set; }

    /// <summary>How many keep it; see <see cref="SfuWorker.HoldRoom"/>.</summary>
    public int Holders { get; set; }

    public IReadOnlyList<SfuSession> Sessions => _sessions;

    /// <summary>In the order in which they were published.</summary>
    public IReadOnlyList<Publication> Publications => _publications;

    public void Add(SfuSession session) => _sessions.Add(session);

    public void Remove(SfuSession session)
    {
        _sessions.Remove(session);
        session.ReleaseSlots();
        Unpublish(session.TakePublications());
    }

    public void Publish(Publication publication)
    {
        _publications.Add(publication);
        _worker.Counters.Publications++;
        if (publication.Activity is not null && !_timer.IsScheduled)
            _worker.Schedule(_timer, _worker.Now + SpeakerInterval);
        publication.KeepHistory(_keepsHistory);
        publication.Announce();
        foreach (SfuWorker peer in _peers)
            TellOf(publication, peer);
        foreach (SfuSession watcher in _watchers)
            watcher.OnPublished(publication);
    }

    /// <summary>Tells a link of every track that comes up.</summary>
    public void Watch(SfuSession link)
    {
        if (!_watchers.Contains(link))
            _watchers.Add(link);
    }

    public void Unwatch(SfuSession link) => _watchers.Remove(link);

    /// <summary>Sends another node's message to everybody here.</summary>
    public void FanOutRelayed(in DataMessage message, ReadOnlySpan<byte> data)
    {
        Deliver(null, message, data);
        SendToPeers(message, data);
    }

    /// <summary>Takes tracks off the air; their slots are free for others at once.</summary>
    /// <param name="except">See <see cref="Reassign"/>.</param>
    public void Unpublish(IReadOnlyList<Publication> publications, SfuSession? except = null)
    {
        if (publications.Count == 0)
            return;
        foreach (Publication publication in publications)
        {
            if (!_publications.Remove(publication))
                continue;
            _worker.Counters.Publications--;
            publication.Close();
            publication.Withdraw();
            TellGone(publication);
        }

        Reassign(except);
    }

    /// <summary>Whether the last seconds of the room's voices are kept.</summary>
    public void KeepHistory(bool keep)
    {
        _keepsHistory = keep;
        foreach (Publication publication in _publications)
            publication.KeepHistory(keep);
    }

    /// <summary>Gives every session's slots what it wants now, and tells those for which that changed something.</summary>
    /// <param name="except">A session that is negotiating: it gets its assignments with the answer.</param>
    public void Reassign(SfuSession? except = null)
    {
        foreach (SfuSession session in _sessions)
        {
            if (!ReferenceEquals(session, except))
                session.Reassign();
        }
    }

    /// <summary>Sends a message to everybody else who may receive data.</summary>
    public void FanOut(SfuSession sender, in DataMessage message, ReadOnlySpan<byte> data)
    {
        Deliver(sender, message, data);
        SendToPeers(message, data);
    }

    private void Deliver(SfuSession? sender, in DataMessage message, ReadOnlySpan<byte> data)
    {
        foreach (SfuSession session in _sessions)
        {
            if (ReferenceEquals(session, sender) || !session.Grants.Subscribe)
                continue;
            try
            {
                session.SendData(message, data);
            }
            catch (Exception e)
            {
                _worker.Fault(session, e);
            }
        }
    }

    private void UpdateSpeakers(Instant now)
    {
        _speaking.Clear();
        bool anyAudio = false;
        foreach (Publication publication in _publications)
        {
            if (publication.Activity is not AudioActivity activity)
                continue;
            anyAudio = true;
            activity.EndInterval();
            if (activity.IsActive && publication.IsAnnounced)
                _speaking.Add(publication);
        }

        if (_speaking.Count > 1)
            _speaking.Sort(static (a, b) => b.Activity!.Loudness.CompareTo(a.Activity!.Loudness));
        if (!IsSameAsLast())
        {
            _lastSpeakers = [.. _speaking.Select(p => p.TrackId)];
            _lastLevels = [.. _speaking.Select(p => p.Activity!.Level)];
            _worker.Raise(new SpeakersChanged(new ActiveSpeakers(
                Name, [.. _speaking.Select(p => new Speaker(p.Participant, p.TrackId, p.Activity!.Level))])));
        }

        if (anyAudio || _lastSpeakers.Length > 0)
            _worker.Schedule(_timer, now + SpeakerInterval);
    }

    private bool IsSameAsLast()
    {
        if (_lastSpeakers.Length != _speaking.Count)
            return false;
        for (int i = 0; i < _lastSpeakers.Length; i++)
        {
            if (_lastSpeakers[i] != _speaking[i].TrackId)
                return false;

            // Who is the loudest of several workers is seen from the levels.
            if (_peers.Count > 0 && Math.Abs(_lastLevels[i] - _speaking[i].Activity!.Level) >= LevelStep)
                return false;
        }

        return true;
    }

    private sealed class SpeakerTimer(SfuRoom room) : WheelTimer
    {
        public override void Fire(Instant now) => room.UpdateSpeakers(now);
    }
}
