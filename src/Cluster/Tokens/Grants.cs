namespace Transcribe.Cluster.Tokens;

/// <summary>What an access token allows its bearer in one room.</summary>
public sealed record Grants
{
    public bool Publish { get; init; }

    public bool Subscribe { get; init; }

    /// <summary>Data channels by any label but the reserved ones.</summary>
    public bool PublishData { get; init; }

    /// <summary>Reserved labels this bearer may send on ("captions"). A plain <see cref="PublishData"/> never includes them.</summary>
    public IReadOnlyList<string> PublishDataLabels { get; init; } = [];

    /// <summary>In no roster, no count, no event. For gateways and recorders.</summary>
    public bool Hidden { get; init; }

    /// <summary>May switch transcription, remove participants and close the room.</summary>
    public bool Admin { get; init; }

    /// <summary>Whether messages on this data channel label may be sent.</summary>
    public bool AllowsData(string label) =>
        ReservedLabels.Contains(label) ? PublishDataLabels.Contains(label) : PublishData || PublishDataLabels.Contains(label);

    /// <summary>Labels that need an explicit grant: nobody forges captions.</summary>
    public static IReadOnlySet<string> ReservedLabels { get; } = new HashSet<string>(StringComparer.Ordinal) { "captions" };
}
