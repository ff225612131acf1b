using System.Diagnostics.Metrics;

namespace Transcribe.AiGateway;

/// <summary>Instruments of the meter "Transcribe.AiGateway".</summary>
internal sealed class GatewayMetrics : IDisposable
{
    public const string MeterName = "Transcribe.AiGateway";

    private readonly Meter _meter;

    public GatewayMetrics(IMeterFactory? factory = null)
    {
        _meter = factory?.Create(MeterName) ?? new Meter(MeterName);
        Captions = _meter.CreateCounter<long>("transcribe.gateway.captions", "{caption}", "Caption messages, by final and engine");
        CaptionsUnsent = _meter.CreateCounter<long>("transcribe.gateway.captions_unsent", "{caption}", "Captions that the data channel did not take, by final");
        InterimsDropped = _meter.CreateCounter<long>("transcribe.gateway.interims_dropped", "{pass}", "Interim passes left out under load");
        PacketsDropped = _meter.CreateCounter<long>("transcribe.gateway.packets_dropped", "{packet}", "Packets lost to a full queue");
        TracksFailed = _meter.CreateCounter<long>("transcribe.gateway.tracks_failed", "{track}", "Tracks ended by an error");
        UtterancesFailed = _meter.CreateCounter<long>("transcribe.gateway.utterances_failed", "{utterance}", "Utterances on which the engine failed");
        DecodeMilliseconds = _meter.CreateHistogram<double>("transcribe.gateway.decode", "ms", "Time in the engine, a run of a worker");
        LagMilliseconds = _meter.CreateHistogram<double>("transcribe.gateway.lag", "ms", "From the arrival of a packet to its decoding");
        FinalsWaiting = _meter.CreateUpDownCounter<long>("transcribe.gateway.finals_waiting", "{caption}", "Finals sent that the transcript store has not taken yet");
        FinalsLost = _meter.CreateCounter<long>("transcribe.gateway.finals_lost", "{caption}", "Finals that the transcript store did not get, by reason");
        PacketsReplayed = _meter.CreateCounter<long>("transcribe.gateway.packets_replayed", "{packet}", "Packets from before this gateway had the room");
        RoomsClaimed = _meter.CreateCounter<long>("transcribe.gateway.rooms_claimed", "{room}", "Claims on rooms that succeeded");
        RoomsLost = _meter.CreateCounter<long>("transcribe.gateway.rooms_lost", "{room}", "Rooms lost to another gateway");
        Rooms = _meter.CreateUpDownCounter<long>("transcribe.gateway.rooms", "{room}", "Rooms being captioned");
    }

    public Counter<long> Captions { get; }

    public Counter<long> CaptionsUnsent { get; }

    public Counter<long> InterimsDropped { get; }

    public Counter<long> PacketsDropped { get; }

    public Counter<long> TracksFailed { get; }

    public Counter<long> UtterancesFailed { get; }

    public Histogram<double> DecodeMilliseconds { get; }

    public Histogram<double> LagMilliseconds { get; }

    public UpDownCounter<long> FinalsWaiting { get; }

    public Counter<long> FinalsLost { get; }

    public Counter<long> PacketsReplayed { get; }

    public Counter<long> RoomsClaimed { get; }

    public Counter<long> RoomsLost { get; }

    public UpDownCounter<long> Rooms { get; }

    public void Dispose() => _meter.Dispose();
}
