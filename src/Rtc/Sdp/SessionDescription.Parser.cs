using System.Diagnostics.CodeAnalysis;

namespace Transcribe.Rtc.Sdp;

public sealed partial class SessionDescription
{
    /// <summary>Parses a description. Unknown attributes are kept; a line that is no SDP, or a malformed attribute that matters, is an error.</summary>
    /// <param name="sdp">Lines ended by CR LF or LF.</param>
    /// <param name="description">The description.</param>
    /// <param name="error">A sentence that names the line and what is wrong with it. It never quotes the line.</param>
    /// <param name="limits">Limits; null for the defaults.</param>
    public static bool TryParse(
        [NotNullWhen(true)] string? sdp,
        [NotNullWhen(true)] out SessionDescription? description,
        [NotNullWhen(false)] out string? error,
        SdpLimits? limits = null)
    {
        SdpParser parser = new(limits ?? SdpLimits.Default);
        error = parser.Parse(sdp);
        description = error is null ? parser.Description : null;
        return error is null;
    }
}
