using Transcribe.Rtc;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Routing;

// To other workers of the node: each gets every packet once.
internal sealed partial class Publication
{
    private readonly List<(WorkerLink Link, int Channel)> _crossings = [];

    /// <summary>Another worker has receivers of the track.</summary>
    /// <param name="channel">Under which the other worker knows it.</param>
    public void AddCrossing(Instant now, SfuWorker to, int channel)
    {
        if (IsClosed)
            return;
        WorkerLink link = _worker.LinkTo(to);
        _crossings.Add((link, channel));
        if (_hasReport)
            link.Write(channel, _report, _reportArrival);
        UpdateWanted();

        // What a receiver over there asked for before this came.
        RequestKeyframe(now);
    }

    /// <summary>The other worker's last receiver is gone.</summary>
    public void RemoveCrossing(SfuWorker to, int channel)
    {
        _crossings.RemoveAll(c => c.Channel == channel && ReferenceEquals(c.Link.To, to));
        UpdateWanted();
    }

    private void Cross(PacketRun run)
    {
        foreach ((WorkerLink link, int channel) in _crossings)
        {
            int dropped = 0;
            for (int i = 0; i < run.Count; i++)
            {
                if (!link.Write(channel, run.Packet(i)))
                    dropped++;
            }

            link.Publish();
            if (dropped > 0)
                _worker.Counters.Drop(SfuDropReason.WorkerLinkFull, dropped);
        }
    }
}
