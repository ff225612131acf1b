using System.Text.Json.Serialization;

namespace Transcribe.Doctor;

[JsonConverter(typeof(JsonStringEnumConverter<Severity>))]
internal enum Severity
{
    [JsonStringEnumMemberName("fine")] Fine,

    /// <summary>It works, with less.</summary>
    [JsonStringEnumMemberName("limited")] Limited,

    /// <summary>Something the product needs is missing.</summary>
    [JsonStringEnumMemberName("broken")] Broken,
}

/// <param name="Fix">What to do; null where nothing is to be done.</param>
internal sealed record Finding(string Subject, Severity Severity, string State, string? Fix = null);
