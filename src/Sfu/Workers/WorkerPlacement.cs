namespace Transcribe.Sfu.Workers;

/// <summary>What a worker has to do, when a session is to be placed.</summary>
/// <param name="Sessions">Sessions on it.</param>
/// <param name="OfRoom">Those of them in the same room.</param>
/// <param name="Busy">CPU share of its thread lately, 0 to 1.</param>
internal readonly record struct WorkerLoad(int Sessions, int OfRoom, double Busy);

/// <summary>Decides on which worker of the node a new session lives.</summary>
internal interface IWorkerPlacement
{
    /// <returns>Index into <paramref name="workers"/>.</returns>
    int Choose(ReadOnlySpan<WorkerLoad> workers);
}

/// <summary>
/// Keeps a room on one worker, where its packets cross no thread, until it has its share of that worker or the worker
/// is busy; then goes on with the idlest one.
/// </summary>
/// <param name="sessionsPerWorker">Sessions of one room on a worker before it spreads.</param>
/// <param name="busyAbove">A worker busier than this takes another session only where all are.</param>
internal sealed class RoomFirstPlacement(int sessionsPerWorker, double busyAbove = 0.5) : IWorkerPlacement
{
    public int Choose(ReadOnlySpan<WorkerLoad> workers)
    {
        int best = -1;
        for (int i = 0; i < workers.Length; i++)
        {
            WorkerLoad worker = workers[i];
            bool fits = worker.OfRoom > 0 && worker.OfRoom < sessionsPerWorker && worker.Busy < busyAbove;
            if (fits && (best < 0 || worker.OfRoom > workers[best].OfRoom))
                best = i;
        }

        if (best >= 0)
            return best;
        best = 0;
        for (int i = 1; i < workers.Length; i++)
        {
            if (Cost(workers[i]) < Cost(workers[best]))
                best = i;
        }

        return best;
    }

    // Sessions that only just came are not busy yet: count each as a little.
    private static double Cost(in WorkerLoad worker) => Math.Round(worker.Busy, 1) + (worker.Sessions * 0.001);
}

/// <summary>Counts the sessions of each room on each worker, and places new ones. For any thread.</summary>
internal sealed class WorkerAllocator(IReadOnlyList<SfuWorker> workers, IWorkerPlacement placement, int maxPerRoom, WorkerCpu cpu)
{
    private readonly Lock _lock = new();
    private readonly int[] _sessions = new int[workers.Count];
    private readonly Dictionary<string, int[]> _rooms = new(StringComparer.Ordinal);
    private int _relayRooms;

    /// <summary>Rooms that have sessions of participants, whichever workers these are on.</summary>
    public int Rooms
    {
        get
        {
            lock (_lock)
                return _rooms.Count - _relayRooms;
        }
    }

    /// <summary>The worker for one more session of the room; undone by <see cref="Release"/>.</summary>
    /// <param name="isRelay">The session is a link of another node, and the room is its own.</param>
    /// <exception cref="RoomFullException">The room has as many sessions as it may.</exception>
    public SfuWorker Place(string room, bool isRelay = false)
    {
        cpu.Ask();
        lock (_lock)
        {
            int[] ofRoom = _rooms.GetValueOrDefault(room) ?? new int[workers.Count];
            if (ofRoom.Sum() >= maxPerRoom)
                throw new RoomFullException($"Room \"{room}\"", maxPerRoom);
            var loads = new WorkerLoad[workers.Count];
            for (int i = 0; i < loads.Length; i++)
                loads[i] = new WorkerLoad(_sessions[i], ofRoom[i], cpu.Of(i));
            int index = placement.Choose(loads);
            ofRoom[index]++;
            _sessions[index]++;
            if (_rooms.TryAdd(room, ofRoom) && isRelay)
                _relayRooms++;
            return workers[index];
        }
    }

    public void Release(string room, SfuWorker worker, bool isRelay = false)
    {
        lock (_lock)
        {
            if (!_rooms.TryGetValue(room, out int[]? ofRoom) || ofRoom[worker.Index] == 0)
                return;
            ofRoom[worker.Index]--;
            _sessions[worker.Index]--;
            if (ofRoom.Sum() != 0)
                return;
            _rooms.Remove(room);
            if (isRelay)
                _relayRooms--;
        }
    }
}
