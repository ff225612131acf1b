using System.Buffers.Binary;
using System.Diagnostics;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Tokens;
using Transcribe.Peer;
using Transcribe.Rtc;
using Transcribe.Rtc.Rtp;

namespace Transcribe.EndToEnd.Tests.Support;

/// <summary>
/// A speaker and a viewer whose every packet is numbered in its payload: a packet that is lost, doubled or changed by
/// whatever else happens on the server shows.
/// </summary>
public sealed class RunningCall : IAsyncDisposable
{
    public const string Room = "call";

    private const uint Step = 960;
    private const uint Origin = uint.MaxValue - (200 * Step);

    private readonly Lock _gate = new();
    private readonly List<(ushort Sequence, uint Timestamp, uint Number, uint Ssrc)> _heard = [];
    private readonly List<string> _changes = [];
    private readonly CancellationTokenSource _stop = new();
    private RoomClient _speaker = null!;
    private RoomClient _viewer = null!;
    private LocalAudioTrack _track = null!;
    private Task _speaking = Task.CompletedTask;
    private uint _sent;
    private int _checked;

    public string TrackId => _track.Id;

    public static async Task<RunningCall> StartAsync(HostedServer server)
    {
        var call = new RunningCall();
        call._viewer = await RoomClient.JoinAsync(
            new PeerOptions { ServerUrl = server.Url, Token = server.Token(Room, "viewer", new Grants { Subscribe = true }) },
            new RoomHandlers
            {
                Rtp = call.OnRtp,
                TrackStarted = track => call.Note($"viewer: started {track.Info.Id}"),
                TrackEnded = track => call.Note($"viewer: ended {track.Info.Id}"),
                Closed = reason => call.Note($"viewer: closed {reason}"),
            });
        call._speaker = await RoomClient.JoinAsync(
            new PeerOptions { ServerUrl = server.Url, Token = server.Token(Room, "speaker") },
            new RoomHandlers { Closed = reason => call.Note($"speaker: closed {reason}") });
        call._track = await call._speaker.PublishAudioAsync();
        await Until(() => call.Changes.Count == 1);
        call._speaking = Task.Run(call.SpeakAsync);
        await Until(() => call.Heard >= 10);
        return call;
    }

    private IReadOnlyList<string> Changes
    {
        get
        {
            lock (_gate)
                return [.. _changes];
        }
    }

    private int Heard
    {
        get
        {
            lock (_gate)
                return _heard.Count;
        }
    }

    /// <summary>Waits for a few packets more, and checks that nothing was lost or changed since the last time.</summary>
    public async Task AssertUnharmedAsync()
    {
        int so_far = Heard;
        await Until(() => Heard >= so_far + 10);
        Assert.Equal([$"viewer: started {TrackId}"], Changes);
        lock (_gate)
        {
            for (int i = Math.Max(1, _checked); i < _heard.Count; i++)
            {
                (ushort sequence, uint timestamp, uint number, uint ssrc) = _heard[i];
                var before = _heard[i - 1];
                Assert.Equal(before.Number + 1, number);
                Assert.Equal((ushort)(before.Sequence + 1), sequence);
                Assert.Equal(unchecked(Origin + (number * Step)), timestamp);
                Assert.Equal(before.Ssrc, ssrc);
            }

            _checked = _heard.Count;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _speaking;
        await _speaker.LeaveAsync();
        await _viewer.LeaveAsync();
    }

    internal static async Task Until(Func<bool> condition, [System.Runtime.CompilerServices.CallerArgumentExpression(nameof(condition))] string text = "")
    {
        for (var clock = Stopwatch.StartNew(); clock.Elapsed < TimeSpan.FromSeconds(15); await Task.Delay(10))
        {
            if (condition())
                return;
        }

        Assert.Fail($"Within 15 s it did not become true: {text}");
    }

    private async Task SpeakAsync()
    {
        byte[] payload = new byte[60];
        payload[0] = 0x78;
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (!_stop.IsCancellationRequested)
        {
            BinaryPrimitives.WriteUInt32BigEndian(payload.AsSpan(1), _sent);
            if (_track.Send(payload, unchecked(Origin + (_sent * Step)), marker: _sent == 0, audioLevel: 40))
                _sent++;
            else
                Note("speaker: cannot send");
            await timer.WaitForNextTickAsync();
        }
    }

    private void OnRtp(RemoteTrack track, in RtpPacket packet, Instant arrival)
    {
        uint number = BinaryPrimitives.ReadUInt32BigEndian(packet.Payload[1..]);
        lock (_gate)
            _heard.Add((packet.SequenceNumber, packet.Timestamp, number, packet.Ssrc));
    }

    private void Note(string change)
    {
        lock (_gate)
            _changes.Add(change);
    }
}
