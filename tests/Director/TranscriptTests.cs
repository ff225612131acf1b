using System.Net;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Tokens;
using Transcribe.Director.Tests.Support;
using Transcribe.Director.Transcripts;

namespace Transcribe.Director.Tests;

public class TranscriptTests
{
    private static readonly DateTimeOffset Start = new(2026, 11, 22, 10, 0, 0, TimeSpan.Zero);

    [Fact]
    public async Task Web_vtt_has_a_cue_a_segment_in_the_order_of_speech()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await FillAsync(server);
        HttpResponseMessage response = await server.SendAsync(HttpMethod.Get, "/v1/rooms/demo/transcript?format=vtt", token: server.Token());
        Assert.Equal("text/vtt", response.Content.Headers.ContentType?.MediaType);
        Assert.Equal(
            "WEBVTT\n\n"
            + "NOTE Room demo; 00:00:00.000 is 2026-11-22T10:00:00.120Z\n\n"
            + "SEG1\n00:00:00.000 --> 00:00:01.280\n<v Alice &lt;CEO&gt;>We sell R&amp;D --&gt; &lt;b&gt;now&lt;/b&gt;</v>\n\n"
            + "SEG2\n01:02:03.000 --> 01:02:04.500\n<v bob>two lines</v>\n\n",
            await response.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Sub_rip_is_numbered_and_has_no_tags()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await FillAsync(server);
        HttpResponseMessage response = await server.SendAsync(HttpMethod.Get, "/v1/rooms/demo/transcript?format=srt");
        Assert.Equal(
            "1\n00:00:00,000 --> 00:00:01,280\nAlice ‹CEO›: We sell R&D --› ‹b›now‹/b›\n\n"
            + "2\n01:02:03,000 --> 01:02:04,500\nbob: two lines\n\n",
            await response.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Text_is_a_line_a_segment()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await FillAsync(server);
        HttpResponseMessage response = await server.SendAsync(HttpMethod.Get, "/v1/rooms/demo/transcript?format=txt");
        Assert.Equal("[00:00:00] Alice <CEO>: We sell R&D --> <b>now</b>\n[01:02:03] bob: two lines\n", await response.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Json_has_everything_and_can_be_read_on_from_a_segment()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await FillAsync(server);
        TranscriptDocument all = await DirectorServer.ReadAsync<TranscriptDocument>(await server.SendAsync(HttpMethod.Get, "/v1/rooms/demo/transcript"));
        Assert.Equal(("demo", Start.AddMilliseconds(120)), (all.Room, all.Start));

        // What was said first comes first, though it was appended second.
        Assert.Equal([("SEG1", 2L, 0L, 1280L), ("SEG2", 1, 3_723_000, 1500)], all.Segments.Select(s => (s.Segment, s.Sequence, s.OffsetMs, s.DurationMs)));
        Assert.Equal(4294960000u, all.Segments[0].Rtp.Start);
        TranscriptDocument rest = await DirectorServer.ReadAsync<TranscriptDocument>(
            await server.SendAsync(HttpMethod.Get, "/v1/rooms/demo/transcript?format=json&after=1"));
        Assert.Equal("SEG1", Assert.Single(rest.Segments).Segment);
    }

    [Fact]
    public async Task A_segment_without_wall_clock_times_ends_when_it_came_and_lasts_as_long_as_its_audio()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();

        // The RTP timestamps wrap around in it.
        await server.Transcripts.AppendAsync(Caption("SEG1", "x", null, uint.MaxValue - 23_999, 24_000), null);
        TranscriptLine line = Assert.Single(
            (await DirectorServer.ReadAsync<TranscriptDocument>(await server.SendAsync(HttpMethod.Get, "/v1/rooms/demo/transcript"))).Segments);
        Assert.Equal((Start.AddSeconds(-1), Start), (line.Start, line.End));
    }

    [Fact]
    public async Task A_room_that_never_was_has_an_empty_transcript_in_every_format()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        Assert.Empty((await DirectorServer.ReadAsync<TranscriptDocument>(await server.SendAsync(HttpMethod.Get, "/v1/rooms/none/transcript"))).Segments);
        Assert.Equal("WEBVTT\n\n", await (await server.SendAsync(HttpMethod.Get, "/v1/rooms/none/transcript?format=vtt")).Content.ReadAsStringAsync());
        Assert.Equal("", await (await server.SendAsync(HttpMethod.Get, "/v1/rooms/none/transcript?format=srt")).Content.ReadAsStringAsync());
    }

    [Theory]
    [InlineData("?format=docx")]
    [InlineData("?after=-1")]
    [InlineData("?after=x")]
    public async Task What_cannot_be_asked_is_refused(string query)
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Get, "/v1/rooms/demo/transcript" + query), HttpStatusCode.BadRequest, "bad_request");
    }

    [Fact]
    public async Task Only_who_may_listen_may_read()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        const string Path = "/v1/rooms/demo/transcript";
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Get, Path, token: ""), HttpStatusCode.Unauthorized, "credentials_missing");
        await DirectorServer.AssertProblemAsync(
            await server.SendAsync(HttpMethod.Get, Path, token: server.Token(grants: new Grants { Publish = true })), HttpStatusCode.Forbidden, "not_granted");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Get, Path, token: server.Token(room: "other")), HttpStatusCode.Forbidden, "wrong_room");
    }

    private static async Task FillAsync(DirectorServer server)
    {
        DateTimeOffset later = Start.AddMilliseconds(120) + new TimeSpan(1, 2, 3);
        await server.Transcripts.AppendAsync(
            Caption("SEG2", "two\r\nlines", new CaptionNtp(later, later.AddMilliseconds(1500)), 1000, 2000) with { Participant = "bob", Track = "TR_b" }, null);
        await server.Transcripts.AppendAsync(
            Caption("SEG1", "We sell R&D --> <b>now</b>", new CaptionNtp(Start.AddMilliseconds(120), Start.AddMilliseconds(1400)), 4294960000, 100), "Alice <CEO>");
    }

    private static CaptionMessage Caption(string segment, string text, CaptionNtp? ntp, uint start, uint end) =>
        new("demo", "alice", "TR_a", segment, 3, true, "en", text, text.Length, new CaptionRtp(1, 48000, start, end), [], ntp, "pocketsphinx/en-us");
}
