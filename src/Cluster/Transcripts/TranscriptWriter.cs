using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Transcripts;

/// <summary>Names of transcript writers.</summary>
public static class TranscriptWriter
{
    /// <summary>The holder of a lease, this time: its name and the fencing token.</summary>
    public static string Of(Lease lease) => $"{lease.FencingToken}@{lease.Owner}";

    /// <summary>Whether the writer is this owner, by whichever of its leases.</summary>
    public static bool IsOf(string writer, string owner) => writer.AsSpan(writer.IndexOf('@', StringComparison.Ordinal) + 1).SequenceEqual(owner);
}
