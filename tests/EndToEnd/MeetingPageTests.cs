using System.Text.Json;
using Microsoft.Playwright;
using Transcribe.AiGateway.Evaluation;
using Transcribe.Cluster.Tokens;
using Transcribe.EndToEnd.Tests.Support;

namespace Transcribe.EndToEnd.Tests;

/// <summary>Two people in real Chromium meet on the page, and read each other.</summary>
public sealed class MeetingPageTests
{
    private const int ClockRate = 48000;

    /// <summary>Keeps what the receiver reports as playout, and every caption with the moment it came.</summary>
    private const string Recorder = """
        () => {
          const room = window.transcribeRoom;
          const log = (window.recording = { playout: [], captions: [] });
          room.captions.on("caption", (c) => log.captions.push({ at: performance.now(), segment: c.segment, final: c.final, text: c.text, start: c.rtp.start, playout: c.playout }));
          setInterval(() => {
            for (const s of room.subscriptions.filter((s) => s.info.kind === "audio")) {
              const p = s.playout.sample();
              if (p) log.playout.push({ at: performance.now(), track: s.info.id, rtp: p.rtp, level: p.level ?? 0 });
            }
          }, 20);
        }
        """;

    [Fact]
    public async Task Two_people_see_hear_and_read_each_other_and_transcription_can_be_switched_off()
    {
        await using TranscribeServer server = await TranscribeServer.StartAsync();
        await using Chromium speaking = await Chromium.StartAsync(Repository.MeetingWav);
        await using Chromium listening = await Chromium.StartAsync(microphone: null);
        var admin = new Grants { Publish = true, Subscribe = true, PublishData = true, Admin = true };
        IPage alice = await speaking.JoinAsync(server, "Alice", server.Token("meeting", "alice", admin));
        IPage bob = await listening.JoinAsync(server, "Bob", server.Token("meeting", "bob"));

        await VideoAdvancesAsync(alice);
        await VideoAdvancesAsync(bob);
        await bob.EvaluateAsync(Recorder);
        Assert.True(await bob.Locator("#transcription-badge").IsHiddenAsync());

        await alice.Locator("#toggle-transcription").ClickAsync();
        await alice.Locator("#transcription-badge").WaitForAsync(new LocatorWaitForOptions { Timeout = 10_000 });
        await bob.Locator("#transcription-badge").WaitForAsync(new LocatorWaitForOptions { Timeout = 10_000 });

        await bob.WaitForFunctionAsync(
            "() => window.recording.captions.filter((c) => c.final).length >= 4", null, new PageWaitForFunctionOptions { Timeout = 90_000 });
        await bob.ScreenshotAsync(new PageScreenshotOptions { Path = Path.Combine(Repository.Output, "meeting.png") });

        // Nothing of it disturbed the pictures. The gateway is there, and nowhere to be seen.
        Assert.True(await bob.Locator("article.tile:not(.local) video").IsVisibleAsync());
        Assert.Equal("2 participants", await bob.Locator("#participant-count").TextContentAsync());
        Assert.Equal(2, await bob.Locator("article.tile").CountAsync());
        string summary = await RoomSummaryAsync(server);
        Assert.Contains("\"participants\":2", summary, StringComparison.Ordinal);

        Recording recording = await ReadAsync(bob);
        AssertTextIsWhatWasSaid(recording);
        AssertCaptionsMatchPlayout(recording);
        string transcript = await bob.Locator(".transcript .lines").InnerTextAsync();
        Assert.Contains("Alice", transcript, StringComparison.Ordinal);

        await alice.Locator("#toggle-transcription").ClickAsync();
        var hidden = new LocatorWaitForOptions { State = WaitForSelectorState.Hidden, Timeout = 2_000 };
        await bob.Locator("#transcription-badge").WaitForAsync(hidden);
        await alice.Locator("#transcription-badge").WaitForAsync(hidden);
        await Task.Delay(2_000);
        int before = (await ReadAsync(bob)).Captions.Count;
        await Task.Delay(8_000);
        Assert.Equal(before, (await ReadAsync(bob)).Captions.Count);

        await alice.Locator("#leave").ClickAsync();
        await bob.WaitForFunctionAsync("() => document.querySelectorAll('article.tile').length === 1", null, new PageWaitForFunctionOptions { Timeout = 5_000 });
    }

