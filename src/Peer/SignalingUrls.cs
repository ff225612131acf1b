using System.Net.Http.Headers;
using Transcribe.Cluster;
using Transcribe.Cluster.Protocol;

namespace Transcribe.Peer;

/// <summary>The hubs of the signalling nodes, as far as they are known.</summary>
internal sealed class SignalingUrls(PeerOptions options)
{
    /// <summary>What an answer of <c>POST /v1/join</c> may take; a server that takes longer is one hub like another.</summary>
    private static readonly TimeSpan FindTimeout = TimeSpan.FromSeconds(3);

    /// <summary>Hub URLs, the best first; never empty once <see cref="FindAsync"/> has run.</summary>
    public IReadOnlyList<Uri> Known { get; private set; } = [];

    /// <summary>Goes by these from now on, until <see cref="FindAsync"/> finds others.</summary>
    public void Use(IReadOnlyList<Uri> urls) => Known = urls;

    /// <summary>Asks for the nodes that live now; where nobody answers, those known stay.</summary>
    public async Task FindAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<Uri> found = await AskAsync(cancellationToken);
        if (found.Count > 0)
            Known = [.. found.Select(HubOf).Distinct()];
        else if (Known.Count == 0)
            Known = [HubOf(options.ServerUrl)];
    }

    /// <summary>From an origin to its hub; a hub's URL stays as it is.</summary>
    public static Uri HubOf(Uri url) =>
        url.AbsolutePath.EndsWith(HubMethods.Path, StringComparison.Ordinal) ? url : new Uri(url, HubMethods.Path);

    private async Task<IReadOnlyList<Uri>> AskAsync(CancellationToken cancellationToken)
    {
        if (options.FindSignaling is { } find)
        {
            IReadOnlyList<Uri> found = await find(cancellationToken);
            return found.Count > 0 ? found : options.SignalingUrls;
        }

        return options.SignalingUrls.Count > 0 ? options.SignalingUrls : await AskDirectorAsync(cancellationToken);
    }

    /// <summary>Empty where there is no Director, or it refuses: then the hub at the same origin says why.</summary>
    private async Task<IReadOnlyList<Uri>> AskDirectorAsync(CancellationToken cancellationToken)
    {
        // One request in a long while: no connection is kept for it.
        using var http = new HttpClient { Timeout = FindTimeout };
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(options.ServerUrl, options.Region is { } region ? $"/v1/join?region={Uri.EscapeDataString(region)}" : "/v1/join"));
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", options.Token);
        try
        {
            using HttpResponseMessage response = await http.SendAsync(request, cancellationToken);
            if (!response.IsSuccessStatusCode)
                return [];
            JoinInfo info = ClusterJson.Deserialize<JoinInfo>(await response.Content.ReadAsStringAsync(cancellationToken));
            return [.. (info.HubUrls ?? [info.HubUrl]).Where(u => Uri.IsWellFormedUriString(u, UriKind.Absolute)).Select(u => new Uri(u))];
        }
        catch (Exception e) when (e is HttpRequestException or System.Text.Json.JsonException or FormatException
            || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return [];
        }
    }
}
