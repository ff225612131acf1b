using Transcribe.Rtc;

namespace Transcribe.AiGateway.Claims;

/// <summary>
/// Which rooms a gateway that is being drained gives away, and when: one after the other while there is time, several at once towards the
/// deadline and after it, and never more than the others have room for. A room that nobody can take stays, whatever the deadline says.
/// </summary>
internal sealed class RoomHandOvers
{
    /// <summary>Rooms under way at once: each of them is without captions for a moment, and costs its new gateway a burst of work.</summary>
    private const int Most = 8;

    /// <summary>How long people who are speaking may speak on before they are cut.</summary>
    private static readonly TimeSpan LongestPatience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ShortestPatience = TimeSpan.FromSeconds(1);

    /// <summary>What one room takes at worst, from the decision until another gateway has it.</summary>
    private static readonly TimeSpan PerRoom = TimeSpan.FromSeconds(6);

    /// <summary>A room of which nothing was heard for this long is no longer waited for.</summary>
    private static readonly TimeSpan Forgotten = TimeSpan.FromSeconds(20);

    /// <summary>After a room came back.</summary>
    private static readonly TimeSpan RestTime = TimeSpan.FromSeconds(30);

    private readonly Dictionary<string, Instant> _underWay = new(StringComparer.Ordinal);
    private Instant _from = Instant.Zero;

    public static TimeSpan Patience(TimeSpan? left) =>
        left is not { } time || time > LongestPatience ? LongestPatience : time < ShortestPatience ? ShortestPatience : time;

    /// <summary>The rooms to give away now; they are under way from here on.</summary>
    /// <param name="rooms">Those that this gateway has.</param>
    /// <param name="free">Rooms that the others can take, by their announcements.</param>
    /// <param name="left">Time until the deadline; null where there is none.</param>
    public IReadOnlyList<string> Choose(Instant now, IEnumerable<string> rooms, int free, TimeSpan? left)
    {
        foreach (string forgotten in _underWay.Where(pair => now - pair.Value > Forgotten).Select(pair => pair.Key).ToArray())
            _underWay.Remove(forgotten);
        if (now < _from)
            return [];

        string[] here = [.. rooms.Where(room => !_underWay.ContainsKey(room)).Order(StringComparer.Ordinal)];
        int atOnce = left is not { } time ? 1
            : time <= TimeSpan.Zero ? Most
            : (int)Math.Clamp(Math.Ceiling((here.Length + _underWay.Count) * (PerRoom / time)), 1, Most);
        string[] chosen = [.. here.Take(Math.Max(0, Math.Min(atOnce, free) - _underWay.Count))];
        foreach (string room in chosen)
            _underWay[room] = now;
        return chosen;
    }

    /// <summary>Other gateways have these.</summary>
    public void OnTaken(IReadOnlySet<string> taken)
    {
        foreach (string room in _underWay.Keys.Where(taken.Contains).ToArray())
            _underWay.Remove(room);
    }

    /// <summary>True where it was under way.</summary>
    public bool Remove(string room) => _underWay.Remove(room);

    /// <summary>Gives nothing away for a while.</summary>
    public void Rest(Instant now) => _from = now + RestTime;

    /// <summary>The drain was withdrawn.</summary>
    public void Clear()
    {
        _underWay.Clear();
        _from = Instant.Zero;
    }
}
