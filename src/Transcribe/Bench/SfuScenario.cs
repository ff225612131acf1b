using System.Globalization;
using Transcribe.Commands;

namespace Transcribe.Bench;

internal enum ScenarioKind
{
    Forward,
    Idle,
    Storm,
    Memory,
    Joins,
}

/// <summary>What is measured, e.g. "audio-300", "meeting-8x8".</summary>
internal sealed record SfuScenario(string Name, ScenarioKind Kind, int Publishers, int Subscribers, bool Audio, bool Video)
{
    /// <summary>Media at a multiple of the usual rates, so that the server uses half a core.</summary>
    public bool HalfCore { get; init; }


    public static IReadOnlyList<string> Names { get; } =
        ["audio-100", "audio-300", "audio-1000", "video-50", "video-100", "video-500", "meeting-8x8", "half-core", "idle-5000", "storm-500", "memory-1000", "joins"];

    public const double VideoFrameRate = 30;
    public const int VideoPacketsPerFrame = 6;
    public const int VideoPayload = 1150;
    public const double AudioFrameRate = 50;
    public const int AudioPayload = 100;

    /// <exception cref="CommandException">There is no such scenario.</exception>
    public static SfuScenario Parse(string name)
    {
        string[] parts = name.Split('-');
        int count = 200;
        if (parts.Length > 1 && parts[0] is not ("meeting" or "half") && !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out count))
            count = 0;
        if (count is < 1 or > 20_000)
            throw Unknown(name);
        switch (parts[0])
        {
            case "audio":
                return new SfuScenario(name, ScenarioKind.Forward, 1, count, true, false);
            case "video":
                return new SfuScenario(name, ScenarioKind.Forward, 1, count, false, true);
            case "meeting" when parts.Length == 2 && parts[1].Split('x') is [string people, _] && int.TryParse(people, out int n) && n is > 1 and <= 64:
                return new SfuScenario(name, ScenarioKind.Forward, n, n, true, true);
            case "half" when name == "half-core":
                return new SfuScenario(name, ScenarioKind.Forward, 8, 8, true, true) { HalfCore = true };
            case "idle":
                return new SfuScenario(name, ScenarioKind.Idle, 0, count, true, true);
            case "storm":
                return new SfuScenario(name, ScenarioKind.Storm, 1, count, false, true);
            case "memory":
                return new SfuScenario(name, ScenarioKind.Memory, 1, count, true, true);
            case "joins":
                return new SfuScenario(name, ScenarioKind.Joins, 0, count, true, true);
            default:
                throw Unknown(name);
        }
    }

    private static CommandException Unknown(string name) =>
        new($"There is no scenario \"{name}\"; use one of {string.Join(", ", Names)}, or another number in one of them.");
}
