using Microsoft.Playwright;
using Transcribe.EndToEnd.Tests.Support;
using Transcribe.Peer;

namespace Transcribe.EndToEnd.Tests;

/// <summary>What people do in a meeting besides talking, in real Chromium.</summary>
public sealed class MeetingFeatureTests
{
    private const string ShareCanvas = """
        async () => {
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [320, 180];
          const context = canvas.getContext("2d");
          let n = 0;
          setInterval(() => { context.fillStyle = `hsl(${(n += 7)} 60% 50%)`; context.fillRect(0, 0, 320, 180); }, 50);
          window.shared = await window.transcribeRoom.publish(canvas.captureStream(15).getVideoTracks()[0], { source: "screen" });
        }
        """;

    private const string ScreenPlays = """
        () => {
          const video = document.querySelector("article.tile.screen video");
          return video?.checkVisibility() && video.videoWidth === 320 && video.currentTime > 0.3;
        }
        """;

    [Fact]
    public async Task Muting_sharing_a_screen_and_a_lost_connection_show_on_the_other_side()
    {
        await using TranscribeServer server = await TranscribeServer.StartAsync();
        await using var proxy = new CuttableProxy(server.HttpPort);
        await using Chromium browser = await Chromium.StartAsync(microphone: null);
        IPage alice = await browser.JoinAsync(server, "Alice", server.Token("features", "alice"));
        IPage bob = await browser.JoinAsync(proxy.Url, "Bob", server.Token("features", "bob"));
        ILocator muted = bob.Locator("article[data-tile=alice] .muted");
        await muted.WaitForAsync(new LocatorWaitForOptions { State = WaitForSelectorState.Hidden, Timeout = 10_000 });

        await alice.Keyboard.PressAsync("m");
        await muted.WaitForAsync(new LocatorWaitForOptions { Timeout = 5_000 });
        Assert.Equal("false", await alice.Locator("#toggle-microphone").GetAttributeAsync("aria-pressed"));
        await alice.Keyboard.PressAsync("m");
        await muted.WaitForAsync(new LocatorWaitForOptions { State = WaitForSelectorState.Hidden, Timeout = 5_000 });

        await alice.EvaluateAsync(ShareCanvas);
        await WaitAsync(bob, ScreenPlays);
        await alice.EvaluateAsync("() => window.transcribeRoom.unpublish(window.shared)");
        await WaitAsync(bob, "() => !document.querySelector('article.tile.screen')");

        // The same m-section is used again, and the freed slot too.
        await alice.EvaluateAsync(ShareCanvas);
        await WaitAsync(bob, ScreenPlays);

        await bob.EvaluateAsync("() => { window.connection = window.transcribeRoom.peerConnection; window.states = []; window.transcribeRoom.on('state', (s) => window.states.push(s)); }");
        proxy.Cut();
        await WaitAsync(bob, "() => window.states.join() === 'reconnecting,connected'");
        Assert.True(await bob.EvaluateAsync<bool>("() => window.connection === window.transcribeRoom.peerConnection && window.connection.connectionState === 'connected'"));

        // What happens after it is heard, and nothing of before is lost.
        await alice.Keyboard.PressAsync("m");
        await muted.WaitForAsync(new LocatorWaitForOptions { Timeout = 5_000 });
        Assert.Equal("2 participants", await bob.Locator("#participant-count").TextContentAsync());
        await WaitAsync(bob, ScreenPlays);
    }

    [Fact]
    public async Task More_speakers_than_the_page_has_receivers_for_are_all_received()
    {
        await using TranscribeServer server = await TranscribeServer.StartAsync();
        await using Chromium browser = await Chromium.StartAsync(microphone: null);
        IPage page = await browser.JoinAsync(server, "Alice", server.Token("crowd", "alice"));
        var speakers = new List<RoomClient>();
        for (int i = 0; i < 7; i++)
        {
            RoomClient speaker = await server.JoinAsync("crowd", $"speaker-{i}");
            speakers.Add(speaker);
            await speaker.PublishAudioAsync();
        }

        await WaitAsync(page, "() => window.transcribeRoom.subscriptions.filter((s) => s.info.kind === 'audio').length === 7");
        foreach (RoomClient speaker in speakers.Take(5))
            await speaker.LeaveAsync();
        await WaitAsync(page, "() => window.transcribeRoom.subscriptions.length === 2 && document.querySelectorAll('article.tile').length === 3");
        foreach (RoomClient speaker in speakers.Skip(5))
            await speaker.LeaveAsync();
    }

    private static async Task WaitAsync(IPage page, string condition)
    {
        try
        {
            await page.WaitForFunctionAsync(condition, null, new PageWaitForFunctionOptions { Timeout = 15_000, PollingInterval = 100 });
        }
        catch (TimeoutException)
        {
            string state = await page.EvaluateAsync<string>(
                "() => JSON.stringify({ states: window.states, participants: transcribeRoom.participants, subscriptions: transcribeRoom.subscriptions.map((s) => s.info) })");
            await page.ScreenshotAsync(new PageScreenshotOptions { Path = Path.Combine(Repository.Output, "failed.png") });
            Assert.Fail($"Not within 15 s: {condition}\n{state}");
        }
    }
}
