using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Nodes;

/// <summary>
/// <see cref="INodeDirectory"/> over the state store. With the cluster's key, entries are signed, and what is not signed with it, or is
/// older than a minute, is ignored and counted: meter "Transcribe.Nodes", counter <c>transcribe.nodes.ignored</c>.
/// </summary>
public sealed class NodeDirectory(
    IStateStore state, ClusterKey? key = null, NodeHeartbeat? heartbeat = null, TimeProvider? time = null) : INodeDirectory
{
    public const string MeterName = "Transcribe.Nodes";

    private static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(60);
    private static readonly Meter Meter = new(MeterName);
    private static readonly Counter<long> Ignored =
        Meter.CreateCounter<long>("transcribe.nodes.ignored", "{entry}", "Entries of the node directory that were ignored, by reason.");

    private readonly byte[]? _key = key?.Derive("nodes");
    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private readonly TimeSpan _timeToLive = (heartbeat ?? NodeHeartbeat.Default).TimeToLive;
    private readonly ConcurrentDictionary<string, long> _own = new(StringComparer.Ordinal);
    private long _ignored;

    /// <summary>Entries ignored so far.</summary>
    public long IgnoredEntries => Interlocked.Read(ref _ignored);

    public async ValueTask AnnounceAsync(NodeInfo node, CancellationToken cancellationToken = default)
    {
        string name = Key(node.Role, node.Id);
        string json = ClusterJson.Serialize(node);
        long at = _time.GetUtcNow().ToUnixTimeMilliseconds();
        string value = ClusterJson.Serialize(new Entry(json, at, Sign(name, json, at)));
        StateEntry written = await state.SetAsync(name, value, _timeToLive, cancellationToken).ConfigureAwait(false);
        _own[name] = written.Version;
    }

    public async ValueTask RemoveAsync(NodeRole role, string id, CancellationToken cancellationToken = default)
    {
        // A successor of the same name has announced itself meanwhile: its entry stays.
        if (_own.TryRemove(Key(role, id), out long version))
            await state.TryDeleteAsync(Key(role, id), version, cancellationToken).ConfigureAwait(false);
    }

    public async ValueTask<IReadOnlyList<NodeInfo>> ListAsync(NodeRole role, CancellationToken cancellationToken = default)
    {
        IReadOnlyList<StateEntry> entries = await state.ListAsync(Key(role, ""), cancellationToken).ConfigureAwait(false);
        var nodes = new List<NodeInfo>(entries.Count);
        foreach (StateEntry entry in entries)
        {
            if (TryRead(entry, role, out NodeInfo? node, out string reason))
            {
                nodes.Add(node!);
            }
            else
            {
                Interlocked.Increment(ref _ignored);
                Ignored.Add(1, new KeyValuePair<string, object?>("reason", reason));
            }
        }

        return nodes;
    }

    private bool TryRead(StateEntry stored, NodeRole role, out NodeInfo? node, out string reason)
    {
        node = null;
        reason = "malformed";
        try
        {
            Entry entry = ClusterJson.Deserialize<Entry>(stored.Value);
            if (entry.Node is null)
                return false;

            if (_key is not null)
            {
                reason = "forged";
                if (entry.Mac is null || !CryptographicOperations.FixedTimeEquals(entry.Mac, Sign(stored.Key, entry.Node, entry.At)))
                    return false;

                reason = "stale";
                if (Math.Abs(_time.GetUtcNow().ToUnixTimeMilliseconds() - entry.At) > (long)MaxAge.TotalMilliseconds)
                    return false;
            }

            reason = "malformed";
            node = ClusterJson.Deserialize<NodeInfo>(entry.Node);
            return node.Role == role && Key(role, node.Id) == stored.Key;
        }
        catch (Exception e) when (e is JsonException or FormatException)
        {
            return false;
        }
    }

    private byte[]? Sign(string name, string json, long at) =>
        _key is null ? null : HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes($"{name}\n{at}\n{json}"));

    private static string Key(NodeRole role, string id) => $"nodes/{role}/{id}";

    /// <param name="Node">JSON as text: what is signed is what is read.</param>
    /// <param name="At">Unix milliseconds.</param>
    private sealed record Entry(string? Node, long At, byte[]? Mac);
}
