using Microsoft.Extensions.DependencyInjection;
using Microsoft.Playwright;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Sfu;
using Transcribe.EndToEnd.Tests.Support;

namespace Transcribe.EndToEnd.Tests;

/// <summary>The page when what it is connected to is lost, without a cluster: one server says what a cluster's nodes would.</summary>
public sealed class ClusterHealingTests
{
    [Fact]
    public async Task A_session_lost_with_its_media_node_is_set_up_anew_on_screen()
    {
        await using HostedServer server = await HostedServer.StartAsync();
        await using Chromium browser = await Chromium.StartAsync(microphone: null);
        IPage alice = await browser.JoinAsync(server.Url, "Alice", server.Token("healing", "alice"));
        IPage bob = await browser.JoinAsync(server.Url, "Bob", server.Token("healing", "bob"));
        await Pages.WaitAsync(alice, Pages.VideoAdvances, 30_000);
        await Pages.WaitAsync(bob, Pages.VideoAdvances, 30_000);
        await bob.EvaluateAsync(Pages.NoteChanges);
        await bob.Keyboard.PressAsync("m");

        string session = await bob.EvaluateAsync<string>("() => window.transcribeRoom.sessionId");
        await server.Services.GetRequiredService<IMessageBus>().PublishAsync<SfuSessionEvent>(SfuSubjects.SessionEvents(session), new SessionClosed("nodeLost"));
        await bob.Locator("#connection-status").WaitForAsync(new LocatorWaitForOptions { Timeout = 5_000 });
        await bob.ScreenshotAsync(new PageScreenshotOptions { Path = Path.Combine(Repository.Output, "reconnecting.png") });
        await Pages.WaitAsync(bob, "() => window.changes.at(-1)?.what === 'reconnected'");
        await bob.ScreenshotAsync(new PageScreenshotOptions { Path = Path.Combine(Repository.Output, "reconnected.png") });
        await Pages.WaitAsync(bob, Pages.VideoAdvances);
        await Pages.WaitAsync(alice, "() => window.transcribeRoom.subscriptions.filter((s) => s.info.participant === 'bob').length === 2");
        await Pages.WaitAsync(alice, Pages.VideoAdvances);

        Assert.Equal(
            ["reconnecting", "moved rejoined", "reconnected"],
            await bob.EvaluateAsync<string[]>("() => window.changes.map((c) => c.what)"));
        Assert.Equal("2 participants", await alice.Locator("#participant-count").TextContentAsync());

        // Muted he was, and is.
        Assert.True(await alice.Locator("article[data-tile=bob] .muted").IsVisibleAsync());
        await bob.Locator("#connection-status").WaitForAsync(new LocatorWaitForOptions { State = WaitForSelectorState.Hidden, Timeout = 5_000 });
    }
}
