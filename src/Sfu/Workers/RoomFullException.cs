namespace Transcribe.Sfu.Workers;

/// <summary>A room, or the node, has as many sessions as its limits allow.</summary>
internal sealed class RoomFullException(string what, int limit)
    : Exception($"{what} has its {limit} sessions already; raise Sfu:Limits, or wait until somebody leaves.");
