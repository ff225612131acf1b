using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.SignalR.Client;
using Transcribe.Cluster.Protocol;
using Transcribe.Rtc;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Stun;

namespace Transcribe.EndToEnd.Tests.Support;

/// <summary>Somebody with a socket and, sometimes, a session: sends single datagrams and hub calls by hand.</summary>
internal sealed class Attacker : IAsyncDisposable
{
    private static readonly Lazy<DtlsCertificate> Certificate = new(() => DtlsCertificate.Generate(DateTimeOffset.UtcNow));

    private readonly IPEndPoint _server;
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 2000 };
    private readonly string? _ufrag;
    private readonly byte[] _password;

    private Attacker(HostedServer server, string? ufrag, string? password)
    {
        _server = new IPEndPoint(IPAddress.Loopback, server.UdpPort);
        (_ufrag, _password) = (ufrag, Encoding.ASCII.GetBytes(password ?? ""));
        _socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
    }

    public HubConnection? Hub { get; private init; }

    /// <summary>The server's.</summary>
    public string? Ufrag => _ufrag;

    /// <summary>The offer's.</summary>
    public string ClientUfrag { get; private init; } = "mallory1";

    /// <summary>Datagrams of the server that wait to be read.</summary>
    public int Waiting => _socket.Available;

    public static Attacker Outside(HostedServer server) => new(server, null, null);

    /// <summary>With a session that was negotiated, and never connected.</summary>
    public static async Task<Attacker> InsideAsync(HostedServer server, string participant)
    {
        HubConnection hub = await server.ConnectAsync();
        Assert.Null(ErrorCode(await hub.InvokeAsync<JsonElement>(HubMethods.Join, new JoinRequest(server.Token(RunningCall.Room, participant)))));
        string offer = Offer();
        HubReply<NegotiateReply> reply = await hub.InvokeAsync<HubReply<NegotiateReply>>(HubMethods.Negotiate, new NegotiateRequest(offer, []));
        string sdp = reply.Value!.Sdp;
        return new Attacker(server, Attribute(sdp, "ice-ufrag"), Attribute(sdp, "ice-pwd")) { Hub = hub, ClientUfrag = Attribute(offer, "ice-ufrag") };
    }

    /// <summary>A good offer that nobody stands behind.</summary>
    public static string Offer()
    {
        using var session = new RtcSession(
            new RtcSessionOptions { Certificate = Certificate.Value, DtlsExecutor = DtlsLockStepExecutor.Instance }, new Silence());
        session.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
        return session.CreateOffer(Instant.Zero);
    }

    public static string? ErrorCode(JsonElement reply) =>
        reply.TryGetProperty("error", out JsonElement error) && error.ValueKind == JsonValueKind.Object ? error.GetProperty("code").GetString() : null;

    public void Send(ReadOnlySpan<byte> datagram) => _socket.SendTo(datagram, SocketFlags.None, _server);

    public byte[] Receive()
    {
        byte[] buffer = new byte[2048];
        return buffer[.._socket.Receive(buffer)];
    }

    /// <summary>A check with fingerprint, signed with this password or the session's own.</summary>
    public byte[] Check(string? username = null, string? password = null)
    {
        byte[] buffer = new byte[StunMessage.MaxSize];
        var writer = new StunWriter(buffer, StunClass.Request, StunMethod.Binding, StunTransactionId.Create(RandomNumberGenerator.Create()));
        writer.Add(StunAttributeType.Username, Encoding.ASCII.GetBytes(username ?? $"{_ufrag}:{ClientUfrag}"));
        writer.AddUInt32(StunAttributeType.Priority, 0x6E00_01FF);
        writer.AddUInt64(StunAttributeType.IceControlling, 42);
        writer.Add(StunAttributeType.UseCandidate, []);
        writer.AddIntegrity(password is null ? _password : Encoding.ASCII.GetBytes(password));
        writer.AddFingerprint();
        return writer.Written.ToArray();
    }

    public async ValueTask DisposeAsync()
    {
        _socket.Dispose();
        if (Hub is not null)
            await Hub.DisposeAsync();
    }

    private static string Attribute(string sdp, string name) =>
        sdp.Split("\r\n").First(line => line.StartsWith($"a={name}:", StringComparison.Ordinal))[(name.Length + 3)..];

    private sealed class Silence : IRtcSessionObserver
    {
        public void OnSend(in TransportPath path, ReadOnlySpan<byte> datagram)
        {
        }

        public void OnStateChanged(RtcSessionState state)
        {
        }

        public void OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival)
        {
        }
    }
}
