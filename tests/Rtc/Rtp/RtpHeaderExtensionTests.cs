using CsCheck;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Rtc.Tests.Rtp;

public sealed class RtpHeaderExtensionTests
{
    [Fact]
    public void Round_trips_every_audio_level_byte()
    {
        for (int value = 0; value < 256; value++)
        {
            Assert.True(AudioLevel.TryRead([(byte)value], out AudioLevel level));
            Assert.Equal(value, level.ToByte());
        }
    }

    [Fact]
    public void Round_trips_every_video_orientation()
    {
        for (int value = 0; value < 16; value++)
        {
            Assert.True(VideoOrientation.TryRead([(byte)value], out VideoOrientation orientation));
            Assert.Equal(value, orientation.ToByte());
        }

        Assert.True(VideoOrientation.TryRead([0x0D], out VideoOrientation back));
        Assert.Equal(new VideoOrientation(90, Flipped: true, BackCamera: true), back);
    }

    [Theory]
    [InlineData(0, 0u)]
    [InlineData(1_000, 1u << 18)]
    [InlineData(500, 1u << 17)]
    [InlineData(64_000, 0u)]
    [InlineData(65_250, (1u << 18) + (1u << 16))]
    public void Writes_send_time_as_seconds_modulo_64_in_6_18_fixed_point(int milliseconds, uint expected)
    {
        Assert.Equal(expected, AbsoluteSendTime.Of(Instant.Zero + TimeSpan.FromMilliseconds(milliseconds)).Value);
    }

    [Fact]
    public void Measures_send_time_differences_across_the_wrap()
    {
        Gen.Select(Gen.Long[0, long.MaxValue / 4], Gen.Int[-31_000, 31_000]).Sample((ticks, milliseconds) =>
        {
            Instant start = new(ticks + TimeSpan.FromMinutes(1).Ticks);
            TimeSpan apart = TimeSpan.FromMilliseconds(milliseconds);
            TimeSpan measured = AbsoluteSendTime.Of(start + apart).Since(AbsoluteSendTime.Of(start));
            Assert.InRange((measured - apart).TotalMicroseconds, -8, 8);
        });
    }

    [Fact]
    public void Round_trips_send_time_bytes()
    {
        Gen.UInt[0, 0xFF_FFFF].Sample(value =>
        {
            Span<byte> bytes = stackalloc byte[3];
            new AbsoluteSendTime(value).Write(bytes);
            Assert.True(AbsoluteSendTime.TryRead(bytes, out AbsoluteSendTime read));
            Assert.Equal(value, read.Value);
        });
    }

    [Fact]
    public void Reads_a_transport_sequence_number_with_or_without_a_feedback_request()
    {
        Assert.True(TransportSequenceNumber.TryRead([0x12, 0x34], out ushort plain));
        Assert.True(TransportSequenceNumber.TryRead([0x12, 0x34, 0x80, 0x01], out ushort versionTwo));
        Assert.Equal((0x1234, 0x1234), (plain, versionTwo));
        Assert.False(TransportSequenceNumber.TryRead([0x12], out _));
    }

    [Fact]
    public void Takes_mids_and_rids_only_as_short_tokens()
    {
        Assert.True(SdesExtension.TryRead("hi-res_1"u8, out string rid));
        Assert.Equal("hi-res_1", rid);
        Assert.False(SdesExtension.TryRead(""u8, out _));
        Assert.False(SdesExtension.TryRead("a b"u8, out _));
        Assert.False(SdesExtension.TryRead("a\r"u8, out _));
        Assert.False(SdesExtension.TryRead([0xC3, 0xA9], out _));
        Assert.False(SdesExtension.TryRead("seventeen-letters"u8, out _));
        Assert.True(SdesExtension.Equals("12"u8, "12"));
        Assert.False(SdesExtension.Equals("12"u8, "1"));
    }

    [Fact]
    public void Never_maps_extensions_that_describe_one_hop()
    {
        (int, string)[] all =
        [
            (1, RtpExtensionUris.Mid), (2, RtpExtensionUris.AbsoluteSendTime), (3, RtpExtensionUris.TransportSequenceNumber),
            (4, RtpExtensionUris.RtpStreamId), (5, RtpExtensionUris.RepairedRtpStreamId), (6, RtpExtensionUris.VideoOrientation),
        ];
        RtpExtensionMap map = RtpExtensionMap.Between(new RtpExtensionIds(all), new RtpExtensionIds(all));
        Assert.Equal([0, 0, 0, 0, 0, 6], Enumerable.Range(1, 6).Select(id => (int)map[(byte)id]));
    }
}
