namespace Transcribe.Rtc.Sctp;

/// <summary>Which TSNs have arrived: the cumulative one, the ranges beyond it, and the duplicates since the last SACK.</summary>
internal sealed class ReceiveTracker(uint cumulativeTsn)
{
    /// <summary>TSNs further ahead are not taken: gap blocks of a SACK count in 16 bits.</summary>
    public const int Window = 60_000;

    private const int MaxDuplicates = 32;

    private readonly List<(uint Start, uint End)> _ranges = [];
    private readonly List<uint> _duplicates = [];

    public uint CumulativeTsn { get; private set; } = cumulativeTsn;

    public IReadOnlyList<(uint Start, uint End)> Ranges => _ranges;

    public IReadOnlyList<uint> Duplicates => _duplicates;

    public bool HasGaps => _ranges.Count > 0;

    public bool IsInWindow(uint tsn) => (int)(tsn - CumulativeTsn) <= Window;

    public bool Contains(uint tsn)
    {
        if (Serial.LessOrEqual(tsn, CumulativeTsn))
            return true;
        int at = RangeBefore(tsn);
        return at >= 0 && Serial.LessOrEqual(tsn, _ranges[at].End);
    }

    /// <summary>Adds a TSN that <see cref="Contains"/> denies and <see cref="IsInWindow"/> allows.</summary>
    public void Add(uint tsn)
    {
        if (tsn == CumulativeTsn + 1)
        {
            CumulativeTsn = tsn;
            AbsorbFirstRange();
            return;
        }

        int at = RangeBefore(tsn);
        bool joinsLeft = at >= 0 && _ranges[at].End + 1 == tsn;
        bool joinsRight = at + 1 < _ranges.Count && _ranges[at + 1].Start == tsn + 1;
        if (joinsLeft && joinsRight)
        {
            _ranges[at] = (_ranges[at].Start, _ranges[at + 1].End);
            _ranges.RemoveAt(at + 1);
        }
        else if (joinsLeft)
        {
            _ranges[at] = (_ranges[at].Start, tsn);
        }
        else if (joinsRight)
        {
            _ranges[at + 1] = (tsn, _ranges[at + 1].End);
        }
        else
        {
            _ranges.Insert(at + 1, (tsn, tsn));
        }
    }

    public void AddDuplicate(uint tsn)
    {
        if (_duplicates.Count < MaxDuplicates)
            _duplicates.Add(tsn);
    }

    public void ClearDuplicates() => _duplicates.Clear();

    /// <summary>FORWARD TSN: everything up to <paramref name="tsn"/> counts as received.</summary>
    public void AdvanceTo(uint tsn)
    {
        if (Serial.LessOrEqual(tsn, CumulativeTsn))
            return;
        CumulativeTsn = tsn;
        int passed = 0;
        while (passed < _ranges.Count && Serial.LessOrEqual(_ranges[passed].End, tsn))
            passed++;
        _ranges.RemoveRange(0, passed);
        AbsorbFirstRange();
    }

    private void AbsorbFirstRange()
    {
        if (_ranges.Count > 0 && Serial.LessOrEqual(_ranges[0].Start, CumulativeTsn + 1))
        {
            CumulativeTsn = _ranges[0].End;
            _ranges.RemoveAt(0);
        }
    }

    /// <summary>Index of the last range that starts at or before the TSN; -1 if none. Most TSNs belong to the last range.</summary>
    private int RangeBefore(uint tsn)
    {
        int at = _ranges.Count - 1;
        if (at < 0 || Serial.LessOrEqual(_ranges[at].Start, tsn))
            return at;
        int low = 0;
        int high = at;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (Serial.LessOrEqual(_ranges[middle].Start, tsn))
                low = middle + 1;
            else
                high = middle;
        }

        return low - 1;
    }
}
