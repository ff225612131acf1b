using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Redis;

/// <summary>
/// This process's connection to Redis. A loop asks for the cluster's epoch twice a second, so that a lost connection, a hanging server
/// and lost data are all found; after a loss it says so only when a message of its own has come back through publish and subscribe.
/// </summary>
internal sealed partial class RedisClusterConnection : IClusterConnection, IAsyncDisposable, IDisposable
{
    private static readonly TimeSpan CheckInterval = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan ProbeTimeout = TimeSpan.FromMilliseconds(500);

    private readonly ILogger _logger;
    private readonly ConnectionMultiplexer _redis;
    private readonly RedisKey _epochKey;
    private readonly RedisChannel _probeChannel;
    private readonly CancellationTokenSource _stopping = new();
    private readonly SemaphoreSlim _wake = new(0, 1);
    private readonly string _servers;
    private readonly Task _loop;
    private volatile TaskCompletionSource _probe = new();
    private volatile bool _connected;
    private volatile bool _incomplete;
    private bool _probing;
    private int _failures;
    private string? _epoch;
    private int _disposed;

    /// <summary>Connects.</summary>
    /// <exception cref="InvalidOperationException">An option cannot work, or Redis does not answer in time; the message says what to do.</exception>
    public RedisClusterConnection(RedisClusterOptions options, ILogger<RedisClusterConnection> logger)
    {
        options.Validate();
        _logger = logger;
        _servers = options.Servers;
        Prefix = $"{{{options.Prefix}}}:";
        _epochKey = Prefix + "epoch";
        _probeChannel = RedisChannel.Literal($"{Prefix}probe:{Guid.NewGuid():N}");
        _redis = Connect(options);
        _redis.ConnectionFailed += (_, _) => Lost();
        _redis.ConnectionRestored += (_, _) => Wake();
        Database = _redis.GetDatabase();
        Subscriber = _redis.GetSubscriber();
        _loop = Task.Run(CheckAgainAsync);
    }

    public event Action<ClusterReconnected>? Reconnected;

    public bool IsConnected => _connected;

    /// <summary>Brings the subscriptions back, before anybody hears that the connection is.</summary>
    public Func<Task>? RestoreSubscriptions { get; set; }

    /// <summary>Told at once when the connection is lost.</summary>
    public Action? WentAway { get; set; }

    /// <summary>The first part of every key and channel. In braces: all keys of a script are in one hash slot.</summary>
    public string Prefix { get; }

    public IDatabase Database { get; }

    public ISubscriber Subscriber { get; }

    public CancellationToken Stopping => _stopping.Token;

    /// <summary>A subscription could not be made though the connection seems to be there: it is tried again soon.</summary>
    public void RestoreSoon()
    {
        _incomplete = true;
        Wake();
    }

    /// <summary>Waits for a command; a Redis that is away is a <see cref="ClusterUnavailableException"/>.</summary>
    public async ValueTask<T> RunAsync<T>(Task<T> command, CancellationToken cancellationToken)
    {
        try
        {
            return await command.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (IsAway(e))
        {
            Wake();
            throw new ClusterUnavailableException($"Redis at {_servers} does not answer; it is tried again all the time.", e);
        }
    }

    /// <summary>Runs a Lua script.</summary>
    public ValueTask<RedisResult> RunAsync(string script, RedisKey[] keys, RedisValue[] arguments, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return RunAsync(Database.ScriptEvaluateAsync(script, keys, arguments), cancellationToken);
    }

    /// <summary>Whether the exception means that Redis is away, rather than that a command is wrong.</summary>
    public static bool IsAway(Exception exception) => exception switch
    {
        RedisConnectionException or RedisTimeoutException or TimeoutException or ObjectDisposedException => true,
        RedisServerException server => server.Message.StartsWith("LOADING", StringComparison.Ordinal)
            || server.Message.StartsWith("MASTERDOWN", StringComparison.Ordinal)
            || server.Message.StartsWith("READONLY", StringComparison.Ordinal)
            || server.Message.StartsWith("BUSY", StringComparison.Ordinal),
        _ => false,
    };

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;

        _connected = false;
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _loop.ConfigureAwait(false);
        await _redis.DisposeAsync().ConfigureAwait(false);
        _stopping.Dispose();
        _wake.Dispose();
    }

    public void Dispose() => DisposeAsync().AsTask().GetAwaiter().GetResult();

