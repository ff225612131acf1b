using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Transcribe.AiGateway.Evaluation;
using Transcribe.Cluster.Captions;
using Transcribe.Publishing;

namespace Transcribe.Cluster.Processes.Tests.Support;

/// <summary>A captioned call: a speaker reads the first sentences of the meeting, and what others read of it is counted.</summary>
internal sealed class Meeting
{
    private static readonly SpeechFixture All = SpeechFixture.Parse(File.ReadAllText(Path.Combine(TestCluster.Root, "tests", "Fixtures", "meeting.json")));

    private static readonly Lazy<IReadOnlyList<OpusFrame>> Recording =
        new(() => OpusSource.Load(Path.Combine(TestCluster.Root, "tests", "Fixtures", "meeting.wav")));

    private readonly TestCluster _cluster;
    private readonly string _room;
    private readonly SpeechFixture _fixture;
    private readonly PacedPublisher _publisher;
    private readonly Task _speaking;

    private Meeting(TestCluster cluster, string room, TestPeer speaker, int sentences)
    {
        (_cluster, _room) = (cluster, room);
        _fixture = All with { Sentences = [.. All.Sentences.Take(sentences)] };
        double end = _fixture.Sentences[^1].End + 0.7;
        _publisher = new PacedPublisher(speaker.Track, [.. Recording.Value.Where(frame => frame.Timestamp < end * 48000)]);
        _speaking = _publisher.RunAsync(TestContext.Current.CancellationToken);
    }

    /// <summary>Switches captions on and begins to speak when there is an engine.</summary>
    /// <param name="sentences">How many of the meeting's ten are read.</param>
    public static async Task<Meeting> BeginAsync(TestCluster cluster, string room, TestPeer speaker, int sentences)
    {
        await cluster.TranscribeAsync(room);
        await TestCluster.Until(() => speaker.Client.Transcription.ActiveEngine is not null, 60);
        return new Meeting(cluster, room, speaker, sentences);
    }

    /// <summary>Waits until so many seconds of the recording have been spoken.</summary>
    public Task SpokenAsync(double seconds) => TestCluster.Until(() => _publisher.Elapsed >= seconds, 60);

    /// <summary>Seconds of the recording that were spoken at a moment.</summary>
    public double At(long moment) => Stopwatch.GetElapsedTime(_publisher.StartedAt, moment).TotalSeconds;

    /// <summary>When the speaker falls silent.</summary>
    public long EndsAt => _publisher.StartedAt + (long)(((int)(_publisher.NextRtpOrigin - _publisher.RtpOrigin) / 48000.0) * Stopwatch.Frequency);

    /// <summary>First caption of what was said after a second of the recording.</summary>
    public long? FirstCaptionOf(TestPeer reader, double from, long after) =>
        reader.Captions.Where(c => c.At > after && Seconds(c.Caption.Rtp.End) > from).Select(c => (long?)c.At).FirstOrDefault();

    /// <summary>Whether a caption is of this sentence, counted from 0.</summary>
    public bool IsOf(CaptionMessage caption, int sentence) => Overlap(caption, _fixture.Sentences[sentence]) > 0;

    /// <summary>
    /// Waits for the end of the meeting and counts what readers got: every sentence that was said wholly while the speaker's media
    /// flowed has one final, no two finals lie over the same sound, and none over silence. The transcript has what the first reader got.
    /// </summary>
    public Task CountAsync(params TestPeer[] readers) => CountAsync(null, null, readers);

    /// <param name="outage">When the speaker's sound reached nobody: sentences that it touches may have a final for each rest, or none.</param>
    /// <param name="storeLostAt">When the store lost its data, and with them the transcript up to then.</param>
    /// <inheritdoc cref="CountAsync(TestPeer[])"/>
    public async Task CountAsync((long From, long To)? outage, long? storeLostAt, params TestPeer[] readers)
    {
        await _speaking;
        SpokenSentence[] whole = [.. _fixture.Sentences.Where(s => outage is not { } o || s.End < At(o.From) - 0.1 || s.Start > At(o.To) + 0.1)];
        await TestCluster.Until(() => readers.All(r => Score(r, whole).Missing == 0), 15, $"every sentence has its final at {string.Join(", ", readers.Select(r => r.Name))}");

        // What is doubled comes late.
        await Task.Delay(TimeSpan.FromSeconds(1.5), TestContext.Current.CancellationToken);
        foreach (TestPeer reader in readers)
            Count(reader, whole);

        using JsonDocument transcript = await _cluster.TranscriptAsync(_room);
        string[] written = [.. transcript.RootElement.GetProperty("segments").EnumerateArray().Select(s => s.GetProperty("segment").GetString()!).Order()];
        string[] read = [.. Finals(readers[0]).Select(f => f.Segment).Order()];
        if (storeLostAt is not { } lost)
        {
            Assert.Equal(read, written);
            return;
        }

        // Each at most once, none that nobody read, and all that came after the loss.
        Assert.Equal(written.Distinct(), written);
        Assert.Subset(read.ToHashSet(), written.ToHashSet());
        Assert.Subset(written.ToHashSet(), readers[0].Captions.Where(c => c.Caption.Final && c.At > lost).Select(c => c.Caption.Segment).ToHashSet());
    }

    private void Count(TestPeer reader, SpokenSentence[] whole)
    {
        CaptionScore score = Score(reader, whole);
        List<CaptionMessage> finals = Finals(reader);
        int overlapping = finals.Zip(finals.Skip(1)).Count(pair => Seconds(pair.Second.Rtp.Start) < Seconds(pair.First.Rtp.End) - 0.02);
        int twice = whole.Sum(s => Math.Max(0, finals.Count(f => Overlap(f, s) > 0.1) - 1)) + overlapping;
        int strays = finals.Count(f => _fixture.Sentences.All(s => Overlap(f, s) <= 0));
        string touched = whole.Length == _fixture.Sentences.Count ? "" : $", {whole.Length} of them wholly before or after the outage";
        _cluster.Count(string.Create(
            CultureInfo.InvariantCulture,
            $"{reader.Name} read {finals.Count} finals for {_fixture.Sentences.Count} sentences{touched}: {score.Missing} missing, {twice} twice, {strays} over silence; word error rate {score.Wer:P1}"));
        Assert.Equal((0, 0, 0), (score.Missing, twice, strays));
        Assert.True(score.Wer < 0.25, "The words are others.");
    }

    private static double Overlap(double start, double end, SpokenSentence sentence) => Math.Min(end, sentence.End) - Math.Max(start, sentence.Start);

    private double Overlap(CaptionMessage final, SpokenSentence sentence) => Overlap(Seconds(final.Rtp.Start), Seconds(final.Rtp.End), sentence);

    private double Seconds(uint timestamp) => unchecked((int)(timestamp - _publisher.RtpOrigin)) / 48000.0;

    private List<CaptionMessage> Finals(TestPeer reader) =>
        [.. reader.Captions.Where(c => c.Caption.Final).Select(c => c.Caption).OrderBy(f => Seconds(f.Rtp.Start))];

    /// <summary>Of the captions of these sentences.</summary>
    private CaptionScore Score(TestPeer reader, SpokenSentence[] sentences) => CaptionScore.Of(
        _fixture with { Sentences = sentences },
        _publisher.RtpOrigin,
        [
            .. reader.Captions.Where(c => sentences.Any(s => Overlap(c.Caption, s) > 0))
                .Select(c => new ReceivedCaption(c.Caption, At(c.At)))
        ]);
}
