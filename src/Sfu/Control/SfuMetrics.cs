using System.Diagnostics.Metrics;
using Transcribe.Rtc;
using Transcribe.Sfu.Net;
using Transcribe.Sfu.Relay;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Control;

/// <summary>
/// The meter "Transcribe.Sfu". The workers count in plain fields; this reads them when somebody collects, so that
/// metrics cost the packet path nothing.
/// </summary>
internal sealed class SfuMetrics : IDisposable
{
    public const string MeterName = "Transcribe.Sfu";

    private static readonly string[] ReasonNames = [.. Enum.GetNames<SfuDropReason>().Select(CamelCase)];
    private static readonly string[] SessionReasonNames = [.. Enum.GetNames<RtcDropReason>().Select(CamelCase)];

    private readonly Meter _meter = new(MeterName);
    private readonly IReadOnlyList<SfuWorker> _workers;

    public SfuMetrics(IReadOnlyList<SfuWorker> workers, RelayManager? relay = null)
    {
        _workers = workers;
        if (relay is not null)
            AddRelay(relay);
        Count("transcribe.sfu.datagrams.received", "{datagram}", "Datagrams received.", w => w.SocketCounters.DatagramsReceived);
        Count("transcribe.sfu.datagrams.sent", "{datagram}", "Datagrams sent.", w => w.SocketCounters.DatagramsSent);
        Count("transcribe.sfu.bytes.received", "By", "UDP payload received.", w => w.SocketCounters.BytesReceived);
        Count("transcribe.sfu.bytes.sent", "By", "UDP payload sent.", w => w.SocketCounters.BytesSent);
        Count("transcribe.sfu.datagrams.send_errors", "{datagram}", "Datagrams the kernel refused.", w => w.SocketCounters.SendErrors + w.SocketCounters.SendBufferFull);
        Count("transcribe.sfu.datagrams.kernel_drops", "{datagram}", "Datagrams lost because the receive buffer was full.", w => w.SocketCounters.KernelDrops);
        Count("transcribe.sfu.packets.in", "{packet}", "RTP packets taken from publishers.", w => w.Counters.PacketsIn);
        Count("transcribe.sfu.packets.forwarded", "{packet}", "RTP packets sent to subscribers.", w => w.Counters.PacketsForwarded);
        Count("transcribe.sfu.packets.retransmitted", "{packet}", "RTP packets sent again.", w => w.Counters.PacketsRetransmitted);
        Count("transcribe.sfu.packets.nacked", "{packet}", "RTP packets subscribers asked for again.", w => w.Counters.PacketsNacked);
        Count("transcribe.sfu.keyframes.asked", "{request}", "Keyframe requests of subscribers.", w => w.Counters.KeyframesAsked);
        Count("transcribe.sfu.keyframes.requested", "{request}", "Keyframe requests sent to publishers.", w => w.Counters.KeyframesRequested);
        Count("transcribe.sfu.data.messages", "{message}", "Data channel messages delivered.", w => w.Counters.DataMessagesForwarded);
        Count("transcribe.sfu.session.faults", "{session}", "Sessions closed because of an internal error.", w => w.Counters.SessionFaults);
        Gauge("transcribe.sfu.sessions", "{session}", "Sessions now.", w => w.Counters.Sessions);
        Gauge("transcribe.sfu.rooms", "{room}", "Rooms now; one on several workers counts on each.", w => w.Counters.Rooms);
        Gauge("transcribe.sfu.publications", "{track}", "Published tracks now.", w => w.Counters.Publications);
        Gauge("transcribe.sfu.downtracks", "{track}", "Slots that carry a track now.", w => w.Counters.Downtracks);
        _meter.CreateObservableCounter(
            "transcribe.sfu.host.udp.buffer_errors", HostDrops, "{datagram}",
            "Datagrams the kernel dropped for want of buffer space, of all UDP sockets of the host or container.");
        _meter.CreateObservableCounter("transcribe.sfu.drops", Drops, "{item}", "What was thrown away, by reason.");
        _meter.CreateObservableCounter("transcribe.sfu.session.drops", SessionDrops, "{item}", "What sessions threw away of what came for them, by reason.");
    }

