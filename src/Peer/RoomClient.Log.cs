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

    [LoggerMessage(13, LogLevel.Information, "A signalling node was not of use: {Reason}")]
    private static partial void LogReconnectFailed(ILogger logger, string reason);

    [LoggerMessage(14, LogLevel.Information, "Session {Session} goes on: resumed {Resumed}")]
    private static partial void LogReconnected(ILogger logger, string session, bool resumed);

    [LoggerMessage(15, LogLevel.Information, "The media session is set up anew: {Reason}")]
    private static partial void LogMoved(ILogger logger, string reason);

    [LoggerMessage(16, LogLevel.Information, "The session is given up for a new one: {Reason}")]
    private static partial void LogRejoining(ILogger logger, string reason);

    [LoggerMessage(17, LogLevel.Information, "Trying the next signalling node: {Code}")]
    private static partial void LogNextNode(ILogger logger, string code);

    [LoggerMessage(18, LogLevel.Error, "The connection could not be repaired")]
    private static partial void LogRepairFailed(ILogger logger, Exception exception);

    [LoggerMessage(19, LogLevel.Debug, "A subscription was not taken on: {Reason}")]
    private static partial void LogSubscribeFailed(ILogger logger, string reason);

    [LoggerMessage(21, LogLevel.Debug, "Media is {State}")]
    private static partial void LogMediaState(ILogger logger, Rtc.RtcSessionState state);

    [LoggerMessage(22, LogLevel.Debug, "The offer was answered")]
    private static partial void LogAnswered(ILogger logger);
}
