using System.Text;
using CsCheck;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Stun;

namespace Transcribe.Rtc.Tests.Ice;

/// <summary>What strangers, forgers and replayers get.</summary>
public sealed class IceSecurityTests
{
    private const string ServerAddress = "203.0.113.1:7882";
    private const string ClientAddress = "198.51.100.7:40000";
    private static readonly TransportPath Stranger =
        new(IceNetwork.Address(ServerAddress), IceNetwork.Address("192.0.2.66:666"));

    [Fact]
    public void A_forged_integrity_is_answered_with_401_and_changes_nothing()
    {
        (IceNetwork network, IceHost server) = Server();
        byte[] request = Checks.Request(server, "abcd", useCandidate: true, password: new string('x', 24));
        Assert.False(server.Agent.Receive(network.Now, Stranger, request));
        AssertRefused(server, request, StunErrorCode.Unauthenticated, IceDropReason.BadIntegrity);
    }

    [Fact]
    public void A_wrong_ufrag_is_answered_with_401()
    {
        (IceNetwork network, IceHost server) = Server();
        byte[] request = Checks.Request(server, "abcd", useCandidate: true, localUfrag: "nobody");
        Assert.False(server.Agent.Receive(network.Now, Stranger, request));
        AssertRefused(server, request, StunErrorCode.Unauthenticated, IceDropReason.WrongUsername);
    }

    [Fact]
    public void Another_peers_ufrag_is_refused_once_the_peer_is_known()
    {
        (IceNetwork network, IceHost server) = Server();
        Assert.True(IceCredentials.TryCreate("abcd", new string('p', 22), out IceCredentials? remote));
        server.Agent.SetRemoteCredentials(network.Now, remote);
        Assert.False(server.Agent.Receive(network.Now, Stranger, Checks.Request(server, "efgh")));
        Assert.Equal(1, server.Agent.GetDropCount(IceDropReason.WrongUsername));
        Assert.True(server.Agent.Receive(network.Now, Stranger, Checks.Request(server, "abcd")));
    }

    [Fact]
    public void A_request_without_integrity_is_answered_with_400()
    {
        (IceNetwork network, IceHost server) = Server();
        byte[] request = Checks.Request(server, "abcd", useCandidate: true, integrity: false);
        Assert.False(server.Agent.Receive(network.Now, Stranger, request));
        AssertRefused(server, request, StunErrorCode.BadRequest, IceDropReason.MissingAttribute);
    }

    [Fact]
    public void A_request_too_short_for_an_error_answer_gets_none()
    {
        (IceNetwork network, IceHost server) = Server();
        var writer = new StunWriter(new byte[64], StunClass.Request, StunMethod.Binding, new StunTransactionId(1, 2));
        writer.AddFingerprint();
        Assert.False(server.Agent.Receive(network.Now, Stranger, writer.Written));
        Assert.Empty(server.Sent);
        Assert.Equal(1, server.Agent.GetDropCount(IceDropReason.MissingAttribute));
    }

    [Fact]
    public void A_request_without_fingerprint_is_not_answered()
    {
        (IceNetwork network, IceHost server) = Server();
        Assert.False(server.Agent.Receive(network.Now, Stranger, Checks.Request(server, "abcd", fingerprint: false)));
        Assert.Empty(server.Sent);
        Assert.Equal(1, server.Agent.GetDropCount(IceDropReason.BadFingerprint));
    }

    [Fact]
    public void An_unknown_required_attribute_is_answered_with_420_and_its_name()
    {
        (IceNetwork network, IceHost server) = Server();
        byte[] request = Checks.Request(server, "abcd", unknownAttribute: 0x7123);
        Assert.False(server.Agent.Receive(network.Now, Stranger, request));
        AssertRefused(server, request, StunErrorCode.UnknownAttribute, IceDropReason.UnknownAttribute);
        Assert.True(StunMessage.TryParse(server.Sent[0].Bytes, out StunMessage answer));
        Assert.True(answer.TryGet(StunAttributeType.UnknownAttributes, out ReadOnlySpan<byte> types));
        Assert.Equal("7123", Convert.ToHexString(types));
        Assert.True(answer.VerifyIntegrity(Encoding.UTF8.GetBytes(server.Agent.LocalCredentials.Password)));
    }

    [Fact]
    public void A_lite_agent_never_takes_the_controlling_role()
    {
        (IceNetwork network, IceHost server) = Server();
        byte[] request = Checks.Request(server, "abcd", controlling: null, controlled: 0);
        Assert.False(server.Agent.Receive(network.Now, Stranger, request));
        AssertRefused(server, request, StunErrorCode.RoleConflict, IceDropReason.RoleConflict);
        Assert.Equal(IceRole.Controlled, server.Agent.Role);
    }

