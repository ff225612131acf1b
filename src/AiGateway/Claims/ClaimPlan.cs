using Transcribe.Rtc;

namespace Transcribe.AiGateway.Claims;

/// <summary>
/// When this gateway tries to claim which room. Every gateway sees a free room at about the same time; those with more room
/// left try first, so that load spreads without anybody deciding, and a dead favourite costs a moment only.
/// </summary>
internal sealed class ClaimPlan(Func<double> random)
{
    /// <summary>Head start of each gateway that has more room left than we have.</summary>
    private static readonly TimeSpan PerRank = TimeSpan.FromMilliseconds(50);

    private static readonly TimeSpan PerLoad = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Jitter = TimeSpan.FromMilliseconds(30);
    private const int LowestRank = 4;

    private readonly Dictionary<string, Instant> _free = new(StringComparer.Ordinal);
    private TimeSpan _handicap;

    /// <summary>Head start of all others: a gateway that is being drained takes only what nobody else does.</summary>
    public TimeSpan Reluctance { get; set; }

    /// <summary>How this gateway stands among the others.</summary>
    /// <param name="roomsLeftElsewhere">Of each other gateway that takes rooms: how many more.</param>
    public void Rank(int load, int capacity, IEnumerable<int> roomsLeftElsewhere)
    {
        int left = capacity - load;
        int rank = Math.Min(roomsLeftElsewhere.Count(other => other > left), LowestRank);
        _handicap = (rank * PerRank) + (PerLoad * Math.Clamp((double)load / capacity, 0, 1));
    }

    /// <summary>The rooms that nobody has.</summary>
    public void Update(Instant now, IReadOnlySet<string> free)
    {
        foreach (string taken in _free.Keys.Where(room => !free.Contains(room)).ToArray())
            _free.Remove(taken);
        foreach (string room in free)
            Add(now, room);
    }

    public void Add(Instant now, string room) => _free.TryAdd(room, now + (Jitter * random()));

    public void Remove(string room) => _free.Remove(room);

    /// <summary>When the next room is due.</summary>
    public Instant Next => _free.Count == 0 ? Instant.Never : _free.Values.Min() + _handicap + Reluctance;

    /// <summary>A room to try now; it is forgotten until it is seen free again.</summary>
    public bool TryTake(Instant now, out string room)
    {
        foreach ((string candidate, Instant since) in _free)
        {
            if (since + _handicap + Reluctance > now)
                continue;
            room = candidate;
            return _free.Remove(candidate);
        }

        room = "";
        return false;
    }
}
