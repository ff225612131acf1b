using CsCheck;
using Transcribe.Rtc.Codecs;

namespace Transcribe.Rtc.Tests.Codecs;

public sealed class CodecTests
{
    [Theory]
    [InlineData("00", 480)] // SILK, 10 ms
    [InlineData("08", 960)]
    [InlineData("10", 1920)]
    [InlineData("18", 2880)]
    [InlineData("19", 5760)] // SILK, two frames of 60 ms
    [InlineData("60", 480)] // hybrid, 10 ms
    [InlineData("78", 960)] // hybrid, 20 ms
    [InlineData("E0", 120)] // CELT, 2.5 ms
    [InlineData("FC", 960)] // CELT, 20 ms, stereo
    [InlineData("7B03", 2880)] // code 3: three frames of 20 ms
    [InlineData("FF86", 5760)] // code 3, VBR, six frames of 20 ms
    public void Opus_tells_its_duration(string hex, int ticks)
    {
        Assert.True(OpusPacket.TryGetDuration(Convert.FromHexString(hex), out int found));
        Assert.Equal(ticks, found);
    }

    [Theory]
    [InlineData("")]
    [InlineData("7B")] // code 3 without a count
    [InlineData("7B00")] // no frame
    [InlineData("7B07")] // 140 ms
    [InlineData("1B03")] // 180 ms
    public void Opus_without_a_lawful_duration_is_refused(string hex)
    {
        Assert.False(OpusPacket.TryGetDuration(Convert.FromHexString(hex), out _));
    }

    [Fact]
    public void Vp8_reads_a_full_descriptor()
    {
        // X S, I L T K, 15-bit picture id 0x1234, tl0 0x56, tid 2 with sync, keyidx 9; then a keyframe of 640x360
        byte[] payload = Convert.FromHexString("90F0" + "9234" + "56" + "A9" + "3042009D012A8002680100");
        Assert.True(Vp8PayloadDescriptor.TryParse(payload, out Vp8PayloadDescriptor d));
        Assert.Equal(6, d.Length);
        Assert.Equal(((ushort)0x1234, true, 2), (d.PictureId!.Value, d.HasLongPictureId, d.PictureIdOffset));
        Assert.Equal(((byte)0x56, 4), (d.Tl0PictureIndex!.Value, d.Tl0PictureIndexOffset));
        Assert.Equal(((byte)2, true, (byte)9), (d.TemporalLayer!.Value, d.IsLayerSync, d.KeyIndex!.Value));
        Assert.True(d.StartsFrame);
        Assert.True(PayloadFormats.IsKeyframe(PayloadFormat.Vp8, payload));
    }

    [Theory]
    [InlineData("1000", true)] // minimal descriptor, start of partition 0, P = 0
    [InlineData("1001", false)] // P = 1: an inter frame
    [InlineData("0000", false)] // not the start
    [InlineData("1100", false)] // start of partition 1
    [InlineData("10", false)] // nothing behind the descriptor
    [InlineData("9080", false)] // descriptor cut off
    [InlineData("908011", false)] // 7-bit picture id, then nothing
    [InlineData("90801100", true)] // 7-bit picture id
    public void Vp8_knows_keyframes(string hex, bool keyframe)
    {
        Assert.Equal(keyframe, Vp8PayloadDescriptor.IsKeyframe(Convert.FromHexString(hex)));
    }

    [Fact]
    public void Vp9_reads_a_descriptor_as_Chrome_sends_it()
    {
        // I L B V, non-flexible; picture id 0x0102 (15 bits); tid 1, sid 0; tl0 7; structure of 3 layers with sizes and pictures
        byte[] payload = Convert.FromHexString(
            "AA" + "8102" + "20" + "07"
            + "58" + "014000B4" + "02800168" + "050002D0" + "02" + "0401" + "280203"
            + "AABB");
        Assert.True(Vp9PayloadDescriptor.TryParse(payload, out Vp9PayloadDescriptor d));
        Assert.Equal(payload.Length - 2, d.Length);
        Assert.Equal(((ushort)0x0102, true, 1), (d.PictureId!.Value, d.HasLongPictureId, d.PictureIdOffset));
        Assert.Equal(((byte)1, (byte)0, (byte)7, 4), (d.TemporalLayer!.Value, d.SpatialLayer!.Value, d.Tl0PictureIndex!.Value, d.Tl0PictureIndexOffset));
        Assert.Equal(3, d.SpatialLayerCount);
        Assert.True(PayloadFormats.IsKeyframe(PayloadFormat.Vp9, payload));
    }

