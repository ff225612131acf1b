namespace Transcribe.Sfu.Relay;

/// <summary>
/// Joins the sequence numbers of one track that comes by one link after another: to those behind it, the numbers go on.
/// Gaps within a link stay gaps.
/// </summary>
internal sealed class SequenceSplice
{
    private ushort _offset;
    private ushort _first;
    private ushort _last;
    private bool _hasLast;
    private bool _joining = true;
    private int _sinceJoin;

    /// <summary>The next packet is the first of a new link.</summary>
    public void Restart() => _joining = true;

    /// <summary>False for a packet from before the first one of its link: its number may have been used.</summary>
    public bool TryMap(ushort source, out ushort sequenceNumber)
    {
        if (_joining)
        {
            _joining = false;
            _offset = _hasLast ? unchecked((ushort)(_last + 1 - source)) : (ushort)0;
            _first = source;
            _sinceJoin = 0;
        }
        else if (_sinceJoin < 1 << 14 && unchecked((short)(source - _first)) < 0)
        {
            sequenceNumber = 0;
            return false;
        }

        _sinceJoin = Math.Min(_sinceJoin + 1, 1 << 14);
        sequenceNumber = unchecked((ushort)(source + _offset));
        if (!_hasLast || unchecked((short)(sequenceNumber - _last)) > 0)
            _last = sequenceNumber;
        _hasLast = true;
        return true;
    }
}
