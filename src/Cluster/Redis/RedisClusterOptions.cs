using StackExchange.Redis;

namespace Transcribe.Cluster.Redis;

/// <summary>How a process reaches the Redis its cluster lives in.</summary>
/// <remarks>
/// One primary, with replicas and Sentinel or without. Not sharded Redis Cluster: there PUBLISH counts only the receivers of one
/// node, and a request could not be told at once that nobody answers.
/// </remarks>
public sealed class RedisClusterOptions
{
    public const string RedisVariable = "TRANSCRIBE_REDIS";

    /// <summary>
    /// TRANSCRIBE_REDIS: a StackExchange.Redis connection string ("redis-1:6379,password=…,ssl=true"). Required. Time-outs and retries
    /// in it are replaced by what the cluster needs.
    /// </summary>
    public string Redis { get; set; } = "";

    /// <summary>TRANSCRIBE_CLUSTER_KEY: the same secret of at least 32 bytes in every process. Required.</summary>
    public string ClusterKey { get; set; } = "";

    /// <summary>First part of every key and channel, so that several clusters can share a Redis. Letters, digits, '-', '_' and '.'. Default "transcribe".</summary>
    public string Prefix { get; set; } = "transcribe";

    /// <summary>How long one command may take; then Redis counts as away. 100 ms to 10 s, default 1 s.</summary>
    public TimeSpan CommandTimeout { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How long the start waits for Redis. 100 ms to 5 minutes, default 10 s.</summary>
    public TimeSpan StartupTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>From TRANSCRIBE_REDIS and TRANSCRIBE_CLUSTER_KEY.</summary>
    public static RedisClusterOptions FromEnvironment() => new()
    {
        Redis = Environment.GetEnvironmentVariable(RedisVariable) ?? "",
        ClusterKey = Environment.GetEnvironmentVariable(Cluster.ClusterKey.EnvironmentVariable) ?? "",
    };

    /// <exception cref="InvalidOperationException">An option cannot work; the message names each, its value (no secrets) and the fix.</exception>
    public void Validate()
    {
        string[] problems = [.. Problems()];
        if (problems.Length > 0)
            throw new InvalidOperationException(string.Join(" ", problems));
    }

    /// <summary>The servers, for messages; without user and password.</summary>
    internal string Servers => TryParse(out ConfigurationOptions? parsed) ? string.Join(", ", parsed!.EndPoints.Select(Text)) : "?";

    internal ConfigurationOptions ToConfiguration()
    {
        if (!TryParse(out ConfigurationOptions? configuration))
            throw new InvalidOperationException(string.Join(" ", Problems()));

        int timeout = (int)CommandTimeout.TotalMilliseconds;
        configuration!.AbortOnConnectFail = false;
        configuration.AllowAdmin = false;
        configuration.ConnectRetry = 1;
        configuration.ConnectTimeout = timeout;
        configuration.SyncTimeout = timeout;
        configuration.AsyncTimeout = timeout;
        configuration.KeepAlive = 5;

        // Lost connections are noticed and retried at heartbeats; what cannot be sent now fails now instead of coming late.
        configuration.HeartbeatInterval = TimeSpan.FromMilliseconds(200);
        configuration.ReconnectRetryPolicy = new LinearRetry(100);
        configuration.BacklogPolicy = BacklogPolicy.FailFast;
        configuration.ClientName = $"transcribe-{Environment.ProcessId}";
        return configuration;
    }

    private static string Text(System.Net.EndPoint endPoint) => endPoint switch
    {
        System.Net.DnsEndPoint dns => $"{dns.Host}:{dns.Port}",
        _ => endPoint.ToString() ?? "",
    };

    private IEnumerable<string> Problems()
    {
        if (string.IsNullOrWhiteSpace(Redis))
            yield return $"{RedisVariable} is not set. Give it the address of the cluster's Redis, e.g. \"127.0.0.1:6379\".";
        else if (!TryParse(out ConfigurationOptions? parsed))
            yield return $"{RedisVariable} cannot be read (its value may hold a password and is not shown). Use \"host:port\", with \",password=…\" or \",ssl=true\" after it where needed.";
        else if (parsed!.EndPoints.Count == 0)
            yield return $"{RedisVariable} names no server. Use \"host:port\", e.g. \"127.0.0.1:6379\".";

        if (Cluster.ClusterKey.Problem(ClusterKey) is { } problem)
            yield return problem;
        if (Prefix.Length is 0 or > 64 || !Prefix.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.'))
            yield return $"The Redis key prefix is \"{Prefix}\"; use 1 to 64 letters, digits, '-', '_' or '.'.";
        if (CommandTimeout < TimeSpan.FromMilliseconds(100) || CommandTimeout > TimeSpan.FromSeconds(10))
            yield return $"The Redis command time-out is {CommandTimeout}; use 100 ms to 10 s.";
        if (StartupTimeout < TimeSpan.FromMilliseconds(100) || StartupTimeout > TimeSpan.FromMinutes(5))
            yield return $"The Redis start-up time-out is {StartupTimeout}; use 100 ms to 5 minutes.";
    }

    private bool TryParse(out ConfigurationOptions? parsed)
    {
        try
        {
            parsed = ConfigurationOptions.Parse(Redis);
            return true;
        }
        catch (Exception e) when (e is ArgumentException or FormatException or OverflowException or InvalidOperationException)
        {
            parsed = null;
            return false;
        }
    }
}
