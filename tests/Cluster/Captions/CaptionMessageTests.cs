using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Time.Testing;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Transcripts;

namespace Transcribe.Cluster.Tests.Captions;

public class CaptionMessageTests
{
    // DESIGN §4's example, word for word but for the ellipsis.
    private const string Example =
        """
        {"v":1,"type":"caption","room":"demo","participant":"alice","track":"TR_8f2c","segment":"01JD0000000000000000000000","rev":4,"final":false,
         "lang":"en","text":"the quarterly budget","stable":12,
         "rtp":{"ssrc":305419896,"clock":48000,"start":3735928559,"end":3735990000},
         "words":[{"w":"the","s":3735928559,"e":3735936000,"p":0.97}],
         "ntp":{"start":"2026-11-22T10:00:00.120Z","end":"2026-11-22T10:00:01.400Z"},"engine":"whisper/base.en"}
        """;

    [Fact]
    public void Is_written_with_the_names_the_order_and_the_formats_of_the_design()
    {
        CaptionMessage caption = ClusterJson.Deserialize<CaptionMessage>(Example);
        Assert.Equal(3735928559u, caption.Rtp.Start);
        Assert.Equal(new DateTimeOffset(2026, 11, 22, 10, 0, 0, 120, TimeSpan.Zero), caption.Ntp!.Start);
        Assert.Equal(JsonNode.Parse(Example)!.ToJsonString(), ClusterJson.Serialize(caption));
    }

    [Fact]
    public async Task A_transcript_takes_the_final_of_a_piece_of_audio_once()
    {
        var store = NewStore();
        CaptionMessage interim = JsonSerializer.Deserialize<CaptionMessage>(Example, ClusterJson.Options)!;
        CaptionMessage final = interim with { Final = true };
        await Assert.ThrowsAsync<ArgumentException>(async () => await store.AppendAsync(interim, null));
        Assert.Equal(1, await store.AppendAsync(final, "Alice"));
        Assert.Equal(2, await store.AppendAsync(final with { Rtp = final.Rtp with { Start = 1 } }, "Alice"));
        Assert.Equal(1, await store.AppendAsync(final with { Text = "said by another gateway", Segment = "x" }, "Alice"));
        IReadOnlyList<TranscriptSegment> segments = await store.ReadAsync("demo");
        Assert.Equal([1L, 2], segments.Select(segment => segment.Sequence));
        Assert.Equal("the quarterly budget", segments[0].Caption.Text);
        Assert.Equal("Alice", segments[0].SpeakerName);
        Assert.Equal(2, Assert.Single(await store.ReadAsync("demo", 1)).Sequence);
        Assert.Single(await store.ReadAsync("demo", 0, 1));
        Assert.Empty(await store.ReadAsync("other"));
    }

    [Fact]
    public async Task A_transcript_has_one_writer_at_a_time()
    {
        TranscriptStore store = NewStore();
        CaptionMessage final = JsonSerializer.Deserialize<CaptionMessage>(Example, ClusterJson.Options)! with { Final = true };
        Assert.Null(await store.GetWriterAsync("demo"));
        Assert.True(await store.TryAppendAsync(final, "Alice", "1@a"));
        Assert.Equal("1@a", await store.GetWriterAsync("demo"));
        await store.OpenAsync("demo", "2@b");

        Assert.False(await store.TryAppendAsync(final with { Rtp = final.Rtp with { Start = 1 } }, "Alice", "1@a"));
        Assert.True(await store.TryAppendAsync(final with { Rtp = final.Rtp with { Start = 2 } }, "Alice", "2@b"));
        Assert.True(await store.TryAppendAsync(final with { Room = "other" }, "Alice", "1@a"));
        Assert.Equal([final.Rtp.Start, 2u], (await store.ReadAsync("demo")).Select(segment => segment.Caption.Rtp.Start));
        Assert.Equal(2u, Assert.Single(await store.ReadLastAsync("demo", 1)).Caption.Rtp.Start);
        Assert.Equal(2, (await store.ReadLastAsync("demo", 10)).Count);
        Assert.Empty(await store.ReadLastAsync("nowhere", 10));
    }

    private static TranscriptStore NewStore()
    {
        var time = new FakeTimeProvider();
        return new TranscriptStore(new InProcessEventLog(time), new InProcessStateStore(time));
    }
}
