using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Transcripts;

/// <summary>Names of transcript writers.</summary>
public static class TranscriptWriter
{
    /// <summary>The holder of a lease, this time: its name and the fencing token.</summary>
    public static string Of(Lease lease) => $"{lease.FencingToken}@{lease.Owner}";
}
