using System.Text.Json;
using System.Text.Json.Serialization;

namespace Transcribe.Cluster;

/// <summary>The one JSON dialect of the product: hub, bus, store and HTTP bodies.</summary>
public static class ClusterJson
{
    public static JsonSerializerOptions Options { get; } = Create();

    /// <summary>Applies the dialect to options somebody else owns (ASP.NET, SignalR).</summary>
    public static void Configure(JsonSerializerOptions options)
    {
        options.PropertyNamingPolicy = JsonNamingPolicy.CamelCase;
        options.PropertyNameCaseInsensitive = true;
        options.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
        options.NumberHandling = JsonNumberHandling.Strict;
        options.AllowOutOfOrderMetadataProperties = true;
    }

    private static JsonSerializerOptions Create()
    {
        var options = new JsonSerializerOptions();
        Configure(options);
        options.MakeReadOnly(populateMissingResolver: true);
        return options;
    }
}
