using System.Net;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;
using Transcribe.Rtc;
using Transcribe.Sfu.Relay;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Control;

// Links to and from other nodes.
public sealed partial class SfuNode
{
    private readonly IStateStore? _state;
    private readonly string? _clusterKey;
    private SfuWorker? _relayWorker;
    private RelayManager? _relay;

    internal RelayManager? Relay => _relay;

    /// <summary>The worker on which this node's links live; null where it has none.</summary>
    internal SfuWorker? RelayWorker => _relayWorker;

    /// <summary>Joins the workers; with a cluster key there is one more, for the links of this node to others.</summary>
    private void MakeRelay(RtcSessionOptions session, IReadOnlyList<IPAddress> local)
    {
        if (string.IsNullOrEmpty(_clusterKey) || _state is null)
        {
            _links = SfuWorker.Connect(_workers, new RoomShards());
            return;
        }

        _relayWorker = MakeWorker(_workers.Count, _options.Relay.UdpPort, session, local);
        _relay = new RelayManager(
            _options.NodeId, _options.Region, _options.Relay, _clusterKey, _bus, _rooms, _state, _nodes, _clock, _relayWorker, session, _connection, _log);
        _links = SfuWorker.Connect([.. _workers, _relayWorker], new RoomShards(_relayWorker, _relay.OnRoom));
    }

    private async Task StartRelayAsync(string node, CancellationToken cancellationToken)
    {
        if (_relay is null)
            return;
        await RespondAsync<SetRelaySlot, Ack>(
            RelaySubjects.SetSlot(node),
            async (request, _) => await WithSessionAsync(request.SessionId, (session, _) =>
            {
                session.SetRelaySlot(request);
                return new Ack();
            }).ConfigureAwait(false),
            cancellationToken).ConfigureAwait(false);
        await RespondAsync<AssistRelay, Ack>(
            RelaySubjects.Assist(node),
            async (request, _) =>
            {
                await _relay.AssistAsync(request.Room).ConfigureAwait(false);
                return new Ack();
            },
            cancellationToken).ConfigureAwait(false);
        _relayWorker!.Start();
        _relay.Start();
    }

    /// <summary>What was captioned while a session was between two nodes. A client knows each revision that it has.</summary>
    private async Task RepeatCaptionsAsync(CaptionsMissed missed)
    {
        if (_relay is null)
            return;
        IReadOnlyList<RelayEnvelope> last = await _relay.ReadLastAsync(missed.Room, CaptionMessage.ChannelLabel).ConfigureAwait(false);
        await WithSessionAsync(missed.SessionId, (session, _) =>
        {
            foreach (RelayEnvelope caption in last)
                session.SendData(caption.Message, caption.Payload.Span);
            return true;
        }).ConfigureAwait(false);
    }

    private async Task StopRelayAsync()
    {
        if (_relay is null)
            return;
        await _relay.DisposeAsync().ConfigureAwait(false);
        await Task.Run(_relayWorker!.Stop, CancellationToken.None).ConfigureAwait(false);
    }
}
