using Transcribe.AiGateway.Audio;
using Transcribe.AiGateway.Evaluation;

namespace Transcribe.AiGateway.Tests.Support;

internal static class Fixtures
{
    private static readonly Lazy<SpeechFixture> LazyMeeting = new(() => SpeechFixture.Parse(File.ReadAllText(PathOf("meeting.json"))));
    private static readonly Lazy<WavAudio> LazyMeetingWav = new(() =>
        WavAudio.TryRead(File.ReadAllBytes(PathOf("meeting.wav")), out WavAudio? audio, out string? error) ? audio : throw new InvalidDataException(error));

    public static string Root { get; } = FindRoot();

    public static SpeechFixture Meeting => LazyMeeting.Value;

    public static WavAudio MeetingWav => LazyMeetingWav.Value;

    public static string PathOf(string name) => Path.Combine(Root, "tests", "Fixtures", name);

    /// <summary>Where models/fetch-silero.sh puts its file; null where nobody ran it.</summary>
    public static string? SileroModel
    {
        get
        {
            string path = Path.Combine(Root, "models", "silero_vad_v5.onnx");
            return File.Exists(path) ? path : null;
        }
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Transcribe.sln")))
                return folder.FullName;
        }

        throw new DirectoryNotFoundException("Transcribe.sln was not found above the test's folder.");
    }
}
