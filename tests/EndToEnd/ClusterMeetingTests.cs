using System.Globalization;
using Microsoft.Playwright;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Tokens;
using Transcribe.EndToEnd.Tests.Support;
using Transcribe.LocalCluster;

namespace Transcribe.EndToEnd.Tests;

/// <summary>The page on a real cluster: Redis, a director, two signalling nodes, three SFU nodes, two gateways, each a process.</summary>
public sealed class ClusterMeetingTests(ITestOutputHelper output)
{
    private const string Room = "cluster-meeting";

    /// <summary>Media node of a page's own participant, as the room knows it.</summary>
    private const string OwnNode = """
        () => { const room = window.transcribeRoom; return room.participants.find((p) => p.id === room.localParticipantId).tracks[0]?.node ?? ""; }
        """;

    private const string NoteCaptions = """
        () => {
          window.captions = [];
          window.transcribeRoom.captions.on("caption", (c) => window.captions.push({ participant: c.participant, segment: c.segment, rev: c.rev, final: c.final, text: c.text, at: performance.now() }));
        }
        """;

    /// <summary>Segments that were final more than once.</summary>
    private const string FinalsTwice = """
        () => {
          const finals = window.captions.filter((c) => c.final).map((c) => c.segment);
          return finals.filter((s, i) => finals.indexOf(s) !== i).join();
        }
        """;

    private readonly ClusterPlan _plan = new() { HttpPort = 0, Regions = ["east", "west"] };

    [Theory]
    [InlineData("west")]
    [InlineData("east")]
    public async Task Two_people_see_hear_and_read_each_other_and_a_killed_media_node_heals_on_screen(string bobsRegion)
    {
        bool apart = bobsRegion == "west";
        await using ClusterLog log = new();
        await using ClusterSupervisor cluster = await StartAsync(log);
        await using Chromium browser = await Chromium.StartAsync(Repository.MeetingWav);
        IPage alice = await JoinAsync(browser, cluster, "Alice", "east", admin: true);
        IPage bob = await JoinAsync(browser, cluster, "Bob", bobsRegion);
        await SeeAndHearEachOtherAsync(alice, bob, 30_000);

        (string aliceNode, string bobNode) = (await alice.EvaluateAsync<string>(OwnNode), await bob.EvaluateAsync<string>(OwnNode));
        string[] hubs = [await HubAsync(alice), await HubAsync(bob)];
        output.WriteLine($"Alice: {aliceNode} by {hubs[0]}; Bob: {bobNode} by {hubs[1]}");
        Assert.Equal(apart, aliceNode != bobNode);
        Assert.Equal(apart, hubs[0] != hubs[1]);

        await alice.Locator("#toggle-transcription").ClickAsync();
        await Pages.WaitAsync(bob, "() => window.captions.some((c) => c.participant === 'alice' && c.final)", 90_000);
        await Pages.WaitAsync(alice, "() => window.captions.some((c) => c.participant === 'bob' && c.final)", 60_000);

        IPage[] moved = apart ? [bob] : [alice, bob];
        foreach (IPage page in (IPage[])[alice, bob])
            await page.EvaluateAsync("() => { window.killedAt = performance.now(); }");
        cluster.Of(NodeRole.Sfu).Single(node => node.NodeId == bobNode).Kill();
        foreach (IPage page in moved)
            await Pages.WaitAsync(page, "() => window.changes.some((c) => c.what === 'reconnected')", 20_000);
        await SeeAndHearEachOtherAsync(alice, bob, 20_000);
        foreach (IPage page in moved)
        {
            output.WriteLine("Milliseconds after SIGKILL: " + await page.EvaluateAsync<string>(
                "() => window.changes.map((c) => `${c.what} ${Math.round(c.at - window.killedAt)}`).join(', ')"));
            Assert.Equal("reconnecting,moved nodeLost,reconnected", await ChangesAsync(page));
            Assert.NotEqual(bobNode, await page.EvaluateAsync<string>(OwnNode));
        }

        if (apart)
            Assert.Equal("", await ChangesAsync(alice));
        Assert.Equal("2 participants", await bob.Locator("#participant-count").TextContentAsync());
        Assert.Equal("2 participants", await alice.Locator("#participant-count").TextContentAsync());

        // They read each other again, each sentence once.
        foreach (IPage page in (IPage[])[alice, bob])
            await page.EvaluateAsync("() => { window.healedAt = performance.now(); }");
        await Pages.WaitAsync(bob, "() => window.captions.some((c) => c.participant === 'alice' && c.final && c.at > window.healedAt)", 60_000);
        await Pages.WaitAsync(alice, "() => window.captions.some((c) => c.participant === 'bob' && c.final && c.at > window.healedAt)", 60_000);
        foreach (IPage page in (IPage[])[alice, bob])
            Assert.Equal("", await page.EvaluateAsync<string>(FinalsTwice));

        // What the old connection left half said has gone by now, or goes.
        await Pages.WaitAsync(
            bob,
            """
            () => performance.now() > window.healedAt + 6000 && document.querySelectorAll(".lines li.interim").length <= 2
              && document.querySelector("article.tile:not(.local) .caption")?.textContent
            """,
            60_000);
        await bob.ScreenshotAsync(new PageScreenshotOptions { Path = Path.Combine(Repository.Output, $"cluster-healed-{bobsRegion}.png") });
    }

