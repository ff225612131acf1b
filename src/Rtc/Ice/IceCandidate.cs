using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Text;
using Transcribe.Rtc.Stun;

namespace Transcribe.Rtc.Ice;

/// <summary>A candidate, and its text form, the <c>candidate</c> attribute of RFC 8839 section 5.1.</summary>
public sealed record IceCandidate
{
    /// <summary>Longest text that is parsed, in characters.</summary>
    public const int MaxTextLength = 1024;

    private static readonly SearchValues<char> DottedDecimal = SearchValues.Create("0123456789.");

    /// <summary>1 to 32 ice-chars; equal for candidates that are likely to work alike.</summary>
    public required string Foundation { get; init; }

    /// <summary>1 is RTP; 2 (RTCP) does not occur with rtcp-mux.</summary>
    public int Component { get; init; } = 1;

    public IceTransport Transport { get; init; }

    public required uint Priority { get; init; }

    /// <summary>Address and port; only the port is set where <see cref="HostName"/> is.</summary>
    public required TransportAddress Address { get; init; }

    /// <summary>A name in place of the address: an mDNS ".local" name or a FQDN. Such candidates are not resolved.</summary>
    public string? HostName { get; init; }

    public required IceCandidateType Type { get; init; }

    /// <summary>raddr and rport, where given as an address.</summary>
    public TransportAddress? RelatedAddress { get; init; }

    /// <summary>"active", "passive" or "so" of a TCP candidate (RFC 6544).</summary>
    public string? TcpType { get; init; }

    /// <summary>The ufrag extension, which names the generation that the candidate belongs to (RFC 8838).</summary>
    public string? UsernameFragment { get; init; }

    /// <summary>True where a UDP check can be sent to the candidate.</summary>
    public bool IsUsable =>
        Transport == IceTransport.Udp && Component == 1 && HostName is null && Address.Port != 0 && IsUnicast(Address);

    /// <summary>A host candidate.</summary>
    /// <param name="localPreference">0 to 65535, higher is preferred among the host's addresses (RFC 8445 section 5.1.2.1).</param>
    public static IceCandidate CreateHost(in TransportAddress address, int localPreference = 65535) => new()
    {
        Foundation = ComputeFoundation(IceCandidateType.Host, address, IceTransport.Udp),
        Priority = ComputePriority(IceCandidateType.Host, localPreference),
        Address = address,
        Type = IceCandidateType.Host,
    };

    /// <summary>A passive TCP host candidate (RFC 6544), for a description only.</summary>
    public static IceCandidate CreateTcpPassive(in TransportAddress address, int localPreference = 32767) => new()
    {
        Foundation = ComputeFoundation(IceCandidateType.Host, address, IceTransport.Tcp),
        Priority = ComputePriority(IceCandidateType.Host, localPreference),
        Address = address,
        Type = IceCandidateType.Host,
        Transport = IceTransport.Tcp,
        TcpType = "passive",
    };

    /// <summary>RFC 8445 section 5.1.2.1 with the recommended type preferences 126, 110, 100, 0.</summary>
    /// <param name="localPreference">0 to 65535.</param>
    /// <param name="component">1 to 256.</param>
    public static uint ComputePriority(IceCandidateType type, int localPreference, int component = 1)
    {
        uint preference = type switch
        {
            IceCandidateType.Host => 126,
            IceCandidateType.PeerReflexive => 110,
            IceCandidateType.ServerReflexive => 100,
            _ => 0,
        };
        return (preference << 24) | ((uint)(ushort)localPreference << 8) | (uint)(256 - component);
    }

    /// <summary>Same type, base address and transport give the same foundation (RFC 8445 section 5.1.1.3).</summary>
    public static string ComputeFoundation(IceCandidateType type, in TransportAddress baseAddress, IceTransport transport)
    {
        Span<byte> key = stackalloc byte[18];
        key[0] = (byte)type;
        key[1] = (byte)transport;
        System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(key[2..], baseAddress.High);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(key[10..], baseAddress.Low);
        return StunCrypto.Crc32(key).ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>
    /// Parses "candidate:…", also with the "a=" before it or without "candidate:". Unknown extensions are skipped.
    /// Never throws. The empty text, which means the end of candidates, is no candidate.
    /// </summary>
    public static bool TryParse(ReadOnlySpan<char> text, [NotNullWhen(true)] out IceCandidate? candidate)
    {
        candidate = null;
        text = text.Trim();
        if (text.Length is 0 or > MaxTextLength)
        {
            return false;
        }

        text = SkipPrefix(SkipPrefix(text, "a="), "candidate:");
        ReadOnlySpan<char> foundation = NextToken(ref text);
        if (foundation.Length is 0 or > 32 || !IceCredentials.IsIceText(foundation)
            || !TryNumber(NextToken(ref text), out int component) || component is < 1 or > 256
            || !TryTransport(NextToken(ref text), out IceTransport transport)
            || !uint.TryParse(NextToken(ref text), NumberStyles.None, CultureInfo.InvariantCulture, out uint priority))
        {
            return false;
        }

        ReadOnlySpan<char> host = NextToken(ref text);
        if (!ushort.TryParse(NextToken(ref text), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port)
            || !TryHost(host, port, out TransportAddress address, out string? hostName)
            || NextToken(ref text) is not "typ"
            || !TryType(NextToken(ref text), out IceCandidateType type))
        {
            return false;
        }

        string? tcpType = null, ufrag = null;
        TransportAddress? related = null;
        ReadOnlySpan<char> relatedHost = default;
        while (true)
        {
            ReadOnlySpan<char> name = NextToken(ref text);
            ReadOnlySpan<char> value = NextToken(ref text);
            if (value.IsEmpty)
            {
                break;
            }

            switch (name)
            {
                case "raddr":
                    relatedHost = value;
                    break;
                case "rport" when ushort.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out ushort rport)
                    && TryHost(relatedHost, rport, out TransportAddress raddr, out string? relatedName)
                    && relatedName is null:
                    related = raddr;
                    break;
                case "tcptype":
                    tcpType = value.ToString();
                    break;
                case "ufrag" when IceCredentials.IsIceText(value):
                    ufrag = value.ToString();
                    break;
            }
        }

        candidate = new IceCandidate
        {
            Foundation = foundation.ToString(),
            Component = component,
            Transport = transport,
            Priority = priority,
            Address = address,
            HostName = hostName,
            Type = type,
            RelatedAddress = related,
            TcpType = tcpType,
            UsernameFragment = ufrag,
        };
        return true;
    }

