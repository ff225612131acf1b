using System.CommandLine;
using System.Text;
using System.Text.Json;
using Spectre.Console;
using Transcribe.Cluster;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Tokens;
using Transcribe.Peer;

namespace Transcribe.Commands;

internal static class ListenCommand
{
    public static Command Create()
    {
        var room = new Argument<string>("room") { Description = "Room to listen to." };
        var json = new Option<bool>("--json") { Description = "Print every caption message as one JSON line, interims too." };
        var finals = new Option<bool>("--finals") { Description = "Only finished sentences." };
        var name = new Option<string>("--as") { Description = "Participant id to join with.", DefaultValueFactory = _ => "listener" };
        var seconds = new Option<double?>("--seconds") { Description = "Stop after this time; otherwise until Ctrl-C or the end of the room." };
        var access = new ServerAccess();
        var command = new Command("listen", "Joins a room and prints its captions.") { room, json, finals, name, seconds };
        access.AddTo(command);
        command.SetAction(async (arguments, cancellationToken) =>
        {
            double? limit = arguments.GetValue(seconds);
            if (limit is not null and not (> 0 and <= 1_000_000))
                throw new CommandException($"--seconds is {limit}; choose more than 0 and at most 1000000.");
            string roomName = arguments.GetRequiredValue(room);
            var grants = new Grants { Subscribe = true };
            string token = await access.TokenAsync(arguments, roomName, arguments.GetRequiredValue(name), grants, cancellationToken);
            var ended = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
            var printer = new CaptionPrinter(arguments.GetValue(json), arguments.GetValue(finals));
            await using RoomClient client = await RoomClient.JoinAsync(
                new PeerOptions { ServerUrl = access.Url(arguments), Token = token, Kinds = [] },
                new RoomHandlers
                {
                    Data = (label, utf8) =>
                    {
                        if (label == CaptionMessage.ChannelLabel)
                            printer.Print(utf8);
                    },
                    RoomEvent = CaptionPrinter.Print,
                    Closed = reason => ended.TrySetResult(reason),
                },
                cancellationToken: cancellationToken);
            CaptionPrinter.Announce(client.Transcription);
            using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            if (limit is { } patience)
                timeout.CancelAfter(TimeSpan.FromSeconds(patience));
            try
            {
                string reason = await ended.Task.WaitAsync(timeout.Token);
                await Console.Error.WriteLineAsync($"The session ended: {reason}.");
                return reason is "roomClosed" or "left" ? ExitStatus.Ok : ExitStatus.Failed;
            }
            catch (OperationCanceledException)
            {
                await client.LeaveAsync();
                return ExitStatus.Ok;
            }
        });
        return command;
    }

    /// <summary>Captions as lines: JSON as they come, or an interim line that is rewritten until it is final.</summary>
    private sealed class CaptionPrinter(bool json, bool finalsOnly)
    {
        /// <summary>Segments remembered; a gateway that takes over sends those of the last seconds again.</summary>
        private const int Remembered = 256;

        private readonly Lock _gate = new();
        private readonly Dictionary<string, int> _revisions = new(StringComparer.Ordinal);
        private readonly Queue<string> _segments = new();
        private int _interimLength;

        public void Print(ReadOnlySpan<byte> utf8)
        {
            string text = Encoding.UTF8.GetString(utf8);
            CaptionMessage? caption;
            try
            {
                caption = JsonSerializer.Deserialize<CaptionMessage>(text, ClusterJson.Options);
            }
            catch (JsonException)
            {
                Console.Error.WriteLine("A caption message could not be read.");
                return;
            }

            if (caption is null || (finalsOnly && !caption.Final))
                return;
            lock (_gate)
            {
                if (!IsNew(caption))
                    return;
                if (json)
                    Console.WriteLine(text);
                else
                    PrintLine($"{caption.Participant}: {caption.Text}", caption.Final);
            }
        }

        public static void Print(RoomEvent change)
        {
            if (change is TranscriptionChanged { Transcription: var state })
                Announce(state);
        }

        public static void Announce(TranscriptionState state) =>
            Console.Error.WriteLine(state.Enabled ? $"Transcription is on{(state.ActiveEngine is { } e ? $" ({e})" : "")}. {state.Notice}" : "Transcription is off.");

        private bool IsNew(CaptionMessage caption)
        {
            if (_revisions.TryGetValue(caption.Segment, out int known))
            {
                if (caption.Rev <= known)
                    return false;
            }
            else
            {
                _segments.Enqueue(caption.Segment);
                if (_segments.Count > Remembered)
                    _revisions.Remove(_segments.Dequeue());
            }

            _revisions[caption.Segment] = caption.Rev;
            return true;
        }

        private void PrintLine(string line, bool final)
        {
            bool terminal = !Console.IsOutputRedirected;
            if (!final && !terminal)
                return;
            string erase = _interimLength > 0 ? "\r" + new string(' ', _interimLength) + "\r" : "";
            _interimLength = 0;
            if (final)
            {
                Console.WriteLine(erase + line);
                return;
            }

            int width = Math.Max(20, AnsiConsole.Profile.Width - 1);
            string shown = line.Length <= width ? line : "…" + line[^(width - 1)..];
            _interimLength = shown.Length;
            Console.Write(erase + shown);
        }
    }
}
