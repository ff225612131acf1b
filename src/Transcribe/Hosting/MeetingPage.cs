using Microsoft.AspNetCore.StaticFiles;
using Microsoft.Extensions.FileProviders;
using Microsoft.Net.Http.Headers;

namespace Transcribe.Hosting;

/// <summary>Serves the built meeting page, with headers that keep it to itself.</summary>
internal static class MeetingPage
{
    private const string NotBuilt =
        """
        <!doctype html><html lang="en"><meta charset="utf-8"><title>Transcribe</title>
        <h1>The server runs; its page is not built.</h1>
        <p>Build it with <code>./run</code>, or with <code>npm ci &amp;&amp; npm run build</code> in <code>src/Client</code>, and start again.</p>
        <p>The HTTP API is described at <a href="/docs">/docs</a>.</p></html>
        """;

    private const string OwnHub = "'self' ws: wss:";

    // Signalling nodes come and go while the page is open, and a policy cannot be changed then.
    private const string AnyHub = "'self' http: https: ws: wss:";

    // The reference page comes with inline script and style.
    private const string DocsPolicy =
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        + "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

    /// <summary>The folder with the built page; null where there is none.</summary>
    public static string? Find(string? configured)
    {
        if (configured is not null)
            return IsBuilt(configured) ? Path.GetFullPath(configured) : null;

        string beside = Path.Combine(AppContext.BaseDirectory, "wwwroot");
        if (IsBuilt(beside))
            return beside;

        // In a checkout: upwards from the executable, then from where it was started.
        foreach (string start in (string[])[AppContext.BaseDirectory, Directory.GetCurrentDirectory()])
        {
            for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
            {
                string candidate = Path.Combine(folder.FullName, "src", "Client", "dist");
                if (IsBuilt(candidate))
                    return candidate;
            }
        }

        return null;
    }

    /// <param name="hubsElsewhere">The hub is on other origins than the page.</param>
    public static void UseSecurityHeaders(this IApplicationBuilder app, bool hubsElsewhere = false)
    {
        string page = PagePolicy(hubsElsewhere ? AnyHub : OwnHub);
        app.Use((http, next) =>
        {
            IHeaderDictionary headers = http.Response.Headers;
            headers.XContentTypeOptions = "nosniff";
            headers["Referrer-Policy"] = "no-referrer";
            headers["Permissions-Policy"] = "camera=(self), microphone=(self), display-capture=(self), autoplay=(self), fullscreen=(self), geolocation=()";
            headers.ContentSecurityPolicy = http.Request.Path.StartsWithSegments("/docs", StringComparison.Ordinal) ? DocsPolicy : page;
            return next(http);
        });
    }

    public static void UseMeetingPage(this WebApplication app, string? folder)
    {
        if (folder is null)
        {
            app.MapGet("/", () => Results.Content(NotBuilt, "text/html; charset=utf-8")).ExcludeFromDescription();
            return;
        }

        var files = new PhysicalFileProvider(folder);
        app.UseDefaultFiles(new DefaultFilesOptions { FileProvider = files });
        var types = new FileExtensionContentTypeProvider();
        types.Mappings[".webmanifest"] = "application/manifest+json";
        app.UseStaticFiles(new StaticFileOptions
        {
            FileProvider = files,
            ContentTypeProvider = types,
            OnPrepareResponse = context => context.Context.Response.Headers[HeaderNames.CacheControl] =
                // Vite puts a hash of the content into the names below assets/.
                context.Context.Request.Path.StartsWithSegments("/assets", StringComparison.Ordinal)
                    ? "public, max-age=31536000, immutable"
                    : "no-cache",
        });
    }

    private static string PagePolicy(string hubs) =>
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        + "media-src 'self' blob: mediastream:; connect-src " + hubs + "; worker-src 'self' blob:; object-src 'none'; "
        + "base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

    private static bool IsBuilt(string folder) => File.Exists(Path.Combine(folder, "index.html"));
}
