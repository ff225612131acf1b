namespace Transcribe.Cluster.State;

/// <summary>
/// State, log or leases cannot be reached now (Redis is away). Whether the change that was under way has happened is not known.
/// In process it never occurs.
/// </summary>
public sealed class ClusterUnavailableException(string message, Exception? inner = null) : Exception(message, inner);
