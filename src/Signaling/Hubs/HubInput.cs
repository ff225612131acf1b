using System.Text.Json;
using Transcribe.Cluster;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Signaling.Sessions;

namespace Transcribe.Signaling.Hubs;

/// <summary>Reads what clients send; whatever is wrong with it becomes a sentence.</summary>
internal static class HubInput
{
    private const int MaxTracks = 32;
    private const int MaxIdLength = 128;
    private const int MaxCandidateLength = 1024;

    /// <exception cref="SessionException">It is not what the method takes.</exception>
    public static T Read<T>(JsonElement element)
        where T : class
    {
        if (element.ValueKind != JsonValueKind.Object)
            throw Bad($"The argument must be a JSON object ({typeof(T).Name}).");

        T value;
        try
        {
            value = element.Deserialize<T>(ClusterJson.InputOptions) ?? throw Bad("The argument is null.");
        }
        catch (JsonException e)
        {
            throw Bad($"The argument is not a {typeof(T).Name}: see {e.Path ?? "$"} in docs/signaling.md.");
        }
        catch (Exception e) when (e is InvalidOperationException or NotSupportedException)
        {
            throw Bad($"The argument is not a {typeof(T).Name}.");
        }

        if (Problem(value) is { } problem)
            throw Bad(problem);

        return value;
    }

    private static SessionException Bad(string message) => new(SessionException.BadRequest, message);

    private static string? Problem(object value) => value switch
    {
        JoinRequest join => Problem(join),
        NegotiateRequest negotiate => Problem(negotiate),
        TrickleRequest { Candidate.Length: > MaxCandidateLength } => $"The candidate has more than {MaxCandidateLength} characters.",
        SubscribeRequest subscribe => IsId(subscribe.TrackId) ? null : "\"trackId\" is not a track id.",
        SetMutedRequest muted => IsId(muted.TrackId) ? null : "\"trackId\" is not a track id.",
        ResyncRequest { AfterSequence: < 0 } => "\"afterSequence\" is negative.",
        _ => null,
    };

    private static string? Problem(JoinRequest join)
    {
        if (!RoomNames.IsDisplayName(join.Name, out string? problem))
            return problem;

        if (join.Kinds is { } kinds && (kinds.Count is 0 or > 2 || kinds.Any(kind => !Enum.IsDefined(kind))))
            return "\"kinds\" is a list of \"audio\", \"video\", or both; leave it out for both.";

        return join.Resume is { } resume && (!IsId(resume.SessionId) || !IsId(resume.ResumeKey) || resume.Sequence < 0)
            ? "\"resume\" is not what a join answered."
            : null;
    }

    private static string? Problem(NegotiateRequest negotiate)
    {
        if (negotiate.Tracks.Count > MaxTracks)
            return $"\"tracks\" has {negotiate.Tracks.Count} entries; at most {MaxTracks} are taken.";

        var mids = new HashSet<string>(StringComparer.Ordinal);
        foreach (PublishedMedia? track in negotiate.Tracks)
        {
            if (track is null || !IsId(track.Mid) || !Enum.IsDefined(track.Source))
                return "Every entry of \"tracks\" has a \"mid\" and a \"source\" (microphone, camera, screen, screenAudio, unknown).";

            if (!mids.Add(track.Mid))
                return $"\"tracks\" has the mid \"{track.Mid}\" twice.";

            if (!RoomNames.IsDisplayName(track.Name, out string? problem))
                return problem;
        }

        return null;
    }

    private static bool IsId(string id) => id.Length is > 0 and <= MaxIdLength && id.All(c => c is > ' ' and <= '~');
}
