using Transcribe.Cluster;
using Transcribe.Cluster.Bus;

namespace Transcribe.Director.Tests.Support;

/// <summary>A bus without queues: what is published has arrived when publishing returns.</summary>
internal sealed class DirectBus : IMessageBus
{
    private readonly List<(string Subject, Func<string, CancellationToken, ValueTask> Handler)> _subscribers = [];
    private readonly Dictionary<string, Func<string, CancellationToken, ValueTask<string>>> _responders = new(StringComparer.Ordinal);

    /// <summary>Everything published, with its subject.</summary>
    public List<(string Subject, object Message)> Published { get; } = [];

    public async ValueTask PublishAsync<T>(string subject, T message, CancellationToken cancellationToken = default)
    {
        Published.Add((subject, message!));
        foreach ((string to, Func<string, CancellationToken, ValueTask> handler) in _subscribers.ToArray())
        {
            if (to == subject)
                await handler(ClusterJson.Serialize(message), cancellationToken);
        }
    }

    public ValueTask<IAsyncDisposable> SubscribeAsync<T>(
        string subject, Func<T, CancellationToken, ValueTask> handler, CancellationToken cancellationToken = default)
    {
        (string, Func<string, CancellationToken, ValueTask>) entry = (subject, (json, token) => handler(ClusterJson.Deserialize<T>(json), token));
        _subscribers.Add(entry);
        return ValueTask.FromResult<IAsyncDisposable>(new Handle(() => _subscribers.Remove(entry)));
    }

    public async ValueTask<TReply> RequestAsync<TRequest, TReply>(
        string subject, TRequest request, TimeSpan timeout, CancellationToken cancellationToken = default) =>
        _responders.TryGetValue(subject, out Func<string, CancellationToken, ValueTask<string>>? responder)
            ? ClusterJson.Deserialize<TReply>(await responder(ClusterJson.Serialize(request), cancellationToken))
            : throw new BusException(BusException.NoResponder, $"Nobody answers on \"{subject}\".");

    public ValueTask<IAsyncDisposable> RespondAsync<TRequest, TReply>(
        string subject, Func<TRequest, CancellationToken, ValueTask<TReply>> handler, CancellationToken cancellationToken = default)
    {
        _responders[subject] = async (json, token) => ClusterJson.Serialize(await handler(ClusterJson.Deserialize<TRequest>(json), token));
        return ValueTask.FromResult<IAsyncDisposable>(new Handle(() => _responders.Remove(subject)));
    }

    private sealed class Handle(Action end) : IAsyncDisposable
    {
        public ValueTask DisposeAsync()
        {
            end();
            return ValueTask.CompletedTask;
        }
    }
}
