namespace Transcribe.Cluster.Redis;

/// <summary>
/// Lets every message of a sender through once: a sliding window over the sender's numbers, as IPsec has one (RFC 4303 §3.4.3). One guard
/// per channel, used by one thread at a time. Bounded: a sender not heard for longer than its messages stay fresh is forgotten.
/// </summary>
internal sealed class ReplayGuard
{
    /// <summary>How far behind the newest number a message may come: senders number messages on several threads.</summary>
    public const int WindowBits = 2048;

    public const int MaxSenders = 1024;

    /// <summary>Twice what <see cref="RedisMessageBus.MaxAge"/> allows between two clocks.</summary>
    private const long ForgetAfterMs = 150_000;

    private readonly Dictionary<Guid, Window> _senders = [];

    /// <summary>Whether this number is seen for the first time.</summary>
    /// <param name="now">Unix milliseconds.</param>
    public bool Accept(Guid sender, ulong number, long now)
    {
        if (!_senders.TryGetValue(sender, out Window? window))
        {
            if (_senders.Count >= MaxSenders)
                Forget(now);
            _senders[sender] = window = new Window(number);
            window.Used = now;
            return true;
        }

        window.Used = now;
        return window.Accept(number);
    }

    private void Forget(long now)
    {
        Guid oldest = default;
        long used = long.MaxValue;
        foreach ((Guid sender, Window window) in _senders)
        {
            if (now - window.Used > ForgetAfterMs)
                _senders.Remove(sender);
            else if (window.Used < used)
                (oldest, used) = (sender, window.Used);
        }

        if (_senders.Count >= MaxSenders)
            _senders.Remove(oldest);
    }

    private sealed class Window
    {
        private readonly ulong[] _seen = new ulong[WindowBits / 64];
        private ulong _newest;

        public Window(ulong number)
        {
            _newest = number;
            Set(number);
        }

        public long Used { get; set; }

        public bool Accept(ulong number)
        {
            if (number > _newest)
            {
                if (number - _newest >= WindowBits)
                {
                    Array.Clear(_seen);
                }
                else
                {
                    for (ulong between = _newest + 1; between < number; between++)
                        _seen[between / 64 % (WindowBits / 64)] &= ~(1UL << (int)(between % 64));
                }

                _newest = number;
                Set(number);
                return true;
            }

            if (_newest - number >= WindowBits)
                return false;

            ref ulong word = ref _seen[number / 64 % (WindowBits / 64)];
            ulong bit = 1UL << (int)(number % 64);
            if ((word & bit) != 0)
                return false;

            word |= bit;
            return true;
        }

        private void Set(ulong number) => _seen[number / 64 % (WindowBits / 64)] |= 1UL << (int)(number % 64);
    }
}
