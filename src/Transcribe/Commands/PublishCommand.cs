using System.CommandLine;
using System.Text.Json;
using Transcribe.Cluster;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Tokens;
using Transcribe.Peer;
using Transcribe.Publishing;

namespace Transcribe.Commands;

internal static class PublishCommand
{
    public static Command Create()
    {
        var room = new Argument<string>("room") { Description = "Room to publish into." };
        var file = new Argument<string>("file") { Description = "A PCM WAV file, or an Ogg/Opus file." };
        var name = new Option<string>("--as") { Description = "Participant id to join with.", DefaultValueFactory = _ => "speaker" };
        var loop = new Option<bool>("--loop") { Description = "Start over at the end, until Ctrl-C." };
        var json = new Option<bool>("--json") { Description = "Print a JSON object at the end." };
        var access = new ServerAccess();
        var command = new Command("publish", "Joins a room and speaks a recording, in real time.") { room, file, name, loop, json };
        access.AddTo(command);
        command.SetAction(async (arguments, cancellationToken) =>
        {
            string roomName = arguments.GetRequiredValue(room);
            IReadOnlyList<OpusFrame> frames = OpusSource.Load(arguments.GetRequiredValue(file));
            string token = await access.TokenAsync(arguments, roomName, arguments.GetRequiredValue(name), new Grants { Publish = true, Subscribe = true }, cancellationToken);
            var ended = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
            await using RoomClient client = await RoomClient.JoinAsync(
                new PeerOptions { ServerUrl = access.Url(arguments), Token = token, AutoSubscribe = false, InitialSlots = 0 },
                new RoomHandlers { Closed = reason => ended.TrySetResult(reason) },
                cancellationToken: cancellationToken);
            LocalAudioTrack track = await client.PublishAudioAsync(TrackSource.Microphone, Path.GetFileName(arguments.GetRequiredValue(file)), cancellationToken);
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            _ = ended.Task.ContinueWith(_ => stop.Cancel(), TaskScheduler.Default);
            int passes = 0;
            uint? origin = null;
            try
            {
                do
                {
                    var publisher = new PacedPublisher(track, frames, origin);
                    await publisher.RunAsync(stop.Token);
                    origin = publisher.NextRtpOrigin;
                    passes++;
                }
                while (arguments.GetValue(loop));
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                // Ctrl-C ends a loop: leave the room as usual.
            }
            catch (OperationCanceledException)
            {
                throw new CommandException($"The session ended while publishing: {await ended.Task}.", ExitStatus.Failed);
            }

            await client.LeaveAsync();
            if (arguments.GetValue(json))
                Console.WriteLine(JsonSerializer.Serialize(new { track = track.Id, ssrc = track.Ssrc, packets = frames.Count, seconds = (frames[^1].Timestamp + frames[^1].Duration) / 48000.0, passes }, ClusterJson.Options));
            return ExitStatus.Ok;
        });
        return command;
    }
}
