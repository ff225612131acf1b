using System.Collections.Concurrent;
using System.Text;
using Transcribe.AiGateway.Subscriber;
using Transcribe.Cluster;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Rooms;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Tests.Support;

/// <summary>Rooms without a network: what the gateway joins, and what it sends.</summary>
internal sealed class FakeRooms : IRoomConnector
{
    private readonly ConcurrentQueue<string> _failures = new();

    public ConcurrentQueue<FakeRoom> Joined { get; } = new();

    public void FailNext(string reason) => _failures.Enqueue(reason);

    public Task<IRoomConnection> ConnectAsync(string room, IRoomObserver observer, CancellationToken cancellationToken)
    {
        if (_failures.TryDequeue(out string? reason))
            throw new RoomConnectionException(reason);
        var joined = new FakeRoom(room, observer);
        Joined.Enqueue(joined);
        return Task.FromResult<IRoomConnection>(joined);
    }

    public Task<FakeRoom> NextAsync(int index = 0) => Eventually.GetAsync(() => Joined.ElementAtOrDefault(index));
}

internal sealed class FakeRoom(string room, IRoomObserver observer) : IRoomConnection
{
    private readonly Dictionary<string, (ushort Sequence, uint Timestamp)> _positions = [];

    public string Room { get; } = room;

    public ConcurrentQueue<CaptionMessage> Captions { get; } = new();

    public bool Left { get; private set; }

    /// <summary>Pretends a full buffer.</summary>
    public bool Full { get; set; }

    public void Publish(string track, string participant = "alice", TrackSource source = TrackSource.Microphone) =>
        observer.OnTrackStarted(new TrackInfo(track, participant, TrackKind.Audio, source, null, false, 42, "n1"));

    public void Unpublish(string track) => observer.OnTrackEnded(track);

    public void Close(string reason) => observer.OnClosed(reason);

    /// <summary>Sends sound, all of it at once.</summary>
    public void Speak(string track, params (int Value, double Seconds)[] parts)
    {
        (ushort sequence, uint timestamp) = _positions.GetValueOrDefault(track, ((ushort)1, 0u));
        foreach ((int value, double seconds) in parts)
        {
            for (int i = 0; i < Math.Round(seconds / 0.02); i++, sequence++, timestamp += 960)
                observer.OnRtp(track, 5, sequence, timestamp, FakeDecoder.Packet(value), Instant.Of(TimeProvider.System));
        }

        _positions[track] = (sequence, timestamp);
    }

    public bool TrySend(string label, ReadOnlySpan<byte> utf8)
    {
        ObjectDisposedException.ThrowIf(Left, this);
        if (Full)
            return false;
        Assert.Equal("captions", label);
        Captions.Enqueue(ClusterJson.Deserialize<CaptionMessage>(Encoding.UTF8.GetString(utf8)));
        return true;
    }

    public string? DisplayName(string participant) => participant.ToUpperInvariant();

    public ValueTask DisposeAsync()
    {
        Left = true;
        observer.OnClosed("left");
        return ValueTask.CompletedTask;
    }
}

/// <summary>Waits for what other threads bring about.</summary>
internal static class Eventually
{
    public static async Task<T> GetAsync<T>(Func<T?> look)
        where T : class
    {
        for (int i = 0; i < 1000; i++)
        {
            if (look() is { } found)
                return found;
            await Task.Delay(10);
        }

        throw new TimeoutException("It did not happen within 10 s.");
    }

    public static Task TrueAsync(Func<bool> condition) => GetAsync(() => condition() ? "yes" : null);
}
