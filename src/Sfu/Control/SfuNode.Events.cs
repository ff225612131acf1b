using System.Threading.Channels;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Sfu;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Control;

// From the workers to the cluster.
public sealed partial class SfuNode
{
    private async Task PumpAsync(int worker, ChannelReader<SfuEvent> events)
    {
        await foreach (SfuEvent happened in events.ReadAllAsync(CancellationToken.None).ConfigureAwait(false))
        {
            try
            {
                await HandleAsync(worker, happened).ConfigureAwait(false);
            }
            catch (Exception e)
            {
                // The store or the bus is away: media goes on, and so do later events.
                LogEventFailed(e, happened.GetType().Name);
            }
        }
    }

    private async ValueTask HandleAsync(int worker, SfuEvent happened)
    {
        switch (happened)
        {
            case SessionEventRaised raised:
                await _bus.PublishAsync(SfuSubjects.SessionEvents(raised.SessionId), raised.Event with { Node = NodeId }).ConfigureAwait(false);
                break;
            case SpeakersChanged changed:
                if (_speakers.Update(worker, changed.Speakers) is { } speakers)
                    await _bus.PublishAsync(SfuSubjects.Speakers(speakers.Room), speakers).ConfigureAwait(false);
                break;
            case TrackAnnounced announced:
                if (!await _rooms.PublishTrackAsync(announced.Room, announced.SessionId, announced.Track).ConfigureAwait(false))
                    LogNotInRoom(announced.SessionId, announced.Track.Id);
                break;
            case TrackWithdrawn withdrawn:
                await _rooms.UnpublishTrackAsync(withdrawn.Room, withdrawn.Participant, withdrawn.TrackId).ConfigureAwait(false);
                break;
            case TrackMuteChanged muted:
                await _rooms.SetMutedAsync(muted.Room, muted.Participant, muted.TrackId, muted.Muted).ConfigureAwait(false);
                break;
            case SessionEnded ended:
                Forget(ended.SessionId, ended.Room);
                LogSessionEnded(ended.SessionId, ended.Reason);
                await _bus.PublishAsync<SfuSessionEvent>(
                    SfuSubjects.SessionEvents(ended.SessionId), new SessionClosed(ended.Reason) { Node = NodeId }).ConfigureAwait(false);
                break;
            case CaptionsMissed missed:
                await RepeatCaptionsAsync(missed).ConfigureAwait(false);
                break;
            case SessionFaulted faulted:
                LogSessionFaulted(faulted.Exception, faulted.SessionId);
                break;
            default:
                throw new InvalidOperationException($"No handler for {happened.GetType().Name}.");
        }
    }

    /// <summary>The node as it is announced.</summary>
    private NodeInfo Describe()
    {
        string address = _options.AdvertisedAddresses.Count > 0 ? _options.AdvertisedAddresses[0] : "127.0.0.1";
        var node = new NodeInfo(
            _options.NodeId, NodeRole.Sfu, $"{address}:{UdpPorts[0]}", _options.Region, _options.Limits.MaxSessions, SessionCount,
            typeof(SfuNode).Assembly.GetName().Version?.ToString(3) ?? "", Rooms: _allocator.Rooms,
            Links: LinkCount + (_relay?.Counters.LinksOut ?? 0));
        return _load?.Describe(node) ?? node;
    }
}