    [Theory]
    [InlineData("0801", true)] // start of a frame that is not predicted
    [InlineData("4801", false)] // P
    [InlineData("0001", false)] // not the start
    [InlineData("28020001", false)] // spatial layer 1
    [InlineData("28000001", true)] // spatial layer 0 with tl0
    [InlineData("08", false)] // nothing behind the descriptor
    [InlineData("5803030301", false)] // flexible: more than three references
    public void Vp9_knows_keyframes(string hex, bool keyframe)
    {
        Assert.Equal(keyframe, Vp9PayloadDescriptor.IsKeyframe(Convert.FromHexString(hex)));
    }

    [Theory]
    [InlineData("65B800", H264Content.Idr, true)]
    [InlineData("67420015", H264Content.SequenceParameterSet, true)]
    [InlineData("68CE", H264Content.PictureParameterSet, false)]
    [InlineData("419A", H264Content.Slice, false)]
    [InlineData("06", H264Content.Other, false)]
    [InlineData("78" + "000267420002" + "68CE", H264Content.SequenceParameterSet | H264Content.PictureParameterSet, true)]
    [InlineData("78" + "000268CE" + "000265B8", H264Content.PictureParameterSet | H264Content.Idr, true)]
    [InlineData("7C85B8", H264Content.Idr, true)] // FU-A, start
    [InlineData("7C05B8", H264Content.Continuation, false)] // FU-A, middle
    [InlineData("7C819A", H264Content.Slice, false)]
    public void H264_tells_what_a_payload_carries(string hex, H264Content content, bool keyframe)
    {
        byte[] payload = Convert.FromHexString(hex);
        Assert.True(H264Payload.TryRead(payload, out H264Content read));
        Assert.Equal(content, read);
        Assert.Equal(keyframe, PayloadFormats.IsKeyframe(PayloadFormat.H264, payload));
    }

    [Theory]
    [InlineData("")]
    [InlineData("78")] // STAP-A of nothing
    [InlineData("78000967")] // a unit that overruns
    [InlineData("780000")] // an empty unit
    [InlineData("7C")] // FU-A without its header
    [InlineData("79000167")] // STAP-B
    [InlineData("00")]
    public void H264_rejects(string hex)
    {
        byte[] payload = Convert.FromHexString(hex);
        Assert.False(H264Payload.TryRead(payload, out _));
        Assert.False(H264Payload.IsKeyframe(payload));
    }

    [Theory]
    [InlineData("180A0B", true)] // N, one element
    [InlineData("100A0B", true)] // sequence header OBU, N forgotten
    [InlineData("20030A0B0C", true)] // two elements: a length, then a sequence header
    [InlineData("1032", false)] // a frame OBU
    [InlineData("900A", false)] // continues an OBU
    [InlineData("980A", false)] // continues and starts a sequence: contradiction
    [InlineData("18", false)] // no element
    [InlineData("00808080808080808080", false)] // a length that never ends
    public void Av1_knows_the_start_of_a_sequence(string hex, bool keyframe)
    {
        Assert.Equal(keyframe, Av1Payload.IsKeyframe(Convert.FromHexString(hex)));
    }

    [Fact]
    public void Names_formats_without_case()
    {
        Assert.Equal(PayloadFormat.H264, PayloadFormats.Of("h264"));
        Assert.Equal(PayloadFormat.Opus, PayloadFormats.Of("opus"));
        Assert.Equal(PayloadFormat.Unknown, PayloadFormats.Of("H265"));
        Assert.True(PayloadFormats.IsKeyframe(PayloadFormat.Unknown, []));
    }

    [Fact]
    public void Never_throws_on_random_bytes()
    {
        Gen.Byte.Array[0, 40].Sample(payload =>
        {
            foreach (PayloadFormat format in Enum.GetValues<PayloadFormat>())
                PayloadFormats.IsKeyframe(format, payload);
            if (OpusPacket.TryGetDuration(payload, out int ticks))
                Assert.InRange(ticks, 120, OpusPacket.MaxTicks);
            if (Vp8PayloadDescriptor.TryParse(payload, out Vp8PayloadDescriptor vp8))
                Assert.InRange(vp8.Length, 1, payload.Length);
            if (Vp9PayloadDescriptor.TryParse(payload, out Vp9PayloadDescriptor vp9))
                Assert.InRange(vp9.Length, 1, payload.Length);
        }, iter: 20_000);
    }
}
