using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.Director.Nodes;
using Transcribe.Director.Provisioning;

namespace Transcribe.Director.Tests.Support;

/// <summary>Starts nodes on a <see cref="Backstage"/>, as slowly and as badly as told.</summary>
internal sealed class FakeProvisioner(Backstage stage) : INodeProvisioner
{
    private readonly Dictionary<string, DateTimeOffset> _running = new(StringComparer.Ordinal);
    private int _next;

    public string Name => "fake";

    public bool HealsItself { get; set; }

    /// <summary>Nodes announce themselves at once; else with <see cref="AppearAsync"/>.</summary>
    public bool Quick { get; set; } = true;

    public bool Refuses { get; set; }

    /// <summary>What was started dies before it announces itself.</summary>
    public bool Crashes { get; set; }

    /// <summary>Starting takes until then.</summary>
    public Task Slowness { get; set; } = Task.CompletedTask;

    public int StartCalls { get; private set; }

    public IReadOnlyCollection<string> Running => _running.Keys;

    public List<string> Stopped { get; } = [];

    public ValueTask<IReadOnlyList<ProvisionedNode>> ListAsync(CancellationToken cancellationToken = default)
    {
        IReadOnlyList<ProvisionedNode> nodes = [.. _running.Select(node => new ProvisionedNode(node.Key, node.Value))];
        if (Crashes)
            _running.Clear();

        return ValueTask.FromResult(nodes);
    }

    public async ValueTask StartAsync(int count, CancellationToken cancellationToken = default)
    {
        StartCalls++;
        await Slowness;
        if (Refuses)
            throw new ProvisioningException("The engine is full.");

        for (int i = 0; i < count; i++)
        {
            string id = $"n{++_next}";
            _running[id] = stage.Time.GetUtcNow();
            if (Quick)
                await AppearAsync(id);
        }
    }

    public async ValueTask StopAsync(IReadOnlyList<string> ids, CancellationToken cancellationToken = default)
    {
        foreach (string id in ids)
        {
            Stopped.Add(id);
            _running.Remove(id);
            if (stage.Nodes.Any(node => node.Id == id))
                await stage.KillAsync(id);
        }
    }

    public Task AppearAsync(string id) => stage.AddNodeAsync(id);

    public ScalingService Service(ScalingPolicy policy, string director = "d1", SwitchedConnection? connection = null) => new(
        this, new ProvisioningOptions { Policy = policy }, stage.Directory, stage.Drains, stage.Commander, stage.Duties(director),
        connection ?? new SwitchedConnection(), stage.Time, NullLogger<ScalingService>.Instance);
}
