namespace Transcribe.Cluster.Placement;

/// <summary>How sessions are put on SFU nodes.</summary>
public sealed class PlacementOptions
{
    /// <summary>
    /// Name of the policy: "together" keeps a room on as few nodes as hold it, "spread" puts every session on the less loaded of two nodes.
    /// Default "together".
    /// </summary>
    public string Policy { get; set; } = TogetherPolicy.PolicyName;

    /// <summary>Share of a room's home node that viewers leave to participants, as long as there is another node for them. 0 to 0.9, default 0.2.</summary>
    public double HomeReserve { get; set; } = 0.2;

    /// <summary>
    /// Share of a node that a session is taken to need until the node's own announcement shows it, for comparing nodes. Above 0, to 1; default 0.005.
    /// </summary>
    public double AssumedShare { get; set; } = 0.005;

    /// <summary>How long a placement is counted that no announcement shows. Default 6 s.</summary>
    public TimeSpan RecentLifetime { get; set; } = TimeSpan.FromSeconds(6);

    /// <summary>How long the node that <c>POST /v1/join</c> chose is kept for the participant. Default 20 s.</summary>
    public TimeSpan ReservationLifetime { get; set; } = TimeSpan.FromSeconds(20);

    /// <summary>How long a room's nodes are remembered after its last placement. Default 1 h.</summary>
    public TimeSpan RoomLifetime { get; set; } = TimeSpan.FromHours(1);

    /// <summary>Makes the random choices repeatable, for simulations. Default null.</summary>
    public int? Seed { get; set; }

    /// <summary>The defaults, with the policy that TRANSCRIBE_PLACEMENT names.</summary>
    /// <param name="read">The value of a variable, or null.</param>
    /// <exception cref="InvalidOperationException">There is no such policy; the message says which there are.</exception>
    public static PlacementOptions FromEnvironment(Func<string, string?> read)
    {
        if (read("TRANSCRIBE_PLACEMENT")?.Trim() is not { Length: > 0 } policy)
            return new PlacementOptions();

        return PlacementPolicies.Names.Contains(policy, StringComparer.Ordinal)
            ? new PlacementOptions { Policy = policy }
            : throw new InvalidOperationException($"TRANSCRIBE_PLACEMENT is \"{policy}\". Set one of: {string.Join(", ", PlacementPolicies.Names)}.");
    }

    /// <summary>Null, or a sentence that names the setting, its value and the fix.</summary>
    public string? Validate()
    {
        if (!PlacementPolicies.Names.Contains(Policy, StringComparer.Ordinal))
            return $"Placement:Policy is \"{Policy}\"; use one of: {string.Join(", ", PlacementPolicies.Names)}.";
        if (HomeReserve is not (>= 0 and <= 0.9))
            return $"Placement:HomeReserve is {HomeReserve}; use 0 to 0.9.";
        if (AssumedShare is not (> 0 and <= 1))
            return $"Placement:AssumedShare is {AssumedShare}; use more than 0, at most 1.";

        (string Key, TimeSpan Value)[] times =
            [(nameof(RecentLifetime), RecentLifetime), (nameof(ReservationLifetime), ReservationLifetime), (nameof(RoomLifetime), RoomLifetime)];
        foreach ((string key, TimeSpan value) in times)
        {
            if (value < TimeSpan.FromMilliseconds(100) || value > TimeSpan.FromDays(1))
                return $"Placement:{key} is {value}; use 100 ms to a day.";
        }

        return null;
    }
}
