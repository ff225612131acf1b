using Transcribe.Rtc.Stun;

namespace Transcribe.Rtc.Ice;

/// <summary>
/// Remembers the newest requests of the peer, so that one captured on the wire and sent again from elsewhere does not
/// move the session there, and sent again from the same place does not pass for fresh consent.
/// </summary>
internal sealed class IceReplayGuard
{
    // Of the path its hash is enough, which is keyed at random: 16 bytes a request instead of 64.
    private readonly Entry[] _seen = new Entry[32];
    private int _next;
    private int _count;

    public enum Verdict
    {
        Fresh,

        /// <summary>The same request over the same path: a retransmission.</summary>
        Repeated,

        /// <summary>The same request over another path.</summary>
        Moved,
    }

    public Verdict Check(StunTransactionId id, in TransportPath path)
    {
        for (int i = 0; i < _count; i++)
        {
            if (_seen[i].High == id.High && _seen[i].Low == id.Low)
            {
                return _seen[i].Path == path.GetHashCode() ? Verdict.Repeated : Verdict.Moved;
            }
        }

        _seen[_next] = new Entry(id.Low, id.High, path.GetHashCode());
        _next = (_next + 1) % _seen.Length;
        _count = Math.Min(_count + 1, _seen.Length);
        return Verdict.Fresh;
    }

    private readonly record struct Entry(ulong Low, uint High, int Path);
}