    [Fact]
    public void A_captured_check_sent_again_from_elsewhere_does_not_move_the_session()
    {
        (IceNetwork network, IceHost server) = Server();
        var path = new TransportPath(Stranger.Local, IceNetwork.Address(ClientAddress));
        byte[] captured = Checks.Request(server, "abcd", useCandidate: true);
        Assert.True(server.Agent.Receive(network.Now, path, captured));
        network.Run(TimeSpan.FromSeconds(5));
        int sent = server.Sent.Count;

        Assert.False(server.Agent.Receive(network.Now, Stranger, captured));

        Assert.Equal(path, server.Agent.SelectedPath);
        Assert.False(server.Agent.IsValidated(Stranger));
        Assert.Equal(sent, server.Sent.Count);
        Assert.Equal(1, server.Agent.GetDropCount(IceDropReason.Replayed));
    }

    [Fact]
    public void A_captured_check_sent_again_from_the_same_place_is_no_fresh_consent()
    {
        (IceNetwork network, IceHost server) = Server();
        byte[] captured = Checks.Request(server, "abcd", useCandidate: true);
        for (int i = 0; i < 8; i++)
        {
            server.Agent.Receive(network.Now, Stranger, captured);
            network.Run(TimeSpan.FromSeconds(4));
        }

        Assert.Equal(IceState.Failed, server.Agent.State);
    }

    [Fact]
    public void Responses_are_believed_only_with_integrity_from_the_right_address()
    {
        var network = new IceNetwork();
        IceHost client = network.AddFull(IceRole.Controlling, ClientAddress);
        Assert.True(IceCredentials.TryCreate("abcd", new string('p', 22), out IceCredentials? remote));
        client.Agent.SetRemoteCredentials(network.Now, remote);
        client.Agent.AddRemoteCandidate(network.Now, IceCandidate.CreateHost(IceNetwork.Address(ServerAddress)));
        client.Agent.HandleTimeout(network.Now);
        byte[] check = Assert.Single(client.Sent).Bytes;
        StunTransactionId id = StunTransactionId.Read(check.AsSpan(8));
        var path = new TransportPath(IceNetwork.Address(ClientAddress), IceNetwork.Address(ServerAddress));
        byte[] right = Encoding.UTF8.GetBytes(remote.Password), wrong = Encoding.UTF8.GetBytes(new string('q', 22));

        Assert.False(client.Agent.Receive(network.Now, path, Response(id, wrong)));
        Assert.Equal(1, client.Agent.GetDropCount(IceDropReason.BadIntegrity));
        Assert.False(client.Agent.Receive(network.Now, path, Error(id, 401)));
        Assert.Equal(2, client.Agent.GetDropCount(IceDropReason.BadIntegrity));
        Assert.False(client.Agent.Receive(network.Now, path, Response(new StunTransactionId(9, 9), right)));
        Assert.Equal(1, client.Agent.GetDropCount(IceDropReason.UnknownTransaction));
        Assert.Equal(IceState.Checking, client.Agent.State);
        Assert.Single(client.Sent);

        Assert.True(client.Agent.Receive(network.Now, path, Response(id, right)));
        Assert.True(client.Agent.IsValidated(path));
        Assert.Equal(2, client.Sent.Count);

        // The nomination's answer from another address fails the pair.
        id = StunTransactionId.Read(client.Sent[1].Bytes.AsSpan(8));
        var other = path with { Remote = IceNetwork.Address("192.0.2.66:666") };
        Assert.False(client.Agent.Receive(network.Now, other, Response(id, right)));
        Assert.Equal(1, client.Agent.GetDropCount(IceDropReason.NonSymmetric));
        Assert.Null(client.Agent.SelectedPath);
    }

    [Fact]
    public void Random_datagrams_neither_throw_nor_get_an_answer() =>
        Gen.Byte.Array[0, 200].Sample(datagram =>
        {
            (IceNetwork network, IceHost server) = Server();
            Assert.False(server.Agent.Receive(network.Now, Stranger, datagram));
            Assert.Empty(server.Sent);
        });

