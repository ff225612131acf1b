using Transcribe.Cluster.Sfu;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Workers;

// The last seconds of the voices that are transcribed.
internal sealed partial class SfuWorker
{
    internal bool IsTranscribed(string room) => _options.IsTranscribed(room);

    /// <summary>A room's transcription was switched on or off.</summary>
    internal void KeepHistory(string room, bool keep) => FindRoom(room)?.KeepHistory(keep);

    /// <summary>What is kept of a track published on this worker; null where nothing is.</summary>
    internal TrackHistory? ReadHistory(ReadHistory request)
    {
        foreach (SfuRoom room in _rooms.Values)
        {
            foreach (Publication publication in room.Publications)
            {
                if (publication.History is { } history && publication.TrackId == request.TrackId)
                {
                    return new TrackHistory(
                        request.TrackId, publication.Codec?.Name.ToLowerInvariant() ?? "opus", history.ClockRate, history.Read(request.FromTimestamp));
                }
            }
        }

        return null;
    }
}
