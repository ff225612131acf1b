using Transcribe.Cluster.Captions;

namespace Transcribe.AiGateway.Tests.Support;

/// <summary>What DESIGN section 4 promises of every stream of captions of one track.</summary>
internal static class CaptionRules
{
    public static void Check(IEnumerable<CaptionMessage> captions)
    {
        var last = new Dictionary<string, CaptionMessage>();
        CaptionMessage? lastFinal = null;
        foreach (CaptionMessage caption in captions)
        {
            if (last.TryGetValue(caption.Segment, out CaptionMessage? before))
            {
                Assert.False(before.Final, "a revision after the final one");
                Assert.Equal(before.Rev + 1, caption.Rev);
                Assert.Equal(before.Rtp.Start, caption.Rtp.Start);
                Assert.Equal(before.Text[..before.Stable], caption.Text[..Math.Min(before.Stable, caption.Text.Length)]);
                Assert.True(caption.Stable >= before.Stable, "the stable prefix shrank");
            }
            else
            {
                Assert.Equal(1, caption.Rev);
            }

            Assert.InRange(caption.Stable, 0, caption.Text.Length);
            uint previous = caption.Rtp.Start;
            foreach (CaptionWord word in caption.Words)
            {
                Assert.True(unchecked((int)(word.S - previous)) >= 0, "words out of order");
                Assert.True(unchecked((int)(word.E - word.S)) >= 0, "a word ends before it starts");
                Assert.True(unchecked((int)(caption.Rtp.End - word.E)) >= 0, "a word ends after its segment");
                previous = word.S;
            }

            if (caption.Final && lastFinal is not null && lastFinal.Rtp.Ssrc == caption.Rtp.Ssrc)
                Assert.True(unchecked((int)(caption.Rtp.Start - lastFinal.Rtp.End)) >= 0, "finals overlap or are out of order");
            if (caption.Final)
                lastFinal = caption;
            last[caption.Segment] = caption;
        }

        Assert.All(last.Values, caption => Assert.True(caption.Final, $"segment {caption.Segment} has no final"));
    }
}
