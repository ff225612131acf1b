using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.InProcess;

namespace Transcribe.Signaling.Tests.Support;

/// <summary>A bus that loses events while it is told to, as Redis pub/sub does while Redis is away.</summary>
internal sealed class LossyBus : IMessageBus, IAsyncDisposable
{
    private readonly InProcessMessageBus _inner;

    public LossyBus(TimeProvider time) => _inner = new(NullLogger<InProcessMessageBus>.Instance, time);

    public Func<string, bool>? Loses { get; set; }

    public ValueTask PublishAsync<T>(string subject, T message, CancellationToken cancellationToken = default) =>
        Loses?.Invoke(subject) == true ? ValueTask.CompletedTask : _inner.PublishAsync(subject, message, cancellationToken);

    public ValueTask<IAsyncDisposable> SubscribeAsync<T>(
        string subject, Func<T, CancellationToken, ValueTask> handler, CancellationToken cancellationToken = default) =>
        _inner.SubscribeAsync(subject, handler, cancellationToken);

    public ValueTask<TReply> RequestAsync<TRequest, TReply>(
        string subject, TRequest request, TimeSpan timeout, CancellationToken cancellationToken = default) =>
        _inner.RequestAsync<TRequest, TReply>(subject, request, timeout, cancellationToken);

    public ValueTask<IAsyncDisposable> RespondAsync<TRequest, TReply>(
        string subject, Func<TRequest, CancellationToken, ValueTask<TReply>> handler, CancellationToken cancellationToken = default) =>
        _inner.RespondAsync(subject, handler, cancellationToken);

    public ValueTask DisposeAsync() => _inner.DisposeAsync();
}
