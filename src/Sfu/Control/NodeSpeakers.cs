using Transcribe.Cluster.Sfu;

namespace Transcribe.Sfu.Control;

/// <summary>Puts together who speaks on the workers of a node, room by room. For any thread.</summary>
internal sealed class NodeSpeakers(string nodeId)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Heard> _rooms = new(StringComparer.Ordinal);

    /// <summary>A worker's speakers changed.</summary>
    /// <returns>The speakers on the node, the loudest first; null where their order is as it was.</returns>
    public ActiveSpeakers? Update(int worker, ActiveSpeakers speakers)
    {
        lock (_lock)
        {
            if (!_rooms.TryGetValue(speakers.Room, out Heard? heard))
                _rooms.Add(speakers.Room, heard = new Heard());
            if (speakers.Speakers.Count > 0)
                heard.ByWorker[worker] = speakers.Speakers;
            else
                heard.ByWorker.Remove(worker);

            Speaker[] all = [.. heard.ByWorker.Values.SelectMany(s => s).OrderBy(s => s.Level)];
            if (heard.ByWorker.Count == 0)
                _rooms.Remove(speakers.Room);
            string[] order = [.. all.Select(s => s.TrackId)];
            if (order.AsSpan().SequenceEqual(heard.Told))
                return null;
            heard.Told = order;
            return new ActiveSpeakers(speakers.Room, all, nodeId);
        }
    }

    private sealed class Heard
    {
        public Dictionary<int, IReadOnlyList<Speaker>> ByWorker { get; } = [];

        public string[] Told { get; set; } = [];
    }
}
