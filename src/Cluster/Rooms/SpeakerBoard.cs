using Transcribe.Cluster.Sfu;

namespace Transcribe.Cluster.Rooms;

/// <summary>Who speaks in a room that is on several SFU nodes: each tells its own speakers, the board has them all. Not for concurrent use.</summary>
public sealed class SpeakerBoard(string room)
{
    private readonly Dictionary<string, IReadOnlyList<Speaker>> _byNode = new(StringComparer.Ordinal);
    private Speaker[] _last = [];

    /// <summary>A node's newest list replaces its former one.</summary>
    /// <returns>All speakers of the room, the loudest first; null where neither they nor their order changed.</returns>
    public ActiveSpeakers? Update(ActiveSpeakers told)
    {
        string node = told.Node ?? "";
        if (told.Speakers.Count > 0)
            _byNode[node] = told.Speakers;
        else
            _byNode.Remove(node);

        return Merge();
    }

    /// <summary>A node is gone: nobody speaks there any more.</summary>
    /// <inheritdoc cref="Update" path="/returns"/>
    public ActiveSpeakers? Forget(string node) => _byNode.Remove(node) ? Merge() : null;

    /// <summary>What was told may be old: begin with silence.</summary>
    /// <inheritdoc cref="Update" path="/returns"/>
    public ActiveSpeakers? Clear()
    {
        _byNode.Clear();
        return Merge();
    }

    private ActiveSpeakers? Merge()
    {
        // A relayed track may be heard on two nodes while it moves: it speaks once.
        Speaker[] speakers =
        [
            .. _byNode.Values.SelectMany(list => list)
                .GroupBy(speaker => speaker.TrackId, StringComparer.Ordinal)
                .Select(same => same.MinBy(speaker => speaker.Level)!)
                .OrderBy(speaker => speaker.Level).ThenBy(speaker => speaker.TrackId, StringComparer.Ordinal)
        ];
        bool same = speakers.Select(speaker => speaker.TrackId).SequenceEqual(_last.Select(speaker => speaker.TrackId), StringComparer.Ordinal);
        _last = speakers;
        return same ? null : new ActiveSpeakers(room, speakers);
    }
}
