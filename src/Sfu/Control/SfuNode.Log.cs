using Microsoft.Extensions.Logging;

namespace Transcribe.Sfu.Control;

public sealed partial class SfuNode
{
    [LoggerMessage(2001, LogLevel.Information, "SFU node {Node} receives on UDP port {Ports}")]
    private partial void LogStarted(string node, string ports);

    [LoggerMessage(2002, LogLevel.Error, "Session {SessionId} was closed because of an internal error")]
    private partial void LogSessionFaulted(Exception exception, string sessionId);

    [LoggerMessage(2003, LogLevel.Debug, "Session {SessionId} ended: {Reason}")]
    private partial void LogSessionEnded(string sessionId, string reason);

    [LoggerMessage(2004, LogLevel.Warning, "The cluster was not told of {What}: its bus or store is away")]
    private partial void LogEventFailed(Exception exception, string what);

    [LoggerMessage(2005, LogLevel.Debug, "Session {SessionId} published {TrackId} and is not in the room any more")]
    private partial void LogNotInRoom(string sessionId, string trackId);

    [LoggerMessage(2007, LogLevel.Warning, "The rooms with transcription could not be listed: what is known of them stays")]
    private partial void LogListFailed(Exception exception);
}
