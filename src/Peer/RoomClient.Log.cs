using Microsoft.Extensions.Logging;

namespace Transcribe.Peer;

public sealed partial class RoomClient
{
    [LoggerMessage(10, LogLevel.Debug, "Leaving was not heard: {Reason}")]
    private static partial void LogLeaveFailed(ILogger logger, string reason);

    [LoggerMessage(11, LogLevel.Warning, "A new offer failed: {Reason}")]
    private static partial void LogOfferFailed(ILogger logger, string reason);

    [LoggerMessage(12, LogLevel.Warning, "The room could not be resynchronised: {Reason}")]
    private static partial void LogResyncFailed(ILogger logger, string reason);

    [LoggerMessage(13, LogLevel.Warning, "The session could not be resumed: {Reason}")]
    private static partial void LogResumeFailed(ILogger logger, string reason);
}
