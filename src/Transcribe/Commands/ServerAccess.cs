using System.CommandLine;
using System.Net.Http.Json;
using System.Text.Json;
using Transcribe.Cluster;
using Transcribe.Cluster.Tokens;

namespace Transcribe.Commands;

/// <summary>How a command reaches a server and gets a token for one of its rooms.</summary>
internal sealed class ServerAccess
{
    private readonly Option<string> _url = new("--url", "-u")
    {
        Description = "Origin of the server.",
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable("TRANSCRIBE_URL") ?? $"http://127.0.0.1:{Environment.GetEnvironmentVariable("TRANSCRIBE_HTTP_PORT") ?? "8080"}",
    };

    private readonly Option<string?> _token = new("--token", "-t") { Description = "Access token; otherwise one is made with the API key, or by a development server." };
    private readonly Option<string?> _key = new("--api-key") { Description = "API key; TRANSCRIBE_API_KEY by default." };
    private readonly Option<string?> _secret = new("--api-secret") { Description = "Its secret; TRANSCRIBE_API_SECRET by default (safer: arguments show in process lists)." };

    public void AddTo(Command command)
    {
        command.Add(_url);
        command.Add(_token);
        command.Add(_key);
        command.Add(_secret);
    }

    /// <exception cref="CommandException">It is no URL.</exception>
    public Uri Url(ParseResult arguments)
    {
        string url = arguments.GetRequiredValue(_url);
        return Uri.TryCreate(url, UriKind.Absolute, out Uri? parsed) && parsed.Scheme is "http" or "https"
            ? parsed
            : throw new CommandException($"The server's URL is \"{url}\". Give --url (or TRANSCRIBE_URL) one like http://127.0.0.1:8080.");
    }

    /// <summary>The key given on the command line or in the environment; null where there is none.</summary>
    public ApiKeyRing? Keys(ParseResult arguments)
    {
        string? key = arguments.GetValue(_key) ?? Environment.GetEnvironmentVariable("TRANSCRIBE_API_KEY");
        string? secret = arguments.GetValue(_secret) ?? Environment.GetEnvironmentVariable("TRANSCRIBE_API_SECRET");
        if (string.IsNullOrEmpty(key) && string.IsNullOrEmpty(secret))
            return null;
        if (string.IsNullOrEmpty(key) || string.IsNullOrEmpty(secret))
            throw new CommandException("An API key needs its secret and the other way round: set both TRANSCRIBE_API_KEY and TRANSCRIBE_API_SECRET.");
        try
        {
            return new ApiKeyRing([new ApiKey(key, secret)]);
        }
        catch (ArgumentException e)
        {
            throw new CommandException(e.Message);
        }
    }

    public async Task<string> TokenAsync(ParseResult arguments, string room, string participant, Grants grants, CancellationToken cancellationToken)
    {
        if (arguments.GetValue(_token) is { Length: > 0 } given)
            return given;
        if (Keys(arguments) is { } keys)
            return Mint(keys, room, participant, grants);
        using var http = new HttpClient { BaseAddress = Url(arguments), Timeout = TimeSpan.FromSeconds(10) };
        try
        {
            using HttpResponseMessage response = await http.PostAsJsonAsync("/v1/dev/tokens", new { room, name = participant }, ClusterJson.Options, cancellationToken);
            if (!response.IsSuccessStatusCode)
                throw new CommandException("The server makes no tokens by itself: pass --token, or set TRANSCRIBE_API_KEY and TRANSCRIBE_API_SECRET.");
            DevToken? made = await response.Content.ReadFromJsonAsync<DevToken>(ClusterJson.Options, cancellationToken);
            return made?.Token ?? throw new CommandException("The server's answer to /v1/dev/tokens has no token.");
        }
        catch (JsonException)
        {
            throw new CommandException($"What answers at {http.BaseAddress} is no Transcribe server. Name another with --url.");
        }
        catch (Exception e) when (e is HttpRequestException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            throw new CommandException($"No server answers at {http.BaseAddress}: {e.Message} Start one with ./run, or name another with --url.");
        }
    }

    public static string Mint(ApiKeyRing keys, string room, string participant, Grants grants, string? name = null, TimeSpan? timeToLive = null)
    {
        try
        {
            return new AccessTokenMinter(keys, TimeProvider.System).Mint(room, participant, grants, name, timeToLive);
        }
        catch (ArgumentException e)
        {
            throw new CommandException(e.Message);
        }
    }

    private sealed record DevToken(string? Token);
}
