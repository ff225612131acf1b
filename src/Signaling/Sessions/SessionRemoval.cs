using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Signaling.Whip;

namespace Transcribe.Signaling.Sessions;

/// <summary>Takes an ended session out of its room, off its SFU node and out of the store. Doing it twice does no harm.</summary>
internal sealed partial class SessionRemoval(
    SignalingOptions options, IMessageBus bus, IRoomDirectory rooms, SessionStore store, WhipStates whips, ILogger<SessionRemoval> logger)
{
    private readonly ILogger _logger = logger;

    /// <exception cref="Cluster.State.ClusterUnavailableException">The store is away: do it again later.</exception>
    /// <exception cref="BusException">"unavailable": the bus is away: do it again later.</exception>
    public async Task FinishAsync(SessionRecord record, string reason, CancellationToken cancellationToken = default)
    {
        if (record.Presence == Presence.Viewer)
            await rooms.RemoveViewerAsync(record.Room, record.Id, cancellationToken).ConfigureAwait(false);

        if (record.Presence == Presence.Visible)
        {
            string told = reason is "left" or "timeout" or "duplicateIdentity" or "removed" or "roomClosed" ? reason : "timeout";
            await rooms.LeaveAsync(record.Room, record.Id, record.Participant, told, cancellationToken).ConfigureAwait(false);
        }

        await CloseAsync(record.Id, record.Node, reason).ConfigureAwait(false);
        if (record.Http)
            await whips.RemoveAsync(record.Id, cancellationToken).ConfigureAwait(false);

        await store.RemoveAsync(record.Id, record.Owner, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Closes the session on an SFU node, where that still answers.</summary>
    /// <exception cref="BusException">"unavailable": nothing is known about the node.</exception>
    public async Task CloseAsync(string sessionId, string node, string reason)
    {
        try
        {
            await bus.RequestAsync<CloseSession, Ack>(
                SfuSubjects.Close(node), new CloseSession(sessionId, reason), options.SfuTimeout).ConfigureAwait(false);
        }
        catch (BusException e) when (e.Code != BusException.Unavailable)
        {
            // The node ended it itself, or is gone: there is nothing left to close.
            LogCloseUnanswered(sessionId, e.Code);
        }
    }

    [LoggerMessage(2005, LogLevel.Debug, "Session {Session} was not closed by its node: {Code}")]
    private partial void LogCloseUnanswered(string session, string code);
}
