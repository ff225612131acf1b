using Transcribe.Cluster.Nodes;

namespace Transcribe.Signaling.Sessions;

/// <summary>Watches the SFU nodes that have sessions of this signalling node.</summary>
internal sealed class SfuWatch(NodeWatcher watcher) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, IDisposable> _watches = new(StringComparer.Ordinal);

    /// <summary>Called with a node that died.</summary>
    public Action<string>? Lost { get; set; }

    /// <summary>A session is on the node now.</summary>
    public void Use(string node)
    {
        lock (_lock)
        {
            if (!_watches.ContainsKey(node))
                _watches[node] = watcher.Watch(NodeRole.Sfu, node, lost => Lost?.Invoke(lost.Id));
        }
    }

    /// <summary>Watches no node any more but these.</summary>
    public void Keep(IReadOnlySet<string> nodes)
    {
        lock (_lock)
        {
            foreach (string node in _watches.Keys.Where(node => !nodes.Contains(node)).ToList())
            {
                _watches.Remove(node, out IDisposable? watch);
                watch?.Dispose();
            }
        }
    }

    public void Dispose() => Keep(new HashSet<string>());
}
