using Microsoft.Extensions.Logging;

namespace Transcribe.Cluster.InProcess;

public sealed partial class InProcessMessageBus
{
    [LoggerMessage(1001, LogLevel.Error, "The handler of \"{Subject}\" failed")]
    private partial void LogHandlerFailed(string subject, Exception exception);

    [LoggerMessage(1002, LogLevel.Warning, "A subscriber of \"{Subject}\" is too slow: {Count} events dropped so far")]
    private partial void LogDropped(string subject, long count);
}
