using Microsoft.AspNetCore.Http;
using Transcribe.Cluster.Http;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;
using Transcribe.Cluster.Protocol;

namespace Transcribe.Director.Nodes;

/// <summary>Where the hubs are that a client may use.</summary>
internal sealed class HubUrls(DirectorOptions options, ISignalingSelector signaling, IClusterConnection connection)
{
    /// <returns>The hub for this client, and all of them where signalling nodes announce themselves.</returns>
    /// <exception cref="ApiProblem">503: this is a cluster, and no signalling node is there.</exception>
    public async ValueTask<(string Url, IReadOnlyList<string>? All)> ForAsync(HttpRequest request, string? region)
    {
        if (options.HubUrl is { } fixedUrl)
            return (fixedUrl, null);

        IReadOnlyList<NodeInfo> nodes = await signaling.ListAsync(region, request.HttpContext.RequestAborted);
        string[] urls = [.. nodes.Select(node => HubMethods.UrlOf(node.Address)).OfType<string>()];

        if (urls.Length > 0)
            return (urls[0], urls);

        // All in one process: the hub is where this request came to. A Director of a cluster has none.
        return connection is InProcessClusterConnection
            ? ($"{request.Scheme}://{request.Host}{request.PathBase}{HubMethods.Path}", null)
            : throw new ApiProblem(StatusCodes.Status503ServiceUnavailable, "unavailable", "No signalling node is there; try again in a moment.");
    }
}
