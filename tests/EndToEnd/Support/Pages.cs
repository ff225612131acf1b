using Microsoft.Playwright;

namespace Transcribe.EndToEnd.Tests.Support;

/// <summary>What tests ask of an open meeting page.</summary>
internal static class Pages
{
    /// <summary>True once pictures of somebody else are decoded and shown.</summary>
    public const string VideoAdvances = """
        async () => {
          let frames = 0;
          for (const s of (await window.transcribeRoom.peerConnection.getStats()).values())
            if (s.type === "inbound-rtp" && s.kind === "video") frames += s.framesDecoded ?? 0;
          const before = (window.framesBefore ??= new WeakMap());
          const pc = window.transcribeRoom.peerConnection;
          if (!before.has(pc)) before.set(pc, frames);
          const shown = [...document.querySelectorAll("article.tile:not(.local):not(.stale) video")].some((v) => v.checkVisibility() && v.videoWidth > 0);
          return frames > before.get(pc) + 10 && shown;
        }
        """;

    /// <summary>True once sound of somebody else is played out.</summary>
    public const string SoundIsHeard = """
        () => window.transcribeRoom.subscriptions.some((s) => s.info.kind === "audio" && (s.playout.sample()?.level ?? 0) > 0.004)
        """;

    /// <summary>Notes what the room tells of its connection, with the milliseconds of the page's clock.</summary>
    public const string NoteChanges = """
        () => {
          const room = window.transcribeRoom;
          const note = (what) => window.changes.push({ what, at: performance.now() });
          window.changes = [];
          window.firstConnection = room.peerConnection;
          room.on("reconnecting", () => note("reconnecting"));
          room.on("moved", ({ reason }) => note(`moved ${reason}`));
          room.on("reconnected", () => note("reconnected"));
          room.on("closed", ({ reason }) => note(`closed ${reason}`));
        }
        """;

    /// <summary>Waits for a condition in the page; on failure the state of the room is told and a screenshot kept.</summary>
    public static async Task WaitAsync(IPage page, string condition, int milliseconds = 15_000)
    {
        // Not WaitForFunction: it takes the promise of an async condition for a yes.
        var clock = System.Diagnostics.Stopwatch.StartNew();
        while (!await page.EvaluateAsync<bool>($"async () => !!(await ({condition})())"))
        {
            await Task.Delay(100);
            if (clock.ElapsedMilliseconds < milliseconds)
                continue;
            string state = await page.EvaluateAsync<string>(
                """
                () => JSON.stringify({ changes: window.changes, state: transcribeRoom.state, hub: transcribeRoom.hubUrl, pc: transcribeRoom.peerConnection?.connectionState,
                  publications: transcribeRoom.publications.map((p) => ({ source: p.source, muted: p.muted, trackId: p.trackId, mid: p.transceiver?.mid })), toasts: document.getElementById("toasts")?.innerText, participants: transcribeRoom.participants, subscriptions: transcribeRoom.subscriptions.map((s) => s.info) })
                """);
            await page.ScreenshotAsync(new PageScreenshotOptions { Path = Path.Combine(Repository.Output, "failed.png") });
            Assert.Fail($"Not within {milliseconds} ms: {condition}\n{state}");
        }
    }
}
