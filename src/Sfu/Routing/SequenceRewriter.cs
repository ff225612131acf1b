using System.Runtime.CompilerServices;
namespace Transcribe.Sfu.Routing;

/// <summary>
/// The sequence numbers of one downtrack: the source's gaps stay gaps (the subscriber must see losses), packets left
/// out on purpose leave none, and a new source goes on where the old one stopped. No outgoing number is ever used for
/// two different packets. Remembers which source number went out under which, to answer NACKs.
/// </summary>
internal sealed class SequenceRewriter
{
    /// <summary>Packets a NACK can reach back; 4 s of audio, about 1 s of 4 Mbit/s video.</summary>
    private const int HistorySize = 512;

    /// <summary>Jump after which the source is taken for a restarted one (RFC 3550 A.1 MAX_DROPOUT).</summary>
    private const int MaxDropout = 3000;
    private const int MaxShifts = 8;

    private readonly bool _remember;
    private uint[]? _history;
    private readonly Shift[] _shifts = new Shift[MaxShifts];
    private int _shiftCount;
    private ushort _lastOut;
    private ushort _highestIn;
    private bool _synced;

    /// <param name="firstSequenceNumber">The first number sent.</param>
    /// <param name="remember">Whether <see cref="TryFindSource"/> will be asked.</param>
    public SequenceRewriter(ushort firstSequenceNumber, bool remember)
    {
        _lastOut = unchecked((ushort)(firstSequenceNumber - 1));
        _remember = remember;
    }

    /// <summary>True while source numbers map to outgoing ones; false until the first packet after a <see cref="Restart"/>.</summary>
    public bool IsRunning => _synced;

    /// <summary>The next packet given to <see cref="TryMap"/> follows the last one sent, whatever its number.</summary>
    /// <param name="newSource">Its packets are another track's: those sent before cannot be asked for any more.</param>
    public void Restart(bool newSource)
    {
        _synced = false;
        if (newSource)
            Forget();
    }

    /// <summary>The number under which a packet goes out; false for one that must not, being from before the start.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public bool TryMap(ushort source, out ushort sequenceNumber)
    {
        int ahead = unchecked((short)(source - _highestIn));
        if (!_synced || ahead > MaxDropout || ahead < -MaxDropout)
        {
            _synced = true;
            _highestIn = source;
            _shifts[0] = new Shift(source, unchecked((ushort)(_lastOut + 1 - source)));
            _shiftCount = 1;
            ahead = 1;
        }

        if (ahead > 0)
        {
            _highestIn = source;
            sequenceNumber = unchecked((ushort)(source + _shifts[_shiftCount - 1].Offset));
            _lastOut = sequenceNumber;
        }
        else if (!TryMapLate(source, out sequenceNumber))
        {
            return false;
        }
        else if (unchecked((short)(sequenceNumber - _lastOut)) > 0)
        {
            // It came behind a packet that was left out ahead of it.
            _lastOut = sequenceNumber;
        }

        if (_remember)
            History()[sequenceNumber & (HistorySize - 1)] = ((uint)sequenceNumber << 16) | source;
        return true;
    }

    /// <summary>A packet of the source is left out on purpose: no gap is to be seen.</summary>
    public void Skip(ushort source)
    {
        int ahead = unchecked((short)(source - _highestIn));
        if (!_synced || ahead <= 0 || ahead > MaxDropout)
            return;
        _highestIn = source;
        ushort offset = unchecked((ushort)(_shifts[_shiftCount - 1].Offset - 1));
        if (_shiftCount == MaxShifts)
        {
            Array.Copy(_shifts, 1, _shifts, 0, MaxShifts - 1);
            _shiftCount--;
        }

        _shifts[_shiftCount++] = new Shift(unchecked((ushort)(source + 1)), offset);
    }

    /// <summary>
    /// The source number of a packet sent as <paramref name="sequenceNumber"/>, or that would have been: one that was
    /// missing when its neighbours went out may have come since.
    /// </summary>
    public bool TryFindSource(ushort sequenceNumber, out ushort source)
    {
        source = 0;
        if (_history is null)
            return false;
        uint entry = _history[sequenceNumber & (HistorySize - 1)];
        if (entry >> 16 == sequenceNumber)
        {
            source = (ushort)entry;
            return true;
        }

        int behind = unchecked((short)(_lastOut - sequenceNumber));
        if (!_synced || behind is < 0 or >= HistorySize)
            return false;
        for (int i = _shiftCount - 1; i >= 0; i--)
        {
            Shift shift = _shifts[i];
            ushort first = unchecked((ushort)(shift.From + shift.Offset));
            if (unchecked((short)(sequenceNumber - first)) >= 0)
            {
                source = unchecked((ushort)(sequenceNumber - shift.Offset));
                return true;
            }
        }

        return false;
    }

    private bool TryMapLate(ushort source, out ushort sequenceNumber)
    {
        for (int i = _shiftCount - 1; i >= 0; i--)
        {
            if (unchecked((short)(source - _shifts[i].From)) >= 0)
            {
                // Between the end of one range and the packet skipped behind it lies the skipped packet itself.
                sequenceNumber = unchecked((ushort)(source + _shifts[i].Offset));
                return i == _shiftCount - 1 || unchecked((short)(source - (_shifts[i + 1].From - 1))) < 0;
            }
        }

        sequenceNumber = 0;
        return false;
    }

    private uint[] History()
    {
        if (_history is null)
        {
            _history = new uint[HistorySize];
            Forget();
        }

        return _history;
    }

    private void Forget()
    {
        // An entry whose number cannot stand at its place matches nothing.
        for (int i = 0; i < _history?.Length; i++)
            _history[i] = (uint)(ushort)~i << 16;
    }

    /// <param name="From">First source number the offset is for.</param>
    private readonly record struct Shift(ushort From, ushort Offset);
}
