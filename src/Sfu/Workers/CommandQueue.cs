using Transcribe.Rtc;

namespace Transcribe.Sfu.Workers;

/// <summary>Something for a worker's thread to do.</summary>
/// <param name="Run">Called with the state and the worker's current instant.</param>
internal readonly record struct WorkerCommand(Action<object?, Instant> Run, object? State);

/// <summary>
/// Bounded queue of many producers and one consumer, without locks and without allocation (D. Vyukov's bounded queue:
/// every cell carries the turn it is ready for).
/// </summary>
internal sealed class CommandQueue
{
    private readonly Cell[] _cells;
    private readonly int _mask;
    private PaddedCounter _tail;
    private PaddedCounter _head;

    /// <param name="capacity">Rounded up to a power of two.</param>
    public CommandQueue(int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 2);
        int size = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)capacity);
        _mask = size - 1;
        _cells = new Cell[size];
        for (int i = 0; i < size; i++)
            _cells[i].Turn = i;
    }

    public int Capacity => _cells.Length;

    /// <summary>From any thread; false where the queue is full.</summary>
    public bool TryPost(in WorkerCommand command)
    {
        long tail = Volatile.Read(ref _tail.Value);
        while (true)
        {
            ref Cell cell = ref _cells[tail & _mask];
            long ahead = Volatile.Read(ref cell.Turn) - tail;
            if (ahead == 0)
            {
                long seen = Interlocked.CompareExchange(ref _tail.Value, tail + 1, tail);
                if (seen == tail)
                {
                    cell.Command = command;
                    Volatile.Write(ref cell.Turn, tail + 1);
                    return true;
                }

                tail = seen;
            }
            else if (ahead < 0)
            {
                return false;
            }
            else
            {
                tail = Volatile.Read(ref _tail.Value);
            }
        }
    }

    /// <summary>From the consumer's thread only.</summary>
    public bool IsEmpty => Volatile.Read(ref _cells[_head.Value & _mask].Turn) != _head.Value + 1;

    /// <summary>From the consumer's thread only.</summary>
    public bool TryTake(out WorkerCommand command)
    {
        ref Cell cell = ref _cells[_head.Value & _mask];
        if (Volatile.Read(ref cell.Turn) != _head.Value + 1)
        {
            command = default;
            return false;
        }

        command = cell.Command;
        cell.Command = default;
        Volatile.Write(ref cell.Turn, _head.Value + _cells.Length);
        _head.Value++;
        return true;
    }

    private struct Cell
    {
        public long Turn;
        public WorkerCommand Command;
    }

    /// <summary>A counter on a cache line of its own: producers and consumer do not disturb one another.</summary>
    [System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Explicit, Size = 128)]
    private struct PaddedCounter
    {
        [System.Runtime.InteropServices.FieldOffset(64)]
        public long Value;
    }
}
