using System.Collections.Concurrent;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Captions;

/// <summary>
/// The fixed threads on which all tracks of this gateway are decoded and recognised. Native decoding blocks, so they
/// are threads of their own and not the pool's.
/// </summary>
internal sealed class CaptionWorkers : IDisposable
{
    private static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(20);

    private readonly BlockingCollection<TrackWorker> _ready = [];
    private readonly ConcurrentDictionary<TrackWorker, bool> _tracks = new();
    private readonly Thread[] _threads;
    private readonly ITimer _ticker;
    private readonly TimeProvider _clock;

    public CaptionWorkers(int threads, TimeProvider clock)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        _clock = clock;
        _threads = new Thread[threads];
        for (int i = 0; i < threads; i++)
        {
            _threads[i] = new Thread(Work) { IsBackground = true, Name = $"captions-{i}" };
            _threads[i].Start();
        }

        _ticker = clock.CreateTimer(_ => Tick(), null, TickInterval, TickInterval);
    }

    /// <summary>Tracks in work.</summary>
    public int Count => _tracks.Count;

    public void Add(TrackWorker track) => _tracks[track] = true;

    public void Remove(TrackWorker track) => _tracks.TryRemove(track, out _);

    public void Enqueue(TrackWorker track)
    {
        try
        {
            _ready.Add(track);
        }
        catch (InvalidOperationException) when (_ready.IsAddingCompleted)
        {
            // The gateway ends; so does everything in it.
            return;
        }
    }

    public void Dispose()
    {
        if (_ready.IsAddingCompleted)
            return;
        _ticker.Dispose();
        _ready.CompleteAdding();
        foreach (Thread thread in _threads)
            thread.Join();
        _ready.Dispose();
    }

    private void Work()
    {
        foreach (TrackWorker track in _ready.GetConsumingEnumerable())
            track.Run();
    }

    private void Tick()
    {
        Instant now = Instant.Of(_clock);
        foreach (TrackWorker track in _tracks.Keys)
            track.Tick(now);
    }
}
