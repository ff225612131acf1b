using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tokens;
using Transcribe.Peer;

namespace Transcribe.AiGateway.Subscriber;

/// <summary>Joins rooms with the headless client, over the same network path as everybody: DESIGN D8.</summary>
internal sealed class PeerRoomConnector(AiGatewayOptions options, ISignalingSelector signaling, IAccessTokenMinter tokens, TimeProvider clock, ILoggerFactory loggers) : IRoomConnector
{
    public async Task<IRoomConnection> ConnectAsync(string room, IRoomObserver observer, CancellationToken cancellationToken)
    {
        string identity = $"gateway-{Guid.NewGuid():N}"[..24];
        string token = tokens.Mint(room, identity, new Grants { Subscribe = true, Hidden = true, PublishDataLabels = [CaptionMessage.ChannelLabel] });
        var names = new ConcurrentDictionary<string, string?>(StringComparer.Ordinal);
        var handlers = new RoomHandlers
        {
            TrackStarted = track => observer.OnTrackStarted(track.Info),
            TrackEnded = track => observer.OnTrackEnded(track.Info.Id),
            Rtp = (RemoteTrack track, in Rtc.Rtp.RtpPacket packet, Rtc.Instant arrival) =>
                observer.OnRtp(track.Info.Id, packet.Ssrc, packet.SequenceNumber, packet.Timestamp, packet.Payload, arrival),
            SenderClock = (track, sender) => observer.OnSenderClock(track.Info.Id, sender.WallClock, sender.RtpTimestamp),
            Data = (label, _) =>
            {
                if (label == CaptionMessage.ChannelLabel)
                    observer.OnForeignCaption();
            },
            RoomEvent = change =>
            {
                if (change is ParticipantJoined joined)
                    names[joined.Participant.Id] = joined.Participant.Name;
            },
            Moved = _ => observer.OnMoved(),
            Closed = observer.OnClosed,
        };
        try
        {
            RoomClient client = await RoomClient.JoinAsync(
                new PeerOptions { ServerUrl = options.SignalingUrl, FindSignaling = FindAsync, Token = token, Kinds = [TrackKind.Audio] }, handlers, clock, loggers, cancellationToken)
                .ConfigureAwait(false);
            foreach (ParticipantInfo participant in client.Participants)
                names.TryAdd(participant.Id, participant.Name);
            return new Connection(client, names);
        }
        catch (PeerException e)
        {
            throw new RoomConnectionException(e.Message, e);
        }
    }

    /// <summary>The signalling nodes of the cluster; none in one process, where <see cref="AiGatewayOptions.SignalingUrl"/> stands in.</summary>
    private async ValueTask<IReadOnlyList<Uri>> FindAsync(CancellationToken cancellationToken)
    {
        try
        {
            IReadOnlyList<NodeInfo> nodes = await signaling.ListAsync(options.Region, cancellationToken).ConfigureAwait(false);
            return [.. nodes.Where(node => Uri.IsWellFormedUriString(node.Address, UriKind.Absolute)).Select(node => new Uri(node.Address))];
        }
        catch (ClusterUnavailableException)
        {
            // Those known still serve.
            return [];
        }
    }

    private sealed class Connection(RoomClient client, ConcurrentDictionary<string, string?> names) : IRoomConnection
    {
        public bool TrySend(string label, ReadOnlySpan<byte> utf8) => client.SendData(label, utf8);

        // Names outlive their owners here: the last words of somebody who left are still theirs.
        public string? DisplayName(string participant) => names.GetValueOrDefault(participant);

        public async ValueTask DisposeAsync() => await client.LeaveAsync().ConfigureAwait(false);
    }
}
