using System.Collections.Concurrent;
using System.Text;
using Transcribe.Cluster.Rooms;
using Transcribe.Rtc;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Peer.Tests.Support;

/// <summary>Everything a client told.</summary>
internal sealed class Recorder
{
    public Recorder() => Handlers = new RoomHandlers
    {
        Rtp = (RemoteTrack track, in RtpPacket packet, Instant _) => Rtp.Enqueue((track.Info.Id, packet.SequenceNumber, packet.Timestamp, packet.Payload.ToArray())),
        Data = (label, utf8) => Data.Enqueue((label, Encoding.UTF8.GetString(utf8))),
        SenderClock = (track, clock) => Clocks.Enqueue((track.Info.Id, clock.RtpTimestamp)),
        RoomEvent = Events.Enqueue,
        TrackStarted = track => Tracks.Enqueue($"+{track.Info.Id}"),
        TrackEnded = track => Tracks.Enqueue($"-{track.Info.Id}"),
        Moved = reason => Changes.Enqueue($"moved {reason}"),
        Reconnecting = () => Changes.Enqueue("reconnecting"),
        Reconnected = () => Changes.Enqueue("reconnected"),
        Closed = Closed.Enqueue,
    };

    public RoomHandlers Handlers { get; }

    public ConcurrentQueue<(string Track, ushort Sequence, uint Timestamp, byte[] Payload)> Rtp { get; } = [];

    public ConcurrentQueue<(string Label, string Text)> Data { get; } = [];

    public ConcurrentQueue<(string Track, uint RtpTimestamp)> Clocks { get; } = [];

    public ConcurrentQueue<RoomEvent> Events { get; } = [];

    /// <summary>"+id" for a start, "-id" for an end.</summary>
    public ConcurrentQueue<string> Tracks { get; } = [];

    /// <summary>"moved reason", "reconnecting", "reconnected".</summary>
    public ConcurrentQueue<string> Changes { get; } = [];

    public ConcurrentQueue<string> Closed { get; } = [];
}

internal static class Eventually
{
    /// <summary>Waits for something that other threads bring about; fails after 10 s.</summary>
    public static async Task TrueAsync(Func<bool> condition, [System.Runtime.CompilerServices.CallerArgumentExpression(nameof(condition))] string text = "")
    {
        for (int i = 0; i < 1000; i++)
        {
            if (condition())
                return;
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }

        Assert.Fail($"Within 10 s it did not become true: {text}");
    }
}