    private static async Task VideoAdvancesAsync(IPage page) =>
        await page.WaitForFunctionAsync(
            """
            async () => {
              let frames = 0;
              for (const s of (await window.transcribeRoom.peerConnection.getStats()).values())
                if (s.type === "inbound-rtp" && s.kind === "video") frames += s.framesDecoded ?? 0;
              const shown = [...document.querySelectorAll("article.tile:not(.local) video")].some((v) => v.checkVisibility() && v.videoWidth > 0 && v.currentTime > 0.5);
              return frames > 15 && shown;
            }
            """,
            null,
            new PageWaitForFunctionOptions { Timeout = 30_000, PollingInterval = 250 });

    private static async Task<string> RoomSummaryAsync(TranscribeServer server)
    {
        using HttpClient client = server.CreateKeyClient();
        return await client.GetStringAsync("/v1/rooms");
    }

    private static async Task<Recording> ReadAsync(IPage page) =>
        JsonSerializer.Deserialize<Recording>(await page.EvaluateAsync<string>("() => JSON.stringify(window.recording)"), JsonSerializerOptions.Web)!;

    private static void AssertTextIsWhatWasSaid(Recording recording)
    {
        SpeechFixture fixture = SpeechFixture.Parse(File.ReadAllText(Repository.MeetingJson));

        // The first final may be of a sentence that was half over when transcription was switched on.
        foreach (CaptionSample final in recording.Captions.Where(c => c.Final).Skip(1))
        {
            double best = fixture.Sentences.Min(s => WordErrorRate.Of(s.Text, final.Text).Rate);
            Assert.True(best <= 0.35, $"No sentence of the fixture is like \"{final.Text}\" ({best:P0}).");
        }
    }

    /// <summary>
    /// Each caption's start is where the receiver reports that the voice set in: the first playout sample with sound
    /// after a silence, within 300 ms.
    /// </summary>
    private static void AssertCaptionsMatchPlayout(Recording recording)
    {
        foreach (CaptionSample caption in recording.Captions.Where(c => c.Final).Skip(1))
        {
            PlayoutSample first = recording.Playout[0];
            Assert.True(unchecked((int)(caption.Start - first.Rtp)) > -ClockRate, "The caption lies before everything that was played.");
            Assert.NotNull(caption.Playout);
            Assert.True(unchecked((int)(caption.Playout.Value - caption.Start)) > 0, "The caption's start had not been played when it came.");

            double distance = Onsets(recording.Playout).Min(onset => Math.Abs(unchecked((int)(caption.Start - onset)) / (double)ClockRate));
            Assert.True(distance <= 0.3, $"\"{caption.Text}\" starts {distance * 1000:0} ms from the nearest onset of speech in the playout.");
        }
    }

    private static IEnumerable<uint> Onsets(IReadOnlyList<PlayoutSample> playout)
    {
        const double Audible = 0.004;
        uint? lastLoud = null;
        foreach (PlayoutSample sample in playout)
        {
            if (sample.Level < Audible)
                continue;
            if (lastLoud is not { } last || unchecked((int)(sample.Rtp - last)) > ClockRate / 2)
                yield return sample.Rtp;
            lastLoud = sample.Rtp;
        }
    }

    private sealed record Recording(IReadOnlyList<PlayoutSample> Playout, IReadOnlyList<CaptionSample> Captions);

    private sealed record PlayoutSample(double At, string Track, uint Rtp, double Level);

    private sealed record CaptionSample(double At, string Segment, bool Final, string Text, uint Start, uint? Playout);
}
