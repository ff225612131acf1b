using Transcribe.Rtc.Stun;

namespace Transcribe.Rtc.Ice;

/// <summary>
/// Remembers the newest requests of the peer, so that one captured on the wire and sent again from elsewhere does not
/// move the session there, and sent again from the same place does not pass for fresh consent.
/// </summary>
internal sealed class IceReplayGuard
{
    private readonly (StunTransactionId Id, TransportPath Path)[] _seen = new (StunTransactionId, TransportPath)[32];
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
            if (_seen[i].Id == id)
            {
                return _seen[i].Path == path ? Verdict.Repeated : Verdict.Moved;
            }
        }

        _seen[_next] = (id, path);
        _next = (_next + 1) % _seen.Length;
        _count = Math.Min(_count + 1, _seen.Length);
        return Verdict.Fresh;
    }
}
