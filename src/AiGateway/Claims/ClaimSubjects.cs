namespace Transcribe.AiGateway.Claims;

/// <summary>What gateways tell one another.</summary>
internal static class ClaimSubjects
{
    /// <summary><see cref="RoomReleased"/>, to all gateways: the next look would find it too, a moment later.</summary>
    public const string Released = "gateways.released";
}

/// <summary>A gateway gave its claim on a room back.</summary>
internal sealed record RoomReleased(string Room);