    public void Dispose() => _meter.Dispose();

    private void AddRelay(RelayManager relay)
    {
        _meter.CreateObservableUpDownCounter(
            "transcribe.sfu.relay.links",
            () => (Measurement<long>[])
            [
                new(relay.Counters.LinksOut, new KeyValuePair<string, object?>("direction", "out")),
                new(relay.Counters.LinksIn, new KeyValuePair<string, object?>("direction", "in")),
            ],
            "{link}", "Links with other nodes now.");
        _meter.CreateObservableUpDownCounter("transcribe.sfu.relay.tracks", () => relay.Counters.Tracks, "{track}", "Tracks taken from other nodes now.");
        _meter.CreateObservableCounter("transcribe.sfu.relay.links.lost", () => relay.Counters.LinksLost, "{link}", "Links given up: cut, or never up.");
        _meter.CreateObservableCounter("transcribe.sfu.relay.refused", () => relay.Counters.Refused, "{ticket}", "Relay tickets refused.");
        _meter.CreateObservableCounter("transcribe.sfu.relay.messages", () => relay.Data.Sent, "{message}", "Data messages sent to other nodes.");
        _meter.CreateObservableCounter("transcribe.sfu.relay.resent", () => relay.Data.Resent, "{message}", "Data messages sent to other nodes again.");
        _meter.CreateObservableCounter("transcribe.sfu.relay.duplicates", () => relay.Data.Duplicates, "{message}", "Data messages that had come already.");
        _meter.CreateObservableCounter("transcribe.sfu.relay.overruns", () => relay.Counters.Overruns, "{message}", "Data messages dropped because too many waited.");
    }

    private void Count(string name, string unit, string description, Func<SfuWorker, long> read) =>
        _meter.CreateObservableCounter(name, () => Measure(read), unit, description);

    private void Gauge(string name, string unit, string description, Func<SfuWorker, long> read) =>
        _meter.CreateObservableUpDownCounter(name, () => Measure(read), unit, description);

    private IEnumerable<Measurement<long>> Measure(Func<SfuWorker, long> read) =>
        _workers.Select(worker => new Measurement<long>(read(worker), new KeyValuePair<string, object?>("worker", worker.Index)));

    private static IEnumerable<Measurement<long>> HostDrops() =>
        UdpStatistics.TryRead(out UdpStatistics statistics)
            ?
            [
                new(statistics.ReceiveBufferErrors, new KeyValuePair<string, object?>("direction", "receive")),
                new(statistics.SendBufferErrors, new KeyValuePair<string, object?>("direction", "send")),
            ]
            : [];

    private IEnumerable<Measurement<long>> Drops()
    {
        foreach (SfuWorker worker in _workers)
        {
            foreach (SfuDropReason reason in Enum.GetValues<SfuDropReason>())
            {
                yield return new Measurement<long>(
                    worker.Counters.DropsBecause(reason),
                    new KeyValuePair<string, object?>("worker", worker.Index),
                    new KeyValuePair<string, object?>("reason", ReasonNames[(int)reason]));
            }
        }
    }

    private IEnumerable<Measurement<long>> SessionDrops()
    {
        foreach (SfuWorker worker in _workers)
        {
            foreach (RtcDropReason reason in Enum.GetValues<RtcDropReason>())
            {
                yield return new Measurement<long>(
                    worker.Counters.SessionDrops.DropsBecause(reason),
                    new KeyValuePair<string, object?>("worker", worker.Index),
                    new KeyValuePair<string, object?>("reason", SessionReasonNames[(int)reason]));
            }
        }
    }

    private static string CamelCase(string name) => char.ToLowerInvariant(name[0]) + name[1..];
}
