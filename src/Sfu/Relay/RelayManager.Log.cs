using Microsoft.Extensions.Logging;

namespace Transcribe.Sfu.Relay;

internal sealed partial class RelayManager
{
    [LoggerMessage(2101, LogLevel.Information, "Link {SessionId} to SFU node {Peer} is up")]
    private partial void LogLinkUp(string sessionId, string peer);

    [LoggerMessage(2102, LogLevel.Warning, "Link {SessionId} to SFU node {Peer} is lost: {Why}")]
    private partial void LogLinkLost(string sessionId, string peer, string why);

    [LoggerMessage(2103, LogLevel.Warning, "No relay of track {TrackId}: {Why}")]
    private partial void LogTrackFailed(string trackId, string why);

    [LoggerMessage(2104, LogLevel.Warning, "No relay of data of room {Room}: {Why}")]
    private partial void LogRoomFailed(string room, string why);

    [LoggerMessage(2105, LogLevel.Error, "The relay side failed")]
    private partial void LogFault(Exception exception);

    [LoggerMessage(2106, LogLevel.Warning, "A relay was refused: {Why}")]
    private partial void LogRefused(string why);

    [LoggerMessage(2107, LogLevel.Debug, "Track {TrackId} comes from SFU node {Peer}")]
    private partial void LogTrackAttached(string trackId, string peer);

    [LoggerMessage(2109, LogLevel.Information, "SFU node {Peer} does not help to relay room {Room}: {Why}")]
    private partial void LogNoHelp(string peer, string room, string why);

    [LoggerMessage(2108, LogLevel.Warning, "The tracks of room {Room} on other nodes cannot be read: {Why}")]
    private partial void LogResyncFailed(string room, string why);
}
