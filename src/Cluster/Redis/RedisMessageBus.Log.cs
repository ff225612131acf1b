using Microsoft.Extensions.Logging;

namespace Transcribe.Cluster.Redis;

internal sealed partial class RedisMessageBus
{
    [LoggerMessage(1111, LogLevel.Error, "The handler of \"{Subject}\" failed")]
    private partial void LogHandlerFailed(string subject, Exception exception);

    [LoggerMessage(1112, LogLevel.Warning, "A subscriber of \"{Subject}\" is too slow: {Count} events dropped so far")]
    private partial void LogDropped(string subject, long count);

    [LoggerMessage(1113, LogLevel.Warning, "Refused a message on \"{Subject}\" ({Reason}), {Count} such so far: is TRANSCRIBE_CLUSTER_KEY the same everywhere, and are the clocks right?")]
    private partial void LogRefused(string subject, BusDrop reason, long count);

    [LoggerMessage(1114, LogLevel.Warning, "Events cannot be published while Redis is away: {Count} lost so far")]
    private partial void LogUnavailable(long count);
}
