using Transcribe.AiGateway.Evaluation;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Tests.Support;

namespace Transcribe.AiGateway.Tests.Recognition;

public sealed class PocketSphinxTests
{
    [Fact]
    public void Decodes_at_the_end_what_found_no_free_decoder()
    {
        using var recognizer = new PocketSphinxRecognizer(new() { MaxDecoders = 1 });
        using IRecognitionSession first = recognizer.OpenSession(new("en", "TR_1")), second = recognizer.OpenSession(new("en", "TR_2"));
        SpokenSentence one = Fixtures.Meeting.Sentences[1], two = Fixtures.Meeting.Sentences[3];
        short[] a = Sound(one), b = Sound(two);

        first.Feed(a);
        second.Feed(b);
        Assert.NotNull(first.Interim());
        Assert.Null(second.Interim());
        RecognitionResult late = second.Finish(b.Length), early = first.Finish(a.Length);

        Assert.True(WordErrorRate.Of(one.Text, early.Text).Rate < 0.3, early.Text);
        Assert.True(WordErrorRate.Of(two.Text, late.Text).Rate < 0.3, late.Text);
    }

    [Fact]
    public async Task Loads_another_decoder_for_a_second_speaker_without_making_anybody_wait()
    {
        using var recognizer = new PocketSphinxRecognizer(new() { MaxDecoders = 2 });
        using IRecognitionSession first = recognizer.OpenSession(new("en", "TR_1")), second = recognizer.OpenSession(new("en", "TR_2"));
        short[] sound = Sound(Fixtures.Meeting.Sentences[1]);
        first.Feed(sound);
        second.Feed(sound);
        Assert.Null(second.Interim());

        await Eventually.TrueAsync(() =>
        {
            second.Feed(new short[160]);
            return second.Interim() is not null;
        });
        Assert.Equal(first.Interim()!.Text, second.Interim()!.Text);
    }

    [Fact]
    public void Gives_a_decoder_back_when_a_session_is_abandoned()
    {
        using var recognizer = new PocketSphinxRecognizer(new() { MaxDecoders = 1 });
        short[] sound = Sound(Fixtures.Meeting.Sentences[1]);
        using (IRecognitionSession abandoned = recognizer.OpenSession(new("en", "TR_1")))
            abandoned.Feed(sound);
        using IRecognitionSession session = recognizer.OpenSession(new("en", "TR_2"));
        session.Feed(sound);

        Assert.NotNull(session.Interim());
    }

    [Fact]
    public void Explains_a_missing_model()
    {
        var error = Assert.Throws<InvalidOperationException>(() => new PocketSphinxRecognizer(new() { ModelDirectory = "/nowhere" }));

        Assert.Contains("apt install pocketsphinx-en-us", error.Message);
    }

    private static short[] Sound(SpokenSentence sentence) =>
        Fixtures.MeetingWav.ToMono(16000).AsSpan((int)((sentence.Start - 0.3) * 16000), (int)((sentence.End - sentence.Start + 0.6) * 16000)).ToArray();
}
