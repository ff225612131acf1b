using System.Diagnostics.Metrics;

namespace Transcribe.Cluster;

/// <summary>
/// Counts what signalling and the HTTP API refuse, by where and why: the meter "Transcribe.Refusals", counter
/// <c>transcribe.refusals</c> with the tags <c>surface</c> ("hub", "whip", "api") and <c>code</c> (as the answer names it).
/// </summary>
public static class Refusals
{
    public const string MeterName = "Transcribe.Refusals";

    private static readonly Meter Meter = new(MeterName);
    private static readonly Counter<long> Counter =
        Meter.CreateCounter<long>("transcribe.refusals", "{refusal}", "Calls and requests refused, by surface and code.");

    /// <param name="code">One of the documented codes: their number is small, and none comes from outside.</param>
    public static void Count(string surface, string code) =>
        Counter.Add(1, new KeyValuePair<string, object?>("surface", surface), new KeyValuePair<string, object?>("code", code));
}
