using System.Text;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Stun;

namespace Transcribe.Rtc.Tests.Ice;

/// <summary>Hand-made checks, right and wrong ones.</summary>
internal static class Checks
{
    private static ulong _nextId = 1;

    public static byte[] Request(
        IceHost to,
        string remoteUfrag,
        bool useCandidate = false,
        uint priority = 1000,
        string? localUfrag = null,
        string? password = null,
        ulong? controlling = 1,
        ulong? controlled = null,
        bool fingerprint = true,
        bool integrity = true,
        ushort unknownAttribute = 0)
    {
        var id = new StunTransactionId(0, Interlocked.Increment(ref _nextId));
        var writer = new StunWriter(new byte[1024], StunClass.Request, StunMethod.Binding, id);
        string username = $"{localUfrag ?? to.Agent.LocalCredentials.Ufrag}:{remoteUfrag}";
        writer.Add(StunAttributeType.Username, Encoding.UTF8.GetBytes(username));
        writer.AddUInt32(StunAttributeType.Priority, priority);
        if (controlling is { } c)
        {
            writer.AddUInt64(StunAttributeType.IceControlling, c);
        }

        if (controlled is { } d)
        {
            writer.AddUInt64(StunAttributeType.IceControlled, d);
        }

        if (useCandidate)
        {
            writer.Add(StunAttributeType.UseCandidate, []);
        }

        // GOOG-NETWORK-INFO, as libwebrtc sends it.
        writer.AddUInt32((StunAttributeType)0xC057, 0x0001_03E7);
        if (unknownAttribute != 0)
        {
            writer.AddUInt32((StunAttributeType)unknownAttribute, 1);
        }

        if (integrity)
        {
            writer.AddIntegrity(Encoding.UTF8.GetBytes(password ?? to.Agent.LocalCredentials.Password));
        }

        if (fingerprint)
        {
            writer.AddFingerprint();
        }

        return writer.Written.ToArray();
    }

    /// <summary>The error code of an answer; 0 for a success response.</summary>
    public static int ErrorOf(byte[] datagram)
    {
        Assert.True(StunMessage.TryParse(datagram, out StunMessage message));
        if (message.Class == StunClass.SuccessResponse)
        {
            return 0;
        }

        Assert.Equal(StunClass.ErrorResponse, message.Class);
        Assert.True(message.TryGetErrorCode(out int code, out _));
        return code;
    }
}