    [Fact]
    public async Task A_killed_signalling_node_leaves_pictures_and_sound_alone()
    {
        await using ClusterLog log = new();
        await using ClusterSupervisor cluster = await StartAsync(log);
        await using Chromium browser = await Chromium.StartAsync(Repository.MeetingWav);
        IPage alice = await JoinAsync(browser, cluster, "Alice", "east");
        IPage bob = await JoinAsync(browser, cluster, "Bob", "west");
        await Pages.WaitAsync(alice, Pages.VideoAdvances, 30_000);
        await Pages.WaitAsync(bob, Pages.VideoAdvances, 30_000);

        var hub = new Uri(await HubAsync(bob));
        await bob.EvaluateAsync("() => { window.killedAt = performance.now(); }");
        cluster.Of(NodeRole.Signaling).Single(node => node.Url?.Port == hub.Port).Kill();
        await Pages.WaitAsync(bob, "() => window.changes.at(-1)?.what === 'reconnected'", 20_000);
        output.WriteLine("Milliseconds after SIGKILL: " + await bob.EvaluateAsync<string>(
            "() => window.changes.map((c) => `${c.what} ${Math.round(c.at - window.killedAt)}`).join(', ')"));
        Assert.Equal("reconnecting,reconnected", await ChangesAsync(bob));
        Assert.True(await bob.EvaluateAsync<bool>("() => window.firstConnection === window.transcribeRoom.peerConnection && window.firstConnection.connectionState === 'connected'"));
        Assert.NotEqual(hub.ToString(), await HubAsync(bob));
        await Pages.WaitAsync(bob, Pages.VideoAdvances);

        // It hears what happens from now on.
        await alice.Keyboard.PressAsync("m");
        await bob.Locator("article[data-tile=alice] .muted").WaitForAsync(new LocatorWaitForOptions { Timeout = 5_000 });
        await bob.Keyboard.PressAsync("m");
        await Pages.WaitAsync(bob, "() => window.transcribeRoom.publications.find((p) => p.source === 'microphone')?.muted");
        await Pages.WaitAsync(alice, "() => window.transcribeRoom.participants.find((p) => p.id === 'bob').tracks.some((t) => t.muted)");
        await alice.Locator("article[data-tile=bob] .muted").WaitForAsync(new LocatorWaitForOptions { Timeout = 5_000 });
        Assert.Equal("2 participants", await alice.Locator("#participant-count").TextContentAsync());
    }

    private Task<ClusterSupervisor> StartAsync(ClusterLog log) => ClusterSupervisor.StartAsync(_plan, log.Write, TestContext.Current.CancellationToken);

    private async Task<IPage> JoinAsync(Chromium browser, ClusterSupervisor cluster, string name, string region, bool admin = false)
    {
        var grants = new Grants { Publish = true, Subscribe = true, PublishData = true, Admin = admin };
        string token = new AccessTokenMinter(_plan.Keys, TimeProvider.System).Mint(Room, name.ToLower(CultureInfo.InvariantCulture), grants);
        IPage page = await browser.JoinAsync(cluster.Url, name, token, $"&region={region}");
        await page.EvaluateAsync(Pages.NoteChanges);
        await page.EvaluateAsync(NoteCaptions);
        return page;
    }

    private static async Task SeeAndHearEachOtherAsync(IPage alice, IPage bob, int milliseconds)
    {
        foreach (IPage page in (IPage[])[alice, bob])
        {
            await Pages.WaitAsync(page, Pages.VideoAdvances, milliseconds);
            await Pages.WaitAsync(page, Pages.SoundIsHeard, milliseconds);
        }
    }

    private static Task<string> ChangesAsync(IPage page) => page.EvaluateAsync<string>("() => window.changes.map((c) => c.what).join()");

    private static Task<string> HubAsync(IPage page) => page.EvaluateAsync<string>("() => window.transcribeRoom.hubUrl");

    /// <summary>What the processes print, kept where a failed run can be looked into.</summary>
    private sealed class ClusterLog : IAsyncDisposable
    {
        private readonly Lock _gate = new();
        private readonly StreamWriter _file = new(Path.Combine(Repository.Output, "cluster.log"));

        public void Write(string process, string line)
        {
            lock (_gate)
                _file.WriteLine($"{DateTime.UtcNow:HH:mm:ss.fff} {process,-12} {line}");
        }

        public async ValueTask DisposeAsync() => await _file.DisposeAsync();
    }
}
