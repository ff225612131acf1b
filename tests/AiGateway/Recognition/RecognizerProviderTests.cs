using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.AiGateway.Models;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Tests.Support;

namespace Transcribe.AiGateway.Tests.Recognition;

public sealed class RecognizerProviderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("transcribe-engines").FullName;
    private readonly HttpClient _http = new();

    public void Dispose()
    {
        _http.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void Auto_falls_back_to_pocketsphinx_and_says_why()
    {
        using RecognizerProvider provider = Make(new() { WhisperLibraryPath = null });
        RecognizerChoice choice = provider.Get("auto", "en");

        Assert.Equal("pocketsphinx/en-us", choice.Recognizer.Name);
        Assert.Contains("build-whisper.sh", choice.Notice);
        Assert.Same(choice.Recognizer, provider.Get("pocketsphinx", "en-GB").Recognizer);
    }

    [Fact]
    public void Auto_takes_whisper_where_library_and_model_are_there()
    {
        if (WhisperLibrary.Find() is not { } library)
        {
            Assert.Skip("whisper.cpp is not built: run src/AiGateway/Native/build-whisper.sh");
            return;
        }

        string path = Path.Combine(_folder, "ggml-mine.en.bin");
        WhisperModelFile.Write(path);
        using RecognizerProvider provider = Make(new() { WhisperLibraryPath = library }, path);
        RecognizerChoice choice = provider.Get("auto", "en");

        Assert.Equal("whisper/mine.en", choice.Recognizer.Name);
        Assert.Null(choice.Notice);
        Assert.Same(choice.Recognizer, provider.Get("whisper", "en").Recognizer);
    }

    [Theory]
    [InlineData("whisper", "en", "transcribe models fetch base.en")]
    [InlineData("whisper/giant", "en", "there is no model \"giant\"")]
    [InlineData("auto", "de", "knows English only")]
    [InlineData("parrot", "en", "There is no engine \"parrot\"")]
    public void Explains_what_cannot_run(string engine, string language, string explanation)
    {
        using RecognizerProvider provider = Make(new() { WhisperLibraryPath = "/some/libwhisper.so", AllowDownload = false });

        var error = Assert.Throws<RecognizerUnavailableException>(() => provider.Get(engine, language));
        Assert.Contains(explanation, error.Message);
    }

    [Fact]
    public void A_registered_engine_is_loaded_once_and_disposed_with_the_provider()
    {
        FakeRecognizer? created = null;
        RecognizerProvider provider = Make(new());
        provider.Register("mine", () => created = created is null ? new FakeRecognizer() : throw new InvalidOperationException("loaded twice"));

        Assert.Same(provider.Get("mine", "en").Recognizer, provider.Get("MINE", "fr").Recognizer);
        provider.Dispose();
        Assert.True(created!.Disposed);
    }

    private RecognizerProvider Make(RecognizerProviderOptions options, string? offlinePath = null) =>
        new(options, new ModelManager(_http, new() { Directory = _folder, OfflinePath = offlinePath }, TimeProvider.System), NullLogger<RecognizerProvider>.Instance);
}
