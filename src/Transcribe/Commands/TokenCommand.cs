using System.CommandLine;
using System.Text.Json;
using Transcribe.Cluster;
using Transcribe.Cluster.Tokens;

namespace Transcribe.Commands;

internal static class TokenCommand
{
    public static Command Create()
    {
        var room = new Argument<string>("room") { Description = "Room the token is for." };
        var participant = new Argument<string>("participant") { Description = "Identity of its bearer in the room." };
        var name = new Option<string?>("--name") { Description = "Display name." };
        var hours = new Option<double>("--hours") { Description = "Validity.", DefaultValueFactory = _ => 6 };
        var admin = new Option<bool>("--admin") { Description = "May switch transcription, remove people and close the room." };
        var viewer = new Option<bool>("--viewer") { Description = "May not publish." };
        var hidden = new Option<bool>("--hidden") { Description = "In no roster and no count." };
        var captions = new Option<bool>("--captions") { Description = "May send on the reserved data channel \"captions\"." };
        var json = new Option<bool>("--json") { Description = "Print a JSON object." };
        var access = new ServerAccess();
        var command = new Command("token", "Makes an access token with the API key in TRANSCRIBE_API_KEY and TRANSCRIBE_API_SECRET; asks no server.")
        {
            room, participant, name, hours, admin, viewer, hidden, captions, json,
        };
        access.AddTo(command);
        command.SetAction(arguments =>
        {
            ApiKeyRing keys = access.Keys(arguments)
                ?? throw new CommandException("There is no API key to sign with: set TRANSCRIBE_API_KEY and TRANSCRIBE_API_SECRET to those of the server (./run prints its own at start).");
            var grants = new Grants
            {
                Publish = !arguments.GetValue(viewer),
                Subscribe = true,
                PublishData = !arguments.GetValue(viewer),
                PublishDataLabels = arguments.GetValue(captions) ? ["captions"] : [],
                Hidden = arguments.GetValue(hidden),
                Admin = arguments.GetValue(admin),
            };
            double validity = arguments.GetValue(hours);
            if (validity is not (> 0 and <= 720))
                throw new CommandException($"--hours is {validity}; choose more than 0 and at most 720.");
            string token = ServerAccess.Mint(keys, arguments.GetRequiredValue(room), arguments.GetRequiredValue(participant), grants, arguments.GetValue(name), TimeSpan.FromHours(validity));
            Console.WriteLine(arguments.GetValue(json)
                ? JsonSerializer.Serialize(new { token, room = arguments.GetValue(room), participant = arguments.GetValue(participant), expiresAt = DateTimeOffset.UtcNow.AddHours(validity) }, ClusterJson.Options)
                : token);
            return ExitStatus.Ok;
        });
        return command;
    }
}
