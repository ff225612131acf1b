using System.Buffers.Binary;
using CsCheck;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Tests.Srtp;

public sealed class SrtpTests
{
    private const uint Ssrc = 0xCAFEBABE;

    public static TheoryData<SrtpProfile> Profiles => [SrtpProfile.AeadAes128Gcm, SrtpProfile.Aes128CmHmacSha1Tag80];

    [Theory]
    [MemberData(nameof(Profiles))]
    public void Rtp_of_every_length_comes_back(SrtpProfile profile)
    {
        (SrtpSender sender, SrtpReceiver receiver) = Pair(profile);
        for (int length = 0; length <= 1500; length++)
        {
            byte[] plain = Rtp((ushort)length, length);
            byte[] packet = [.. plain, .. new byte[SrtpProfiles.MaxRtpOverhead]];
            Assert.True(sender.ProtectRtp(packet, plain.Length, out int protectedLength));
            Assert.Equal(plain.Length + sender.RtpOverhead, protectedLength);
            Assert.Equal(plain[..12], packet[..12]);
            Assert.True(length < 8 || !packet.AsSpan(12, length).SequenceEqual(plain.AsSpan(12)));
            Assert.True(receiver.TryUnprotectRtp(packet.AsSpan(0, protectedLength), out int opened));
            Assert.Equal(plain, packet[..opened]);
        }

        Assert.Equal(1501, receiver.Counters.Rtp);
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void Rtcp_of_every_length_comes_back(SrtpProfile profile)
    {
        (SrtpSender sender, SrtpReceiver receiver) = Pair(profile);
        for (int length = 8; length <= 1400; length += 4)
        {
            byte[] plain = Rtcp(length);
            byte[] packet = [.. plain, .. new byte[SrtpProfiles.MaxRtcpOverhead]];
            Assert.True(sender.ProtectRtcp(packet, plain.Length, out int protectedLength));
            Assert.Equal(plain.Length + sender.RtcpOverhead, protectedLength);
            byte[] copy = packet[..protectedLength];
            Assert.True(receiver.TryUnprotectRtcp(packet.AsSpan(0, protectedLength), out int opened));
            Assert.Equal(plain, packet[..opened]);
            Assert.False(receiver.TryUnprotectRtcp(copy, out _, out SrtpReject reject));
            Assert.Equal(SrtpReject.Replayed, reject);
        }
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void Copying_protection_equals_protection_in_place(SrtpProfile profile)
    {
        (SrtpSender sender, _) = Pair(profile);
        (SrtpSender other, _) = Pair(profile);
        byte[] plain = Rtp(7, 900);
        byte[] inPlace = [.. plain, .. new byte[16]];
        Assert.True(sender.ProtectRtp(inPlace, plain.Length, out int length));
        byte[] copied = new byte[inPlace.Length];
        plain.AsSpan(0, 12).CopyTo(copied);
        Assert.True(other.ProtectRtp(copied, 12, plain.AsSpan(12), out int copiedLength));
        Assert.Equal(length, copiedLength);
        Assert.Equal(inPlace, copied);
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void Header_extension_and_csrcs_stay_readable_and_are_authenticated(SrtpProfile profile)
    {
        (SrtpSender sender, SrtpReceiver receiver) = Pair(profile);
        byte[] plain = new byte[12 + 8 + 4 + 4 + 20];
        Rtp(1, 0).CopyTo(plain, 0);
        plain[0] |= 0x12; // extension, two CSRCs
        (plain[20], plain[21], plain[23]) = (0xBE, 0xDE, 1);
        byte[] packet = [.. plain, .. new byte[16]];
        Assert.True(sender.ProtectRtp(packet, plain.Length, out int length));
        Assert.Equal(plain[..28], packet[..28]);
        byte[] damaged = packet[..length];
        damaged[25] ^= 1;
        Assert.False(receiver.TryUnprotectRtp(damaged, out _, out SrtpReject reject));
        Assert.Equal(SrtpReject.BadTag, reject);
        Assert.True(receiver.TryUnprotectRtp(packet.AsSpan(0, length), out _));
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void Any_flipped_bit_is_rejected_and_does_no_harm(SrtpProfile profile)
    {
        (SrtpSender sender, SrtpReceiver receiver) = Pair(profile);
        byte[] packet = new byte[64];
        Rtp(100, 30).CopyTo(packet, 0);
        Assert.True(sender.ProtectRtp(packet, 42, out int length));
        for (int bit = 0; bit < length * 8; bit++)
        {
            byte[] damaged = packet[..length];
            damaged[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(receiver.TryUnprotectRtp(damaged, out _));
        }

        Assert.Equal(0, receiver.SourceCount);
        Assert.True(receiver.TryUnprotectRtp(packet.AsSpan(0, length), out _));
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void Replays_and_packets_behind_the_window_are_rejected(SrtpProfile profile)
    {
        (SrtpSender sender, SrtpReceiver receiver) = Pair(profile);
        byte[][] packets = [.. Enumerable.Range(0, 2000).Select(i => Protect(sender, (ushort)i))];
        Assert.True(receiver.TryUnprotectRtp([.. packets[1200]], out _));
        Assert.False(receiver.TryUnprotectRtp([.. packets[1200]], out _, out SrtpReject reject));
        Assert.Equal(SrtpReject.Replayed, reject);
        Assert.True(receiver.TryUnprotectRtp([.. packets[1200 - 1023]], out _));
        Assert.False(receiver.TryUnprotectRtp([.. packets[1200 - 1023]], out _, out reject));
        Assert.Equal(SrtpReject.Replayed, reject);
        Assert.False(receiver.TryUnprotectRtp([.. packets[1200 - 1024]], out _, out reject));
        Assert.Equal(SrtpReject.TooOld, reject);
        Assert.True(receiver.TryUnprotectRtp([.. packets[1999]], out _));
        Assert.False(receiver.TryUnprotectRtp([.. packets[1200]], out _, out reject));
        Assert.Equal(SrtpReject.Replayed, reject);
        Assert.Equal(3, receiver.Counters.Rejected(SrtpReject.Replayed));
        Assert.Equal(1, receiver.Counters.Rejected(SrtpReject.TooOld));
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void The_rollover_counter_follows_through_reordering_across_the_wrap(SrtpProfile profile)
    {
        (SrtpSender sender, SrtpReceiver receiver) = Pair(profile);
        List<byte[]> packets = [];
        for (int i = 0; i < 3 * 65536; i += 97)
            packets.Add(Protect(sender, (ushort)(60000 + i)));

        Assert.All(packets, packet => Assert.True(receiver.TryUnprotectRtp(packet, out _)));

        // Shuffled in groups: later packets of the wrap overtake earlier ones.
        Random random = new(5);
        (sender, receiver) = Pair(profile);
        byte[][] dense = [.. Enumerable.Range(0, 400).Select(i => Protect(sender, (ushort)(65336 + i)))];
        foreach (byte[][] group in dense.Chunk(20))
        {
            random.Shuffle(group);
            foreach (byte[] packet in group)
                Assert.True(receiver.TryUnprotectRtp(packet, out _, out SrtpReject reject), reject.ToString());
        }

        Assert.Equal(400, receiver.Counters.Rtp);
    }

    [Fact]
    public void A_late_packet_of_before_the_wrap_is_accepted_after_it()
    {
        (SrtpSender sender, SrtpReceiver receiver) = Pair(SrtpProfile.AeadAes128Gcm);
        byte[] first = Protect(sender, 65500);
        byte[] late = Protect(sender, 65530);
        byte[] wrapped = Protect(sender, 5);
        Assert.True(receiver.TryUnprotectRtp(first, out _));
        Assert.True(receiver.TryUnprotectRtp(wrapped, out _));
        Assert.True(receiver.TryUnprotectRtp(late, out _));
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void A_sender_never_uses_an_index_twice(SrtpProfile profile)
    {
        (SrtpSender sender, SrtpReceiver receiver) = Pair(profile);
        byte[] packet = [.. Rtp(65530, 50), .. new byte[16]];
        Assert.True(receiver.TryUnprotectRtp(Protect(sender, 65530), out _));
        Assert.False(sender.ProtectRtp(packet, 62, out _));
        Assert.True(receiver.TryUnprotectRtp(Protect(sender, 100), out _));
        Assert.False(sender.ProtectRtp(packet, 62, out _));

        // A packet that was overtaken still goes, with the rollover counter of before the wrap.
        Assert.True(receiver.TryUnprotectRtp(Protect(sender, 65535), out _));
        Assert.True(receiver.TryUnprotectRtp(Protect(sender, 50), out _));

        // So far back that nobody knows whether it was used.
        Protect(sender, 2000);
        Assert.False(sender.ProtectRtp([.. Rtp(800, 50), .. new byte[16]], 62, out _));
        Assert.Equal(3, sender.RepeatsRefused);
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void A_packet_that_was_repaired_late_is_sent_once(SrtpProfile profile)
    {
        (SrtpSender sender, SrtpReceiver receiver) = Pair(profile);
        for (int i = 0; i < 1500; i++)
        {
            if (i is not (700 or 701))
                Assert.True(receiver.TryUnprotectRtp(Protect(sender, (ushort)i), out _));
        }

        Assert.True(receiver.TryUnprotectRtp(Protect(sender, 700), out _));
        Assert.True(receiver.TryUnprotectRtp(Protect(sender, 701), out _));
        foreach (ushort repeated in (ushort[])[699, 700, 701, 702, 1499])
            Assert.False(sender.ProtectRtp([.. Rtp(repeated, 50), .. new byte[16]], 62, out _));
        Assert.Equal(5, sender.RepeatsRefused);
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void Forgeries_take_no_place_among_the_sources(SrtpProfile profile)
    {
        byte[] key = new byte[16];
        byte[] salt = new byte[profile.MasterSaltLength()];
        using SrtpSender sender = new(profile, key, salt);
        using SrtpReceiver receiver = new(profile, key, salt, maxSources: 3);
        byte[] first = Protect(sender, 1, 1);
        Assert.True(receiver.TryUnprotectRtp([.. first], out _));
        for (uint ssrc = 100; ssrc < 200; ssrc++)
        {
            byte[] forged = Protect(sender, 1, ssrc);
            forged[^1] ^= 1;
            Assert.False(receiver.TryUnprotectRtp(forged, out _, out SrtpReject reject));
            Assert.Equal(SrtpReject.BadTag, reject);
        }

        Assert.Equal(1, receiver.SourceCount);
        Assert.False(receiver.TryUnprotectRtp([.. first], out _));
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void A_long_session_goes_through_any_number_of_sources_and_takes_nothing_twice(SrtpProfile profile)
    {
        byte[] key = new byte[16];
        byte[] salt = new byte[profile.MasterSaltLength()];
        using SrtpSender sender = new(profile, key, salt, maxSources: 8);
        using SrtpReceiver receiver = new(profile, key, salt, maxSources: 8);

        // One that rolled over, then goes silent while hundreds come and go.
        for (int i = 0; i < 70_000; i += 1000)
            Assert.True(receiver.TryUnprotectRtp(Protect(sender, (ushort)i, 1), out _));
        List<byte[]> recorded = [];
        for (uint ssrc = 1000; ssrc < 1500; ssrc++)
        {
            byte[] packet = Protect(sender, 5, ssrc);
            recorded.Add([.. packet]);
            Assert.True(receiver.TryUnprotectRtp(packet, out _));

            // This one stays in use.
            Assert.True(receiver.TryUnprotectRtp(Protect(sender, (ushort)ssrc, 2), out _));
        }

        Assert.Equal(8, receiver.SourceCount);
        foreach (byte[] packet in recorded)
        {
            Assert.False(receiver.TryUnprotectRtp([.. packet], out _, out SrtpReject reject));
            Assert.Equal(SrtpReject.Replayed, reject);
        }

        Assert.False(sender.ProtectRtp([.. Rtp(5, 50, 1000), .. new byte[16]], 62, out _));
        Assert.False(sender.ProtectRtp([.. Rtp(unchecked((ushort)69_000), 50, 1), .. new byte[16]], 62, out _));

        // The silent one comes back in the same rollover, on both ends.
        Assert.True(receiver.TryUnprotectRtp(Protect(sender, unchecked((ushort)69_001), 1), out _));
        Assert.True(receiver.TryUnprotectRtp(Protect(sender, 6, 1000), out _));
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void Rtcp_indices_go_on_after_a_source_was_replaced(SrtpProfile profile)
    {
        byte[] key = new byte[16];
        byte[] salt = new byte[profile.MasterSaltLength()];
        using SrtpSender sender = new(profile, key, salt, maxSources: 2);
        using SrtpReceiver receiver = new(profile, key, salt, maxSources: 2);
        byte[] first = ProtectRtcp();
        Assert.True(receiver.TryUnprotectRtcp([.. first], out _));
        for (uint ssrc = 1; ssrc <= 5; ssrc++)
            Assert.True(receiver.TryUnprotectRtp(Protect(sender, 1, ssrc), out _));
        Assert.False(receiver.TryUnprotectRtcp([.. first], out _, out SrtpReject reject));
        Assert.Equal(SrtpReject.Replayed, reject);
        Assert.True(receiver.TryUnprotectRtcp(ProtectRtcp(), out _));

        byte[] ProtectRtcp()
        {
            byte[] packet = [.. Rtcp(28), .. new byte[20]];
            Assert.True(sender.ProtectRtcp(packet, 28, out int length));
            return packet[..length];
        }
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void An_srtcp_packet_with_the_E_flag_clear_is_rejected(SrtpProfile profile)
    {
        (SrtpSender sender, SrtpReceiver receiver) = Pair(profile);
        byte[] packet = [.. Rtcp(28), .. new byte[20]];
        Assert.True(sender.ProtectRtcp(packet, 28, out int length));
        int trailer = profile == SrtpProfile.AeadAes128Gcm ? length - 4 : length - 14;
        packet[trailer] &= 0x7F;
        Assert.False(receiver.TryUnprotectRtcp(packet.AsSpan(0, length), out _, out SrtpReject reject));
        Assert.Equal(SrtpReject.NotEncrypted, reject);
    }

    [Fact]
    public void Random_bytes_are_rejected_and_never_throw()
    {
        (_, SrtpReceiver gcm) = Pair(SrtpProfile.AeadAes128Gcm);
        (_, SrtpReceiver counter) = Pair(SrtpProfile.Aes128CmHmacSha1Tag80);
        Gen.Byte.Array[0, 120].Sample(
            bytes =>
            {
                if (bytes.Length > 0)
                    bytes[0] = (byte)((bytes[0] & 0x3F) | 0x80);
                return !gcm.TryUnprotectRtp([.. bytes], out _) && !gcm.TryUnprotectRtcp([.. bytes], out _)
                    && !counter.TryUnprotectRtp([.. bytes], out _) && !counter.TryUnprotectRtcp([.. bytes], out _);
            },
            threads: 1);
        Assert.True(gcm.Counters.RejectedTotal > 0);
    }

    [Theory]
    [MemberData(nameof(Profiles))]
    public void Packets_in_steady_state_allocate_nothing(SrtpProfile profile)
    {
        (SrtpSender sender, SrtpReceiver receiver) = Pair(profile);
        byte[] packet = new byte[1300];
        byte[] plain = Rtp(0, 1200);
        void Turn(ushort sequence)
        {
            plain.CopyTo(packet, 0);
            BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(2), sequence);
            Assert.True(sender.ProtectRtp(packet, plain.Length, out int length));
            Assert.True(receiver.TryUnprotectRtp(packet.AsSpan(0, length), out _));
        }

        for (ushort i = 0; i < 500; i++)
            Turn(i);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (ushort i = 500; i < 1500; i++)
            Turn(i);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(allocated < 2000, $"{allocated} bytes for 1000 packets");
    }

    private static (SrtpSender Sender, SrtpReceiver Receiver) Pair(SrtpProfile profile)
    {
        byte[] exported = [.. Enumerable.Range(1, SrtpKeyingMaterial.ExportLength(profile)).Select(i => (byte)(i * 7))];
        return (
            SrtpKeyingMaterial.FromExporter(profile, exported, isClient: true).CreateSender(),
            SrtpKeyingMaterial.FromExporter(profile, exported, isClient: false).CreateReceiver());
    }

    private static byte[] Rtp(ushort sequence, int payload, uint ssrc = Ssrc)
    {
        byte[] packet = new byte[12 + payload];
        packet[0] = 0x80;
        packet[1] = 111;
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(2), sequence);
        BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(8), ssrc);
        for (int i = 12; i < packet.Length; i++)
            packet[i] = (byte)(i * 31);
        return packet;
    }

    private static byte[] Rtcp(int length)
    {
        byte[] packet = new byte[length];
        packet[0] = 0x80;
        packet[1] = 201;
        BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(4), Ssrc);
        for (int i = 8; i < length; i++)
            packet[i] = (byte)i;
        return packet;
    }

    private static byte[] Protect(SrtpSender sender, ushort sequence, uint ssrc = Ssrc)
    {
        byte[] packet = [.. Rtp(sequence, 50, ssrc), .. new byte[16]];
        Assert.True(sender.ProtectRtp(packet, 62, out int length));
        return packet[..length];
    }
}
