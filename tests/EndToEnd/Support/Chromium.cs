using Microsoft.Playwright;

namespace Transcribe.EndToEnd.Tests.Support;

/// <summary>Debian's Chromium with a microphone and a camera that play files.</summary>
public sealed class Chromium : IAsyncDisposable
{
    private readonly IPlaywright _playwright;
    private readonly IBrowser _browser;

    private Chromium(IPlaywright playwright, IBrowser browser) => (_playwright, _browser) = (playwright, browser);

    /// <param name="microphone">WAV file the microphone plays in a loop; null for silence.</param>
    public static async Task<Chromium> StartAsync(string? microphone)
    {
        string executable = new[] { "/usr/bin/chromium", "/usr/bin/chromium-browser" }.FirstOrDefault(File.Exists)
            ?? throw new InvalidOperationException("Chromium is missing: apt-get install chromium (./test does it).");
        IPlaywright playwright = await Playwright.CreateAsync();
        IBrowser browser = await playwright.Chromium.LaunchAsync(new BrowserTypeLaunchOptions
        {
            ExecutablePath = executable,
            Headless = true,
            Args =
            [
                "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", "--autoplay-policy=no-user-gesture-required", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
                $"--use-file-for-fake-audio-capture={microphone ?? SilentWav()}", $"--use-file-for-fake-video-capture={SmallVideo()}",
            ],
        });
        return new Chromium(playwright, browser);
    }

    /// <summary>Opens the page and joins with a token, as a person does.</summary>
    public Task<IPage> JoinAsync(TranscribeServer server, string name, string token) => JoinAsync(server.Url, name, token);

    /// <summary>As the other, at an origin.</summary>
    /// <param name="query">Further parameters of the page's address, from "&amp;" on.</param>
    public async Task<IPage> JoinAsync(Uri origin, string name, string token, string query = "")
    {
        IBrowserContext context = await _browser.NewContextAsync(new BrowserNewContextOptions
        {
            Permissions = ["microphone", "camera"],
            ViewportSize = new ViewportSize { Width = 1280, Height = 720 },
        });
        IPage page = await context.NewPageAsync();
        page.Console += (_, message) => Console.WriteLine($"[{name}] {message.Type}: {message.Text}");
        page.PageError += (_, error) => Console.WriteLine($"[{name}] error: {error}");
        await page.GotoAsync($"{origin}?name={name}{query}#token={token}");
        await page.Locator("#join").ClickAsync();
        await page.WaitForFunctionAsync("() => window.transcribeRoom?.state === 'connected'", null, new PageWaitForFunctionOptions { Timeout = 20_000 });
        return page;
    }

    public async ValueTask DisposeAsync()
    {
        await _browser.DisposeAsync();
        _playwright.Dispose();
    }

    private static string SilentWav()
    {
        string path = Path.Combine(Repository.Output, "silence.wav");
        int samples = 48000 * 2;
        using var writer = new BinaryWriter(File.Create(path));
        writer.Write("RIFF"u8);
        writer.Write(36 + samples * 2);
        writer.Write("WAVEfmt "u8);
        writer.Write(16);
        writer.Write((short)1);
        writer.Write((short)1);
        writer.Write(48000);
        writer.Write(96000);
        writer.Write((short)2);
        writer.Write((short)16);
        writer.Write("data"u8);
        writer.Write(samples * 2);
        writer.Write(new byte[samples * 2]);
        return path;
    }

    /// <summary>A 160x90 moving picture: two software encoders share two cores with everything else.</summary>
    private static string SmallVideo()
    {
        string path = Path.Combine(Repository.Output, "camera.y4m");
        if (File.Exists(path))
            return path;
        string temporary = path + Environment.ProcessId;
        using (FileStream file = File.Create(temporary))
        {
            file.Write("YUV4MPEG2 W160 H90 F15:1 Ip A1:1 C420mpeg2\n"u8);
            byte[] luma = new byte[160 * 90];
            byte[] chroma = new byte[80 * 45 * 2];
            for (int frame = 0; frame < 60; frame++)
            {
                for (int i = 0; i < luma.Length; i++)
                    luma[i] = (byte)(16 + ((i % 160) + (i / 160) + frame * 4) % 200);
                Array.Fill(chroma, (byte)(96 + frame));
                file.Write("FRAME\n"u8);
                file.Write(luma);
                file.Write(chroma);
            }
        }

        File.Move(temporary, path, overwrite: true);
        return path;
    }
}