    /// <summary>The attribute's text without "a=": "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host".</summary>
    public override string ToString()
    {
        var text = new StringBuilder(96);
        string transport = Transport switch { IceTransport.Udp => "udp", IceTransport.Tcp => "tcp", _ => "other" };
        text.Append(CultureInfo.InvariantCulture, $"candidate:{Foundation} {Component} {transport} {Priority} ");
        text.Append(HostName ?? Address.ToIPAddress().ToString());
        text.Append(CultureInfo.InvariantCulture, $" {Address.Port} typ {TypeName(Type)}");
        if (RelatedAddress is { } related)
        {
            text.Append(CultureInfo.InvariantCulture, $" raddr {related.ToIPAddress()} rport {related.Port}");
        }

        if (TcpType is not null)
        {
            text.Append(" tcptype ").Append(TcpType);
        }

        if (UsernameFragment is not null)
        {
            text.Append(" ufrag ").Append(UsernameFragment);
        }

        return text.ToString();
    }

    private static string TypeName(IceCandidateType type) => type switch
    {
        IceCandidateType.Host => "host",
        IceCandidateType.ServerReflexive => "srflx",
        IceCandidateType.PeerReflexive => "prflx",
        _ => "relay",
    };

    private static bool TryType(ReadOnlySpan<char> token, out IceCandidateType type)
    {
        (type, bool known) = token switch
        {
            "host" => (IceCandidateType.Host, true),
            "srflx" => (IceCandidateType.ServerReflexive, true),
            "prflx" => (IceCandidateType.PeerReflexive, true),
            "relay" => (IceCandidateType.Relayed, true),
            _ => (default, false),
        };
        return known;
    }

    private static bool TryTransport(ReadOnlySpan<char> token, out IceTransport transport)
    {
        transport = token.Equals("udp", StringComparison.OrdinalIgnoreCase) ? IceTransport.Udp
            : token.Equals("tcp", StringComparison.OrdinalIgnoreCase) ? IceTransport.Tcp
            : IceTransport.Other;
        return !token.IsEmpty;
    }

    private static bool TryNumber(ReadOnlySpan<char> token, out int number) =>
        int.TryParse(token, NumberStyles.None, CultureInfo.InvariantCulture, out number);

    private static bool TryHost(ReadOnlySpan<char> host, ushort port, out TransportAddress address, out string? name)
    {
        address = new TransportAddress(0, 0, port);
        name = null;
        if (host.Length is 0 or > 253 || host.Contains('%'))
        {
            return false;
        }

        // IPAddress.TryParse also takes "1" and "0x7f.1": an IPv4 address here has its four decimal parts.
        bool isNumeric = host.Contains(':') || (host.Count('.') == 3 && !host.ContainsAnyExcept(DottedDecimal));
        if (isNumeric)
        {
            if (!IPAddress.TryParse(host, out IPAddress? ip))
            {
                return false;
            }

            address = TransportAddress.From(ip, port);
            return true;
        }

        foreach (char c in host)
        {
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('-' or '.' or '_'))
            {
                return false;
            }
        }

        name = host.ToString();
        return true;
    }

    private static bool IsUnicast(in TransportAddress address) => address.IsIPv4
        ? address.IPv4 >> 24 is > 0 and < 224
        : address.High >> 56 != 0xFF && (address.High != 0 || address.Low != 0);

    private static ReadOnlySpan<char> SkipPrefix(ReadOnlySpan<char> text, string prefix) =>
        text.StartsWith(prefix, StringComparison.OrdinalIgnoreCase) ? text[prefix.Length..] : text;

    private static ReadOnlySpan<char> NextToken(scoped ref ReadOnlySpan<char> text)
    {
        text = text.TrimStart(' ');
        int space = text.IndexOf(' ');
        ReadOnlySpan<char> token = space < 0 ? text : text[..space];
        text = text[token.Length..];
        return token;
    }
}
