using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;

namespace Transcribe.Sfu.Relay;

// Ways around a path that is broken, over a node that has nothing of the room yet.
internal sealed partial class RelayManager
{
    /// <summary>How many nodes are asked for help at a time.</summary>
    private const int MaxAsked = 3;

    /// <summary>Well within <see cref="RelayOptions.AssistTime"/>.</summary>
    private static readonly TimeSpan AskAgain = TimeSpan.FromSeconds(8);
    private static readonly TimeSpan AskTimeout = TimeSpan.FromSeconds(1);

    private readonly Dictionary<(string Node, string Room), Instant> _asked = [];

    /// <summary>
    /// Another node asks this one to relay a room to it, or gives it sessions that were elsewhere: the room is here from now on, with what
    /// was said lately. From any thread; ends when the room is here.
    /// </summary>
    public Task AssistAsync(string room)
    {
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _ = Post(async () =>
        {
            (RemoteRoom? here, Task opening) = OpenRoom(room, toHelp: true);
            if (here is not null)
                here.AssistedUntil = Now + _options.AssistTime;
            begun.SetResult();
            await opening;
        });
        return begun.Task;
    }

    /// <summary>A place in the tree. Where no member can be reached, it is behind a node that helps.</summary>
    private async Task<RelayPlace> JoinTreeAsync(string key, string room, RelayJoin join)
    {
        RelayPlace place = await _tree.JoinAsync(key, join, _stopping.Token);
        if (place.Parent is not { } parent)
            return place;
        if (!join.Unreachable.Contains(parent))
        {
            // Whoever stands in for a better parent may do so only because it was asked to.
            if (place.Instead is not null)
                await IsHelpingAsync(parent, room);
            return place;
        }

        foreach (string helper in await FindHelpersAsync(room, join))
        {
            if (await IsHelpingAsync(helper, room))
                return await _tree.JoinAsync(key, join with { Helper = helper }, _stopping.Token);
        }

        return place;
    }

    /// <summary>Nodes that may reach what this one does not: those that help already, then those of the same region, the less loaded first.</summary>
    private async Task<IEnumerable<string>> FindHelpersAsync(string room, RelayJoin join)
    {
        IReadOnlyList<NodeInfo> all = await _nodes.ListAsync(NodeRole.Sfu, _stopping.Token);
        return all
            .Where(node => node.State == NodeState.Active && node.Id != _nodeId && node.Id != join.Root
                && !join.Dead.Contains(node.Id) && !join.Unreachable.Contains(node.Id))
            .OrderBy(node => _asked.ContainsKey((node.Id, room)) ? 0 : 1)
            .ThenBy(node => node.Region == _region ? 0 : 1)
            .ThenBy(node => node.Load)
            .Take(MaxAsked)
            .Select(node => node.Id);
    }

    private async Task<bool> IsHelpingAsync(string node, string room)
    {
        foreach ((string, string) over in _asked.Where(pair => Now - pair.Value >= AskAgain).Select(pair => pair.Key).ToArray())
            _asked.Remove(over);
        if (_asked.ContainsKey((node, room)))
            return true;
        try
        {
            await _bus.RequestAsync<AssistRelay, Ack>(RelaySubjects.Assist(node), new AssistRelay(room), AskTimeout, _stopping.Token);
            _asked[(node, room)] = Now;
            return true;
        }
        catch (BusException e)
        {
            LogNoHelp(node, room, e.Message);
            return false;
        }
    }
}
