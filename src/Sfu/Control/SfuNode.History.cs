using System.Collections.Concurrent;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Control;

// Which rooms are transcribed, and the last seconds of their voices for a gateway that takes over.
public sealed partial class SfuNode
{
    private static readonly TimeSpan CompareInterval = TimeSpan.FromSeconds(5);

    /// <summary>Rooms with transcription on, wherever they are; true for one that the last list did not show.</summary>
    private readonly ConcurrentDictionary<string, bool> _transcribed = new(StringComparer.Ordinal);
    private Task _comparing = Task.CompletedTask;

    private bool IsTranscribed(string room) => _transcribed.ContainsKey(room);

    private async Task StartHistoryAsync(string node, CancellationToken cancellationToken)
    {
        await RespondAsync<ReadHistory, TrackHistory>(SfuSubjects.History(node), ReadHistoryAsync, cancellationToken).ConfigureAwait(false);
        _responders.Add(await _bus.SubscribeAsync<RoomActivity>(
            RoomSubjects.Transcription,
            (activity, _) =>
            {
                SetTranscribed(activity.Room, activity.Occupied && activity.Transcription.Enabled);
                return ValueTask.CompletedTask;
            },
            cancellationToken).ConfigureAwait(false));
        await CompareAsync(cancellationToken).ConfigureAwait(false);
        _comparing = CompareAgainAsync();
    }

    private void SetTranscribed(string room, bool on)
    {
        bool changed = on ? !_transcribed.ContainsKey(room) : _transcribed.TryRemove(room, out _);
        if (on)
            _transcribed[room] = false;
        if (!changed)
            return;
        foreach (SfuWorker worker in _workers)
            _ = worker.InvokeAsync(_ =>
            {
                // As it is when the worker gets to it: a room made meanwhile knows already.
                worker.KeepHistory(room, IsTranscribed(room));
                return true;
            });
    }

    /// <summary>Messages can be lost: the list says what they said.</summary>
    private async Task CompareAsync(CancellationToken cancellationToken)
    {
        try
        {
            HashSet<string> listed = [.. (await _rooms.ListTranscribedAsync(cancellationToken).ConfigureAwait(false)).Select(activity => activity.Room)];
            foreach (string room in listed)
                SetTranscribed(room, true);
            foreach ((string room, bool missing) in _transcribed)
            {
                // Twice: a store that began anew is told again by those who know.
                if (!listed.Contains(room) && (missing || !_transcribed.TryUpdate(room, true, false)))
                    SetTranscribed(room, false);
            }
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            LogListFailed(e);
        }
    }

    private async Task CompareAgainAsync()
    {
        try
        {
            using var timer = new PeriodicTimer(CompareInterval, _clock);
            while (await timer.WaitForNextTickAsync(_stopping.Token).ConfigureAwait(false))
                await CompareAsync(_stopping.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
            return;
        }
    }

    private async ValueTask<TrackHistory> ReadHistoryAsync(ReadHistory request, CancellationToken cancellationToken)
    {
        foreach (SfuWorker worker in _workers)
        {
            if (await AskAsync(worker, _ => worker.ReadHistory(request)).ConfigureAwait(false) is { } history)
                return history;
        }

        throw new BusException("track_not_found", $"No sound of track \"{request.TrackId}\" is kept on this node: it is not here, or not transcribed.");
    }
}
