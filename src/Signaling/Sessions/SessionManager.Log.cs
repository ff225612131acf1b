using Microsoft.Extensions.Logging;

namespace Transcribe.Signaling.Sessions;

internal sealed partial class SessionManager
{
    [LoggerMessage(2001, LogLevel.Information, "Session {Session} opened in room {Room} on node {Node} ({Presence})")]
    private partial void LogOpened(string session, string room, string node, Presence presence);

    [LoggerMessage(2002, LogLevel.Information, "Session {Session} in room {Room} ended: {Reason}")]
    private partial void LogEnded(string session, string room, string reason);

    [LoggerMessage(2003, LogLevel.Information, "Session {Session} in room {Room} goes on over a new connection")]
    private partial void LogResumed(string session, string room);

    [LoggerMessage(2004, LogLevel.Debug, "Session {Session}: {Subject} refused: {Code}")]
    private partial void LogRefused(string session, string subject, string code);

    [LoggerMessage(2006, LogLevel.Error, "Session {Session} could not be ended cleanly")]
    private partial void LogEndFailed(string session, Exception exception);

    [LoggerMessage(2007, LogLevel.Warning, "Stopping with {Count} sessions not ended cleanly")]
    private partial void LogStopIncomplete(int count);

    [LoggerMessage(2008, LogLevel.Information, "Session {Session} in room {Room} was taken over from node {Before}")]
    private partial void LogTaken(string session, string room, string before);

    [LoggerMessage(2009, LogLevel.Information, "Session {Session} in room {Room} is left to another node")]
    private partial void LogForgotten(string session, string room);

    [LoggerMessage(2010, LogLevel.Debug, "Session {Session} is written later: {Reason}")]
    private partial void LogStoreAway(string session, string reason);
}
