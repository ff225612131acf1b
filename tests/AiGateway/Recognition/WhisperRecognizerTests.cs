using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Tests.Support;

namespace Transcribe.AiGateway.Tests.Recognition;

/// <summary>The binding to whisper.cpp, on a generated model: loading, decoding, threads, times. Not the text.</summary>
public sealed class WhisperRecognizerTests(WhisperRecognizerTests.GeneratedModel model) : IClassFixture<WhisperRecognizerTests.GeneratedModel>
{
    private const string HowToBuild = "whisper.cpp is not built: run src/AiGateway/Native/build-whisper.sh";

    [Fact]
    public void Gives_words_in_order_of_time_within_the_utterance()
    {
        using WhisperRecognizer recognizer = Open();
        RecognitionResult result = Decode(recognizer, 3);

        Assert.NotEmpty(result.Words);
        int previous = 0;
        foreach (RecognizedWord word in result.Words)
        {
            Assert.Matches("^w[0-9]+$", word.Text);
            Assert.InRange(word.Start, previous, 3 * 16000);
            Assert.InRange(word.End, word.Start, 3 * 16000);
            Assert.InRange(word.Probability, 0f, 1f);
            previous = word.Start;
        }

        Assert.Equal("whisper/test.en", recognizer.Name);
        Assert.False(recognizer.IsMultilingual);
    }

    [Fact]
    public async Task Decodes_in_parallel_what_it_decodes_alone()
    {
        using WhisperRecognizer recognizer = Open();
        string alone = Decode(recognizer, 2).Text;

        RecognitionResult[] results = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Task.Run(() => Decode(recognizer, 2))));

        Assert.All(results, result => Assert.Equal(alone, result.Text));
    }

    [Fact]
    public void Guesses_while_the_utterance_is_open()
    {
        using WhisperRecognizer recognizer = Open();
        using IRecognitionSession session = recognizer.OpenSession(new("de", "TR_1"));
        Assert.Empty(session.Interim()!.Words);
        session.Feed(Fixtures.MeetingWav.ToMono(16000).AsSpan(16000, 24000));

        Assert.NotEmpty(session.Interim()!.Words);
        Assert.NotEmpty(session.Finish(24000).Words);
    }

    [Fact]
    public void Invents_no_text_with_a_model_that_is_sure_of_nothing()
    {
        using var recognizer = new WhisperRecognizer(Options() with { Filter = new() });

        Assert.Empty(Decode(recognizer, 3).Words);
    }

    [Fact]
    public void Explains_a_file_that_is_no_model()
    {
        string path = Path.Combine(model.Folder, "broken.bin");
        File.WriteAllText(path, "this is no model");

        var error = Assert.Throws<InvalidOperationException>(() => new WhisperRecognizer(Options() with { ModelPath = path }));
        Assert.Contains("no Whisper model", error.Message);
        error = Assert.Throws<InvalidOperationException>(() => new WhisperRecognizer(Options() with { ModelPath = path + ".missing" }));
        Assert.Contains("does not exist", error.Message);
    }

    [Fact]
    public void Explains_a_library_that_is_not_whisper()
    {
        var error = Assert.Throws<InvalidOperationException>(() => new WhisperRecognizer(Options() with { LibraryPath = "libopus.so.0" }));

        Assert.Contains("build-whisper.sh", error.Message);
    }

    private WhisperRecognizer Open() => new(Options() with { Filter = new() { Enabled = false } });

    private WhisperOptions Options()
    {
        if (WhisperLibrary.Find() is not { } library)
        {
            Assert.Skip(HowToBuild);
            throw new InvalidOperationException();
        }

        return new() { LibraryPath = library, ModelPath = model.Path, ModelName = "test.en", Workers = 2 };
    }

    private static RecognitionResult Decode(WhisperRecognizer recognizer, int seconds)
    {
        using IRecognitionSession session = recognizer.OpenSession(new("en", "TR_1"));
        session.Feed(Fixtures.MeetingWav.ToMono(16000).AsSpan(16000, seconds * 16000));
        return session.Finish(seconds * 16000);
    }

    public sealed class GeneratedModel : IDisposable
    {
        private readonly Lazy<string> _path;

        public GeneratedModel() => _path = new(() =>
        {
            string path = System.IO.Path.Combine(Folder, "ggml-test.en.bin");
            WhisperModelFile.Write(path);
            return path;
        });

        public string Folder { get; } = Directory.CreateTempSubdirectory("transcribe-whisper").FullName;

        public string Path => _path.Value;

        public void Dispose() => Directory.Delete(Folder, recursive: true);
    }
}
