using System.Text.Json;
using System.Text.Json.Serialization;

namespace Transcribe.Cluster;

/// <summary>The one JSON dialect of the product: hub, bus, store and HTTP bodies.</summary>
public static class ClusterJson
{
    public static JsonSerializerOptions Options { get; } = Create(strict: false);

    /// <summary>The same dialect for what comes from outside: a missing or null member that must be there is an error, not a null.</summary>
    public static JsonSerializerOptions InputOptions { get; } = Create(strict: true);

    /// <summary>Applies the dialect to options somebody else owns (ASP.NET, SignalR).</summary>
    public static void Configure(JsonSerializerOptions options)
    {
        options.PropertyNamingPolicy = JsonNamingPolicy.CamelCase;
        options.PropertyNameCaseInsensitive = true;
        options.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
        options.NumberHandling = JsonNumberHandling.Strict;
        options.AllowOutOfOrderMetadataProperties = true;
    }

    /// <summary>
    /// Serialises with the type discriminator also where the caller's <typeparamref name="T"/> is a derived record
    /// (<c>ParticipantJoined</c> rather than <c>RoomEvent</c>).
    /// </summary>
    public static string Serialize<T>(T value) => JsonSerializer.Serialize(value, Root<T>.Type, Options);

    /// <inheritdoc cref="Serialize{T}"/>
    public static byte[] SerializeToUtf8Bytes<T>(T value) => JsonSerializer.SerializeToUtf8Bytes(value, Root<T>.Type, Options);

    /// <exception cref="JsonException">The text is not a <typeparamref name="T"/>.</exception>
    public static T Deserialize<T>(string json) =>
        JsonSerializer.Deserialize<T>(json, Options) ?? throw new JsonException($"The value is null, not a {typeof(T).Name}.");

    /// <inheritdoc cref="Deserialize{T}(string)"/>
    public static T Deserialize<T>(ReadOnlySpan<byte> json) =>
        JsonSerializer.Deserialize<T>(json, Options) ?? throw new JsonException($"The value is null, not a {typeof(T).Name}.");

    private static class Root<T>
    {
        public static readonly Type Type = Find();

        private static Type Find()
        {
            for (Type? type = typeof(T); type is not null; type = type.BaseType)
            {
                if (type.IsDefined(typeof(JsonPolymorphicAttribute), inherit: false))
                    return type;
            }

            return typeof(T);
        }
    }

    private static JsonSerializerOptions Create(bool strict)
    {
        var options = new JsonSerializerOptions { RespectNullableAnnotations = strict, RespectRequiredConstructorParameters = strict };
        Configure(options);
        options.MakeReadOnly(populateMissingResolver: true);
        return options;
    }
}