    [Fact]
    public void Whatever_is_done_to_a_check_nothing_is_amplified_and_no_stranger_is_validated() =>
        Gen.Select(Gen.Int[0, 2000], Gen.Byte, Gen.Int[0, 200], Gen.Bool).Sample((at, value, cut, repair) =>
        {
            (IceNetwork network, IceHost server) = Server();
            byte[] request = Checks.Request(server, "abcd", useCandidate: true);
            byte[] authentic = [.. request];
            request[at % request.Length] = value;
            if (cut % 4 == 0 && cut < request.Length - 20)
            {
                request = request[..^cut];
                request[3] = (byte)(request.Length - 20);
            }

            // A stranger can compute the fingerprint, but not the integrity.
            byte[] datagram = repair ? WithFingerprint(request) : request;
            bool handled = server.Agent.Receive(network.Now, Stranger, datagram);
            if (!handled)
            {
                Assert.True(server.Sent.Count <= 1);
                Assert.All(server.Sent, sent => Assert.True(sent.Bytes.Length <= datagram.Length));
                Assert.False(server.Agent.IsValidated(Stranger));
            }
            else
            {
                // What the integrity covers is untouched; the fingerprint behind it may have been computed anew.
                int covered = authentic.Length - 8;
                Assert.Equal(authentic[4..covered], datagram[4..covered]);
            }

            Assert.All(server.Sent, sent => Assert.Equal(Stranger, sent.Path));
        });

    [Fact]
    public void A_full_agent_survives_random_responses() =>
        Gen.Select(Gen.Byte.Array[0, 100], Gen.Int[0, 0xFFFF]).Sample((body, type) =>
        {
            var network = new IceNetwork();
            IceHost client = network.AddFull(IceRole.Controlling, ClientAddress);
            IceHost server = network.AddLite(ServerAddress);
            network.Signal(client, server);
            client.Agent.HandleTimeout(network.Now);
            StunTransactionId id = StunTransactionId.Read(client.Sent[0].Bytes.AsSpan(8));
            var writer = new StunWriter(new byte[512], (StunClass)(type & 3), StunMethod.Binding, id);
            writer.Add((StunAttributeType)(type >> 2), body);
            writer.AddIntegrity(Encoding.UTF8.GetBytes(server.Agent.LocalCredentials.Password));
            writer.AddFingerprint();
            var path = new TransportPath(IceNetwork.Address(ClientAddress), IceNetwork.Address(ServerAddress));
            client.Agent.Receive(network.Now, path, writer.Written);
            network.Run(TimeSpan.FromSeconds(1));
        });

    private static byte[] WithFingerprint(byte[] datagram)
    {
        int end = datagram.Length >= 28 && datagram[^8] == 0x80 && datagram[^7] == 0x28 ? datagram.Length - 8 : datagram.Length;
        byte[] repaired = new byte[end + 8];
        datagram.AsSpan(0, end).CopyTo(repaired);
        repaired[2] = (byte)((repaired.Length - 20) >> 8);
        repaired[3] = (byte)(repaired.Length - 20);
        (repaired[end], repaired[end + 1], repaired[end + 3]) = (0x80, 0x28, 4);
        uint crc = StunCrypto.ComputeFingerprint(repaired.AsSpan(0, end));
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(repaired.AsSpan(end + 4), crc);
        return repaired;
    }

    private static byte[] Response(StunTransactionId id, byte[] key)
    {
        var writer = new StunWriter(new byte[256], StunClass.SuccessResponse, StunMethod.Binding, id);
        writer.AddXorMappedAddress(IceNetwork.Address(ClientAddress));
        writer.AddIntegrity(key);
        writer.AddFingerprint();
        return writer.Written.ToArray();
    }

    private static byte[] Error(StunTransactionId id, int code)
    {
        var writer = new StunWriter(new byte[256], StunClass.ErrorResponse, StunMethod.Binding, id);
        writer.AddErrorCode(code);
        writer.AddFingerprint();
        return writer.Written.ToArray();
    }

    private static (IceNetwork Network, IceHost Server) Server()
    {
        var network = new IceNetwork();
        return (network, network.AddLite(ServerAddress));
    }

    private static void AssertRefused(IceHost server, byte[] request, int code, IceDropReason reason)
    {
        (_, TransportPath path, byte[] answer) = Assert.Single(server.Sent);
        Assert.Equal(Stranger, path);
        Assert.Equal(code, Checks.ErrorOf(answer));
        Assert.True(answer.Length <= request.Length);
        Assert.Equal(request[8..20], answer[8..20]);
        Assert.Equal(1, server.Agent.GetDropCount(reason));
        Assert.False(server.Agent.IsValidated(Stranger));
        Assert.Null(server.Agent.SelectedPath);
        Assert.Equal(IceState.New, server.Agent.State);
    }
}
