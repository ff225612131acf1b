namespace Transcribe.Rtc.Tests.Simulation;

/// <summary>What a simulated one-way link does to datagrams. Probabilities are 0..1.</summary>
public sealed record LinkConditions
{
    public double Loss { get; init; }

    public double Duplication { get; init; }

    /// <summary>Propagation delay of every datagram.</summary>
    public TimeSpan Delay { get; init; } = TimeSpan.FromMilliseconds(10);

    /// <summary>Uniform extra delay, 0 to this; reorders datagrams when larger than their spacing.</summary>
    public TimeSpan Jitter { get; init; }

    /// <summary>Bottleneck in bits per second; 0 is unlimited. The queue in front of it is a drop-tail one.</summary>
    public long BitsPerSecond { get; init; }

    /// <summary>Size of the bottleneck's queue.</summary>
    public TimeSpan QueueLimit { get; init; } = TimeSpan.FromMilliseconds(300);

    /// <summary>A perfect link with a 10 ms delay.</summary>
    public static LinkConditions Perfect { get; } = new();

    /// <summary>A bad mobile link: 5 % loss, reordering, duplicates.</summary>
    public static LinkConditions Bad { get; } = new()
    {
        Loss = 0.05,
        Duplication = 0.01,
        Delay = TimeSpan.FromMilliseconds(40),
        Jitter = TimeSpan.FromMilliseconds(30),
    };
}

/// <summary>
/// One direction of a simulated network: seeded loss, duplication, reordering, jitter and rate on a virtual clock.
/// The same seed and the same sends give the same deliveries.
/// </summary>
public sealed class VirtualLink(LinkConditions conditions, int seed)
{
    private readonly Random _random = new(seed);
    private readonly PriorityQueue<(TransportPath Path, byte[] Bytes), (Instant At, long Order)> _inFlight = new();
    private Instant _bottleneckFree = Instant.Zero;
    private long _order;

    /// <summary>May be changed while the simulation runs.</summary>
    public LinkConditions Conditions { get; set; } = conditions;

    public int Sent { get; private set; }

    public int Dropped { get; private set; }

    public Instant NextDelivery => _inFlight.TryPeek(out _, out var when) ? when.At : Instant.Never;

    public void Send(Instant now, in TransportPath path, ReadOnlySpan<byte> datagram)
    {
        Sent++;
        LinkConditions c = Conditions;
        Instant departs = now;
        if (c.BitsPerSecond > 0)
        {
            departs = Instant.Max(now, _bottleneckFree);
            if (departs - now > c.QueueLimit)
            {
                Dropped++;
                return;
            }

            departs += TimeSpan.FromSeconds(datagram.Length * 8.0 / c.BitsPerSecond);
            _bottleneckFree = departs;
        }

        if (_random.NextDouble() < c.Loss)
        {
            Dropped++;
            return;
        }

        byte[] bytes = datagram.ToArray();
        Enqueue(departs, path, bytes);
        if (_random.NextDouble() < c.Duplication)
        {
            Enqueue(departs, path, bytes);
        }
    }

    /// <summary>Takes the next datagram due at or before <paramref name="now"/>.</summary>
    public bool TryReceive(Instant now, out TransportPath path, out byte[] datagram)
    {
        if (_inFlight.TryPeek(out var head, out var when) && when.At <= now)
        {
            _inFlight.Dequeue();
            (path, datagram) = (head.Path, (byte[])head.Bytes.Clone());
            return true;
        }

        (path, datagram) = (default, []);
        return false;
    }

    private void Enqueue(Instant departs, in TransportPath path, byte[] bytes)
    {
        Instant arrives = departs + Conditions.Delay + (Conditions.Jitter * _random.NextDouble());
        _inFlight.Enqueue((path, bytes), (arrives, _order++));
    }
}
