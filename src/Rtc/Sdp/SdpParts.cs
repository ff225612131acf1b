namespace Transcribe.Rtc.Sdp;

/// <summary>The <c>o=</c> line (RFC 8866 §5.2).</summary>
/// <param name="Username">User, "-" for none.</param>
/// <param name="SessionId">Numeric string; RFC 8829 wants 63 random bits.</param>
/// <param name="SessionVersion">Grows with each description of the session.</param>
/// <param name="Address">Address of the originator; meaningless in WebRTC.</param>
public sealed record SdpOrigin(string Username, ulong SessionId, ulong SessionVersion, string Address = "127.0.0.1")
{
    /// <summary>"IP4" or "IP6".</summary>
    public string AddressType => Address.Contains(':', StringComparison.Ordinal) ? "IP6" : "IP4";
}

/// <summary>An <c>a=group</c> line (RFC 5888), such as BUNDLE.</summary>
/// <param name="Semantics">"BUNDLE", "LS"…</param>
/// <param name="Mids">The m-sections in it.</param>
public sealed record SdpGroup(string Semantics, IReadOnlyList<string> Mids);

/// <summary>An <c>a=fingerprint</c> line (RFC 8122).</summary>
/// <param name="Algorithm">Hash name in lower case, "sha-256".</param>
/// <param name="Value">Upper-case hexadecimal bytes with colons.</param>
public sealed record SdpFingerprint(string Algorithm, string Value);

/// <summary>An <c>a=extmap</c> line (RFC 8285 §8).</summary>
/// <param name="Id">1..255, or 4096..4351 where the id is still to be chosen.</param>
/// <param name="Uri">What extension.</param>
/// <param name="Direction">Null for "as the m-section".</param>
/// <param name="Attributes">What stands behind the URI.</param>
public sealed record SdpExtMap(int Id, string Uri, MediaDirection? Direction = null, string? Attributes = null);

/// <summary>The <c>a=ssrc</c> lines of one source (RFC 5576).</summary>
/// <param name="Ssrc">The source.</param>
public sealed record SdpSource(uint Ssrc)
{
    /// <summary>Attributes in order: "cname", "msid"…; the value is null for an attribute without one.</summary>
    public IList<KeyValuePair<string, string?>> Attributes { get; } = [];

    /// <summary>The CNAME, if told.</summary>
    public string? Cname => Attributes.FirstOrDefault(a => a.Key == "cname").Value;

    /// <summary>"stream track" as the older form of msid has it, if told.</summary>
    public string? Msid => Attributes.FirstOrDefault(a => a.Key == "msid").Value;
}

/// <summary>An <c>a=ssrc-group</c> line (RFC 5576 §4.2).</summary>
/// <param name="Semantics">"FID" (original and its retransmission), "SIM", "FEC-FR"…</param>
/// <param name="Ssrcs">The sources.</param>
public sealed record SdpSourceGroup(string Semantics, IReadOnlyList<uint> Ssrcs);

/// <summary>An <c>a=msid</c> line (RFC 8830).</summary>
/// <param name="StreamId">"-" for no stream.</param>
/// <param name="TrackId">Null where it is left out.</param>
public sealed record SdpMsid(string StreamId, string? TrackId);

/// <summary>An <c>a=rid</c> line (RFC 8851).</summary>
/// <param name="Id">The restriction identifier.</param>
/// <param name="Send">True for "send", false for "recv".</param>
/// <param name="Restrictions">What stands behind the direction ("pt=97;max-width=1280"), null for nothing.</param>
public sealed record SdpRid(string Id, bool Send, string? Restrictions = null);

/// <summary>One alternative in an <c>a=simulcast</c> list.</summary>
/// <param name="Rid">A rid.</param>
/// <param name="Paused">Written with a "~" in front.</param>
public sealed record SdpSimulcastRid(string Rid, bool Paused = false);

/// <summary>An <c>a=simulcast</c> line (RFC 8853): a list of streams a direction, each with its alternatives.</summary>
/// <param name="Send">Streams its writer sends.</param>
/// <param name="Receive">Streams its writer can receive.</param>
public sealed record SdpSimulcast(
    IReadOnlyList<IReadOnlyList<SdpSimulcastRid>> Send,
    IReadOnlyList<IReadOnlyList<SdpSimulcastRid>> Receive);

/// <summary>The <c>a=setup</c> roles (RFC 4145).</summary>
public enum SdpSetup
{
    ActPass,
    Active,
    Passive,
    HoldConn,
}

/// <summary>An attribute that the model has no property for, kept so that a description survives a round trip.</summary>
/// <param name="Name">Before the colon.</param>
/// <param name="Value">Behind the colon, null without one.</param>
public sealed record SdpAttribute(string Name, string? Value);

/// <summary>Transport attributes in force for an m-section: its own, else the session's.</summary>
public sealed record SdpTransport(
    string? IceUfrag,
    string? IcePwd,
    IReadOnlyList<string> IceOptions,
    SdpSetup? Setup,
    IReadOnlyList<SdpFingerprint> Fingerprints);