    private ConnectionMultiplexer Connect(RedisClusterOptions options)
    {
        ConnectionMultiplexer? redis = null;
        long started = TimeProvider.System.GetTimestamp();
        try
        {
            redis = ConnectionMultiplexer.Connect(options.ToConfiguration());
            while (true)
            {
                string cause = "it does not answer";
                try
                {
                    if (redis.IsConnected)
                    {
                        _epoch = ReadEpoch(redis.GetDatabase());
                        redis.GetSubscriber().Ping();
                        _connected = true;
                        return redis;
                    }
                }
                catch (RedisServerException e) when (!IsAway(e))
                {
                    cause = e.Message;
                }
                catch (Exception e) when (IsAway(e))
                {
                    cause = "it does not answer in time";
                }

                if (TimeProvider.System.GetElapsedTime(started) > options.StartupTimeout)
                {
                    throw new InvalidOperationException(
                        $"Redis at {_servers} ({RedisClusterOptions.RedisVariable}) could not be used within {options.StartupTimeout.TotalSeconds:0.#} s: {cause}. "
                        + "Start it, or correct the address or the password.");
                }

                Thread.Sleep(RetryInterval);
            }
        }
        catch
        {
            redis?.Dispose();
            throw;
        }
    }

    private string ReadEpoch(IDatabase database)
    {
        database.StringSet(_epochKey, RandomNumberGenerator.GetHexString(16), when: When.NotExists);
        return database.StringGet(_epochKey).ToString();
    }

    private void Lost()
    {
        if (!_connected)
            return;

        _connected = false;
        LogLost(_servers);
        WentAway?.Invoke();
        Wake();
    }

    private void Wake()
    {
        try
        {
            if (_wake.CurrentCount == 0)
                _wake.Release();
        }
        catch (Exception e) when (e is SemaphoreFullException or ObjectDisposedException)
        {
            // Somebody else woke it, or it is over.
        }
    }

    private async Task CheckAgainAsync()
    {
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                await _wake.WaitAsync(_connected ? CheckInterval : RetryInterval, _stopping.Token).ConfigureAwait(false);
                await CheckAsync().ConfigureAwait(false);
                if (!_connected || _incomplete)
                    await Task.Delay(RetryInterval, _stopping.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (IsAway(e) || e is RedisException)
            {
                // A closed connection is told by its event; one late answer may be this machine's own slowness.
                if (++_failures > 1)
                    Lost();
            }
            catch (Exception e)
            {
                LogCheckFailed(e);
            }
        }
    }

    private async Task CheckAsync()
    {
        string? epoch = await Database.StringGetAsync(_epochKey).WaitAsync(_stopping.Token).ConfigureAwait(false);
        if (epoch is null)
        {
            await Database.StringSetAsync(_epochKey, RandomNumberGenerator.GetHexString(16), when: When.NotExists).ConfigureAwait(false);
            epoch = await Database.StringGetAsync(_epochKey).ConfigureAwait(false);
            if (epoch is null)
                return;
        }

        _failures = 0;
        if (!_connected || _incomplete)
        {
            _incomplete = false;
            if (RestoreSubscriptions is { } restore)
                await restore().ConfigureAwait(false);
        }

        if (_connected && epoch == _epoch)
            return;

        if (!_connected)
            await ProbeAsync().ConfigureAwait(false);

        bool lost = epoch != _epoch;
        _epoch = epoch;
        _connected = true;
        LogBack(_servers, lost);
        foreach (Action<ClusterReconnected> handler in Reconnected?.GetInvocationList() ?? [])
        {
            try
            {
                handler(new ClusterReconnected(lost));
            }
            catch (Exception e)
            {
                LogCheckFailed(e);
            }
        }
    }

    /// <summary>Sends a message to itself and waits until it is back, after every subscription made before.</summary>
    private async Task ProbeAsync()
    {
        if (!_probing)
        {
            ChannelMessageQueue queue = await Subscriber.SubscribeAsync(_probeChannel).ConfigureAwait(false);
            queue.OnMessage(_ => _probe.TrySetResult());
            _probing = true;
        }

        _probe = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await Subscriber.PingAsync().ConfigureAwait(false);
        await Subscriber.PublishAsync(_probeChannel, "?").ConfigureAwait(false);
        await _probe.Task.WaitAsync(ProbeTimeout, _stopping.Token).ConfigureAwait(false);
    }

    [LoggerMessage(1101, LogLevel.Warning, "Redis at {Servers} is away: media goes on, what needs the cluster waits")]
    private partial void LogLost(string servers);

    [LoggerMessage(1102, LogLevel.Information, "Redis at {Servers} is back; state lost: {StateWasLost}")]
    private partial void LogBack(string servers, bool stateWasLost);

    [LoggerMessage(1103, LogLevel.Error, "Looking after the connection to Redis failed")]
    private partial void LogCheckFailed(Exception exception);
}
