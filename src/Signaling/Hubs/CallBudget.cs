namespace Transcribe.Signaling.Hubs;

/// <summary>A token bucket: a burst of calls, refilled at a steady rate. For one connection, one call at a time.</summary>
internal sealed class CallBudget(int burst, int perSecond, TimeProvider time)
{
    private readonly Lock _lock = new();
    private double _left = burst;
    private long _at = time.GetTimestamp();
    private int _refused;

    /// <summary>Calls refused in a row.</summary>
    public int Refused => Volatile.Read(ref _refused);

    public bool TrySpend()
    {
        lock (_lock)
        {
            long now = time.GetTimestamp();
            _left = Math.Min(burst, _left + (time.GetElapsedTime(_at, now).TotalSeconds * perSecond));
            _at = now;
            if (_left < 1)
            {
                _refused++;
                return false;
            }

            _left--;
            _refused = 0;
            return true;
        }
    }
}
