namespace Transcribe.Cluster.Bus;

/// <summary>
/// Messages between roles. Subjects are dotted names ("sfu.n1.open"). Messages are serialised (JSON) by every
/// implementation, the in-process one too, so that nothing depends on sharing objects.
/// </summary>
/// <remarks>
/// Contract: events of one publisher on one subject arrive in order, at most once; a subscription's handler runs
/// sequentially; a handler that throws is logged and does not end the subscription; every queue is bounded.
/// A subject has one process that answers; where there are more, the first answer counts.
/// <para>
/// Over Redis: while it is away, events are lost (and counted: own sequence numbers and resyncs make up for it), requests fail with
/// <see cref="BusException.Unavailable"/>, and subscriptions come back by themselves.
/// </para>
/// </remarks>
public interface IMessageBus
{
    /// <summary>Sends an event to every current subscriber of the subject.</summary>
    ValueTask PublishAsync<T>(string subject, T message, CancellationToken cancellationToken = default);

    /// <summary>Receives the events of a subject until the returned handle is disposed.</summary>
    ValueTask<IAsyncDisposable> SubscribeAsync<T>(
        string subject, Func<T, CancellationToken, ValueTask> handler, CancellationToken cancellationToken = default);

    /// <summary>Asks the responder of a subject.</summary>
    /// <exception cref="BusException">No responder, time-out, or the responder's own refusal (its <see cref="BusException.Code"/>).</exception>
    ValueTask<TReply> RequestAsync<TRequest, TReply>(
        string subject, TRequest request, TimeSpan timeout, CancellationToken cancellationToken = default);

    /// <summary>Answers requests on a subject (concurrently) until the returned handle is disposed. A <see cref="BusException"/> thrown by the handler reaches the asker with its code.</summary>
    ValueTask<IAsyncDisposable> RespondAsync<TRequest, TReply>(
        string subject, Func<TRequest, CancellationToken, ValueTask<TReply>> handler, CancellationToken cancellationToken = default);
}

/// <summary>A request that got no good answer.</summary>
/// <param name="code">Machine-readable reason: "no_responder", "timeout", "unavailable", "overloaded", or the responder's own ("session_not_found", "sdp_invalid", …).</param>
/// <param name="message">A sentence for a person: what is wrong and what to do.</param>
public sealed class BusException(string code, string message) : Exception(message)
{
    public const string NoResponder = "no_responder";
    public const string Timeout = "timeout";
    public const string Internal = "internal";

    /// <summary>The bus itself is away (Redis does not answer); nobody knows about the responder.</summary>
    public const string Unavailable = "unavailable";

    /// <summary>Too many requests are under way at the responder, or here.</summary>
    public const string Overloaded = "overloaded";

    public string Code { get; } = code;
}
