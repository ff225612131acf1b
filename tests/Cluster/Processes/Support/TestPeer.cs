using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Rooms;
using Transcribe.Peer;
using Transcribe.Publishing;
using Transcribe.Rtc;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Cluster.Processes.Tests.Support;

/// <summary>A participant that notes, with the time, all that it is told and all that it hears; it may hum while it listens.</summary>
internal sealed class TestPeer : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentQueue<(string From, long At)> _heard = new();
    private readonly Lock _gate = new();
    private readonly List<(CaptionMessage Caption, long At)> _captions = [];
    private readonly HashSet<(string Segment, int Rev)> _seen = [];
    private readonly List<(string What, long At)> _notes = [];
    private Task _humming = Task.CompletedTask;

    private TestPeer(string name) => Name = name;

    public string Name { get; }

    public RoomClient Client { get; private set; } = null!;

    public LocalAudioTrack Track { get; private set; } = null!;

    /// <summary>"moved:nodeLost", "reconnecting", "reconnected", "closed:…", "joined:NAME", "left:NAME", "muted:NAME".</summary>
    public IReadOnlyList<(string What, long At)> Notes
    {
        get
        {
            lock (_gate)
                return [.. _notes];
        }
    }

    /// <summary>As a client shows them: a revision of a segment that came again is one.</summary>
    public IReadOnlyList<(CaptionMessage Caption, long At)> Captions
    {
        get
        {
            lock (_gate)
                return [.. _captions];
        }
    }

    /// <param name="region">Of the SFU node; any where null.</param>
    public static async Task<TestPeer> JoinAsync(TestCluster cluster, string room, string name, string? region = null)
    {
        var peer = new TestPeer(name);
        peer.Client = await RoomClient.JoinAsync(
            new PeerOptions { ServerUrl = cluster.Nodes.Url, Token = cluster.Token(room, name), Region = region, ConnectTimeout = TimeSpan.FromSeconds(30) },
            new RoomHandlers
            {
                Rtp = (RemoteTrack track, in RtpPacket _, Instant _) => peer._heard.Enqueue((track.Info.Participant, Stopwatch.GetTimestamp())),
                Data = peer.OnData,
                Moved = reason => peer.Note($"moved:{reason}"),
                Reconnecting = () => peer.Note("reconnecting"),
                Reconnected = () => peer.Note("reconnected"),
                Closed = reason => peer.Note($"closed:{reason}"),
                RoomEvent = peer.OnRoomEvent,
            },
            loggers: new LogOf(cluster, name));
        peer.Track = await peer.Client.PublishAudioAsync();
        return peer;
    }

    /// <summary>The SFU node that its track is published on.</summary>
    public string Node(TestPeer observer) =>
        observer.Client.Participants.First(p => p.Id == Name).Tracks.Select(t => t.Node).FirstOrDefault() ?? "";

    /// <summary>Sends a packet every 20 ms from now on: sound without a word in it.</summary>
    public void Hum() => _humming = Task.Run(HumAsync);

    public bool HearsSince(TestPeer other, long at) => _heard.Any(h => h.From == other.Name && h.At > at);

    /// <summary>First packet of the other after a moment.</summary>
    public long FirstAfter(TestPeer other, long at) => _heard.Where(h => h.From == other.Name && h.At > at).Select(h => h.At).FirstOrDefault();

    public long? NotedAfter(string prefix, long at) =>
        Notes.Where(n => n.At > at && n.What.StartsWith(prefix, StringComparison.Ordinal)).Select(n => (long?)n.At).FirstOrDefault();

    /// <summary>The longest silence of the other between two moments, and when it was over.</summary>
    public (TimeSpan Length, long End) LongestGap(TestPeer other, long from, long to)
    {
        long last = from, longest = 0, end = from;
        foreach (long at in _heard.Where(h => h.From == other.Name && h.At > from && h.At <= to).Select(h => h.At).Append(to))
        {
            if (at - last > longest)
                (longest, end) = (at - last, at);
            last = at;
        }

        return (Stopwatch.GetElapsedTime(0, longest), end);
    }

    /// <summary>All hear one another from now on.</summary>
    public static Task HearOneAnotherAsync(params TestPeer[] peers) => HearOneAnotherAsync(Stopwatch.GetTimestamp(), peers);

    /// <summary>All hear one another since a moment.</summary>
    /// <returns>When the last of them heard the last of the others for the first time since then.</returns>
    public static async Task<long> HearOneAnotherAsync(long since, params TestPeer[] peers)
    {
        (TestPeer By, TestPeer Of)[] pairs = [.. peers.SelectMany(by => peers.Where(of => of != by), (by, of) => (by, of))];
        await TestCluster.Until(() => pairs.All(pair => pair.By.HearsSince(pair.Of, since)), 30);
        return pairs.Max(pair => pair.By.FirstAfter(pair.Of, since));
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _humming;
        await Client.LeaveAsync();
        _stop.Dispose();
    }

    private async Task HumAsync()
    {
        ReadOnlyMemory<byte> payload = OpusSource.Encode(new short[4 * 960])[^1].Payload;
        uint timestamp = 0;
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        for (; !_stop.IsCancellationRequested; timestamp += 960)
        {
            Track.Send(payload.Span, timestamp, marker: timestamp == 0, audioLevel: 40);
            await timer.WaitForNextTickAsync(CancellationToken.None);
        }
    }

    private void OnData(string label, ReadOnlySpan<byte> utf8)
    {
        long now = Stopwatch.GetTimestamp();
        if (label != CaptionMessage.ChannelLabel || System.Text.Json.JsonSerializer.Deserialize<CaptionMessage>(utf8, ClusterJson.Options) is not { } caption)
            return;
        lock (_gate)
        {
            if (_seen.Add((caption.Segment, caption.Rev)))
                _captions.Add((caption, now));
        }
    }

    private void OnRoomEvent(RoomEvent change)
    {
        string? note = change switch
        {
            ParticipantJoined joined => $"joined:{joined.Participant.Id}",
            ParticipantLeft left => $"left:{left.ParticipantId}",
            TrackMuted muted => $"muted:{muted.ParticipantId}",
            _ => null,
        };
        if (note is not null)
            Note(note);
    }

    private void Note(string what)
    {
        lock (_gate)
            _notes.Add((what, Stopwatch.GetTimestamp()));
    }

    /// <summary>What the client has to say goes to the cluster's log.</summary>
    private sealed class LogOf(TestCluster cluster, string name) : ILoggerFactory, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            cluster.Log(name, formatter(state, exception));

        public void Dispose()
        {
        }
    }
}
