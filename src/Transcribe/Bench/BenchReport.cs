using Spectre.Console;

namespace Transcribe.Bench;

/// <summary>Results as tables for people: medians of the repetitions, ratios to the floor first.</summary>
internal static class BenchReport
{
    public static void Print(ScenarioResult result, string profile)
    {
        var table = new Table().Border(TableBorder.Rounded).Title($"{result.Name}, {profile}");
        if (result.Forward is { } forward)
            AddForward(table, result, forward);
        else if (result.Storm is { } storm)
            AddStorm(table, storm);
        else if (result.Idle is { } idle)
            AddIdle(table, idle);
        else if (result.Memory is { } memory)
            AddMemory(table, memory);
        else if (result.Joins is { } joins)
            AddJoins(table, joins);
        AnsiConsole.Write(table);
        foreach (string problem in result.Problems)
            AnsiConsole.MarkupLine($"[yellow]{Markup.Escape(problem)}[/]");
    }

    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? double.NaN : sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[(sorted.Length / 2) - 1] + sorted[sorted.Length / 2]) / 2;
    }

    /// <summary>Where the driver, not the server, was at its limit.</summary>
    public static string? DriverNotice(IEnumerable<SideFigures> runs)
    {
        double load = runs.Max(r => r.DriverLoad);
        long dropped = runs.Sum(r => r.DriverDropped);
        return load > 0.85 || dropped > 0 ? $"the driver was the bottleneck: {load:P0} of its core, {dropped} datagrams not read in time" : null;
    }

    private static void AddForward(Table table, ScenarioResult result, IReadOnlyList<ForwardRun> runs)
    {
        table.AddColumns("figure", "SFU", "floor", "ratio");
        void Row(string name, Func<SideFigures, double> of, string format) =>
            table.AddRow(name, Median(runs.Select(r => of(r.Sfu))).ToString(format), Median(runs.Select(r => of(r.Floor))).ToString(format), "");
        table.AddRow(
            "[bold]CPU-µs per packet[/]", $"[bold]{Median(runs.Select(r => r.Sfu.CpuMicrosPerPacket)):0.00}[/]",
            $"{Median(runs.Select(r => r.Floor.CpuMicrosPerPacket)):0.00}", $"[bold]{Median(runs.Select(r => r.Ratio)):0.00}[/]");
        table.AddRow("ratio of each repetition", "", "", string.Join(" ", runs.Select(r => r.Ratio.ToString("0.00"))));
        Row("the same by /proc/PID/stat", f => f.StatMicrosPerPacket, "0.00");
        Row("load of one core", f => f.ServerLoad, "P1");
        Row("packets/s", f => f.PacketsPerSecond, "N0");
        Row("lost", f => f.Lost, "N0");
        Row("latency p50, ms", f => f.P50Ms, "0.000");
        Row("latency p99, ms", f => f.P99Ms, "0.000");
        Row("latency p99.9, ms", f => f.P999Ms, "0.000");
        Row("latency max, ms", f => f.MaxMs, "0.00");
        Row("driver: load", f => f.DriverLoad, "P0");
        Row("driver: latest publish, ms", f => f.DriverLatestMs, "0.0");
        SideFigures last = runs[^1].Sfu;
        table.AddRow("allocated, bytes/packet", $"{last.AllocatedPerPacket:0.0}", "", "");
        table.AddRow("compiling during it, ms", $"{Median(runs.Select(r => r.Sfu.CompilingMs)):0.0}", "", "");
        table.AddRow("datagrams in per packet out", $"{last.DatagramsIn / (double)Math.Max(1, last.Packets):0.000}", "", "");
        table.AddRow("datagrams per sendmmsg; segmented messages", $"{last.DatagramsPerSend:0.0}; {last.SegmentedSends:N0}", "", "");
        table.AddRow("retransmitted; dropped by its socket", $"{last.Retransmitted}; {last.ServerDropped}", "", "");
        table.Caption($"datagrams of {string.Join(" and ", new[] { result.AudioDatagram, result.VideoDatagram }.Where(b => b > 0))} bytes; medians of {runs.Count}"
            + (result.RealTimeDriver ? "" : "; driver without real-time priority")
            + (DriverNotice(runs.SelectMany(r => new[] { r.Sfu, r.Floor })) is { } notice ? $"; {notice}" : ""));
    }

    private static void AddStorm(Table table, IReadOnlyList<StormRun> runs)
    {
        table.AddColumns("figure", "quiet", "with the storm");
        void Row(string name, Func<SideFigures, double> of, string format) =>
            table.AddRow(name, Median(runs.Select(r => of(r.Quiet))).ToString(format), Median(runs.Select(r => of(r.Storm))).ToString(format));
        Row("latency p50, ms", f => f.P50Ms, "0.000");
        Row("latency p99, ms", f => f.P99Ms, "0.000");
        Row("latency p99.9, ms", f => f.P999Ms, "0.000");
        Row("latency max, ms", f => f.MaxMs, "0.00");
        Row("later than 20 ms", f => f.LaterThan20Ms, "N0");
        Row("lost", f => f.Lost, "N0");
        Row("load of one core", f => f.ServerLoad, "P1");
        Row("driver: latest publish, ms", f => f.DriverLatestMs, "0.0");
        Row("server: garbage collections", f => f.Collections, "N0");
        Row("server: paused by them, ms", f => f.PausedMs, "0.0");
        Row("server: longest pause, ms", f => f.LongestPauseMs, "0.00");
        Row("server: compiling, ms", f => f.CompilingMs, "0");
        Row("server: allocated, MB", f => f.AllocatedPerPacket * f.Packets / 1e6, "0");
        table.AddRow("joined; seconds", "", $"{runs[^1].Joined}; {Median(runs.Select(r => r.JoinSeconds)):0.00}");
        table.AddRow(
            "retransmitted; dropped by the server; by the driver", $"{runs.Sum(r => r.Quiet.Retransmitted)}; {runs.Sum(r => r.Quiet.ServerDropped)}; {runs.Sum(r => r.Quiet.DriverDropped)}",
            $"{runs.Sum(r => r.Storm.Retransmitted)}; {runs.Sum(r => r.Storm.ServerDropped)}; {runs.Sum(r => r.Storm.DriverDropped)}");
        table.AddRow("longest pause of each repetition, ms", string.Join(" ", runs.Select(r => r.Quiet.LongestPauseMs.ToString("0.0"))), string.Join(" ", runs.Select(r => r.Storm.LongestPauseMs.ToString("0.0"))));
        table.AddRow("max of each repetition, ms", string.Join(" ", runs.Select(r => r.Quiet.MaxMs.ToString("0.0"))), string.Join(" ", runs.Select(r => r.Storm.MaxMs.ToString("0.0"))));
        table.AddRow("worst of all repetitions, ms", $"{runs.Max(r => r.Quiet.MaxMs):0.00}", $"{runs.Max(r => r.Storm.MaxMs):0.00}");
    }

    private static void AddIdle(Table table, IdleFigures idle)
    {
        table.AddColumns("figure", "value");
        table.AddRow("connected; sessions at the end", $"{idle.Connected}; {idle.Sessions}");
        table.AddRow("[bold]load of one core[/]", $"[bold]{Median(idle.Loads):P2}[/]");
        table.AddRow("of each repetition", string.Join(" ", idle.Loads.Select(l => l.ToString("P2"))));
    }

    private static void AddMemory(Table table, MemoryFigures memory)
    {
        table.AddColumns("figure", "value");
        table.AddRow("subscribers", $"{memory.Subscribers}");
        table.AddRow("resident before them", $"{memory.Idle / 1048576.0:0.0} MiB");
        table.AddRow("[bold]per subscriber, resident, as it is[/]", $"[bold]{(memory.Resident - memory.Idle) / 1024.0 / memory.Subscribers:0.0} KiB[/]");
        table.AddRow("[bold]per subscriber, resident, after a collection[/]", $"[bold]{(memory.Collected - memory.Idle) / 1024.0 / memory.Subscribers:0.0} KiB[/]");
        table.AddRow("per subscriber, managed heap", $"{memory.HeapPerSubscriber / 1024.0:0.0} KiB");
        table.AddRow("threads; packets lost", $"{memory.Threads}; {memory.Lost}");
    }

    private static void AddJoins(Table table, IReadOnlyList<JoinRun> runs)
    {
        table.AddColumns("figure", "value");
        table.AddRow("[bold]server CPU per join, ms[/]", $"[bold]{Median(runs.Select(r => r.CpuMsPerJoin)):0.00}[/]");
        table.AddRow("of each repetition", string.Join(" ", runs.Select(r => r.CpuMsPerJoin.ToString("0.00"))));
        table.AddRow("the same by /proc/PID/stat", $"{Median(runs.Select(r => r.StatMsPerJoin)):0.00}");
        table.AddRow("joins/s", $"{Median(runs.Select(r => r.Joined / r.Seconds)):0}");
        table.AddRow("allocated per join", $"{runs[^1].AllocatedPerJoin / 1024.0:0} KiB");
        table.AddRow("datagrams in per join", $"{runs[^1].DatagramsPerJoin:0.0}");
    }
}
