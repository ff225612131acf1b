using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Tests.Support;

namespace Transcribe.Cluster.Tests.Nodes;

/// <summary>With a virtual clock: each test plays through seconds of a node's life.</summary>
public sealed class NodeWatcherTests : IAsyncDisposable
{
    private readonly StepClock _time = new();
    private readonly FakeConnection _connection = new();
    private readonly ScriptedBus _bus;
    private readonly NodeWatcher _watcher;
    private readonly ConcurrentQueue<string> _told = new();

    public NodeWatcherTests()
    {
        _bus = new ScriptedBus(_time);
        _watcher = new NodeWatcher(_bus, _connection, _time, NullLogger<NodeWatcher>.Instance);
    }

    public ValueTask DisposeAsync() => _watcher.DisposeAsync();

    [Fact]
    public async Task A_living_node_is_asked_every_half_second_and_never_reported()
    {
        using IDisposable watch = Watch();
        await PlayAsync(TimeSpan.FromSeconds(10));
        Assert.InRange(_bus.Pings, 19, 22);
        Assert.Empty(_told);
        Assert.True(_watcher.IsAlive(NodeRole.Sfu, "n1"));
    }

    [Fact]
    public async Task Three_answers_that_nobody_is_there_mean_dead()
    {
        using IDisposable watch = Watch();
        await PlayAsync(TimeSpan.FromSeconds(1));
        _bus.Mode = Behaviour.NoResponder;
        TimeSpan began = Now;
        await PlayUntilAsync(() => !_told.IsEmpty);
        Assert.Equal(["lost no_responder"], _told);
        Assert.InRange(Now - began, TimeSpan.FromMilliseconds(350), TimeSpan.FromMilliseconds(1000));
        Assert.False(_watcher.IsAlive(NodeRole.Sfu, "n1"));
    }

    [Fact]
    public async Task A_node_whose_own_connection_was_reset_for_a_moment_is_not_dead()
    {
        using IDisposable watch = Watch();
        for (int i = 0; i < 5; i++)
        {
            await PlayAsync(TimeSpan.FromSeconds(1));
            _bus.Mode = Behaviour.NoResponder;
            await PlayAsync(TimeSpan.FromMilliseconds(300));
            _bus.Mode = Behaviour.Alive;
        }

        await PlayAsync(TimeSpan.FromSeconds(1));
        Assert.Empty(_told);
    }

    [Fact]
    public async Task Three_timeouts_mean_dead_and_two_do_not()
    {
        using IDisposable watch = Watch();
        await PlayAsync(TimeSpan.FromSeconds(1));
        _bus.SilentPings = 2;
        await PlayAsync(TimeSpan.FromSeconds(4));
        Assert.Equal(0, _bus.SilentPings);
        Assert.Empty(_told);
        _bus.Mode = Behaviour.Silent;
        TimeSpan began = Now;
        await PlayUntilAsync(() => !_told.IsEmpty);
        Assert.Equal(["lost timeout"], _told);
        Assert.InRange(Now - began, TimeSpan.FromSeconds(1.4), TimeSpan.FromSeconds(2.2));
    }

    [Fact]
    public async Task Timeouts_that_come_late_tell_nothing_of_the_node()
    {
        using IDisposable watch = Watch();
        _bus.Mode = Behaviour.LateTimeout;
        await PlayAsync(TimeSpan.FromSeconds(10));
        Assert.InRange(_bus.Pings, 5, 8);
        Assert.Empty(_told);
    }

    [Fact]
    public async Task Nobody_is_dead_while_our_own_bus_is_away_or_only_just_back()
    {
        using IDisposable watch = Watch();
        await PlayAsync(TimeSpan.FromSeconds(1));
        _connection.Cut();
        _bus.Mode = Behaviour.Unavailable;
        await PlayAsync(TimeSpan.FromSeconds(10));
        Assert.Empty(_told);

        // Redis is back; the other node's subscription takes a little longer.
        _connection.Restore();
        _bus.Mode = Behaviour.NoResponder;
        await PlayAsync(NodeWatcher.Grace - TimeSpan.FromMilliseconds(100));
        Assert.Empty(_told);
        await PlayUntilAsync(() => !_told.IsEmpty);
        Assert.Equal(["lost no_responder"], _told);
    }

    [Fact]
    public async Task A_node_that_comes_back_in_time_after_an_outage_was_never_lost()
    {
        using IDisposable watch = Watch();
        await PlayAsync(TimeSpan.FromSeconds(1));
        _connection.Cut();
        _bus.Mode = Behaviour.Unavailable;
        await PlayAsync(TimeSpan.FromSeconds(2));
        _connection.Restore();
        _bus.Mode = Behaviour.NoResponder;
        await PlayAsync(TimeSpan.FromSeconds(2));
        _bus.Mode = Behaviour.Alive;
        await PlayAsync(TimeSpan.FromSeconds(5));
        Assert.Empty(_told);
    }

    [Fact]
    public async Task A_dead_node_that_answers_again_is_reported_and_can_die_again()
    {
        using IDisposable watch = Watch();
        foreach (int round in new[] { 1, 2 })
        {
            _bus.Mode = Behaviour.NoResponder;
            await PlayUntilAsync(() => _told.Count == (2 * round) - 1);
            _bus.Mode = Behaviour.Alive;
            await PlayUntilAsync(() => _told.Count == 2 * round);
            Assert.True(_watcher.IsAlive(NodeRole.Sfu, "n1"));
        }

        Assert.Equal(["lost no_responder", "back", "lost no_responder", "back"], _told);
    }

    [Fact]
    public async Task A_node_that_restarted_between_two_pings_is_lost_and_back()
    {
        using IDisposable watch = Watch();
        await PlayAsync(TimeSpan.FromSeconds(1));
        _bus.Instance = "another";
        await PlayUntilAsync(() => _told.Count == 2);
        Assert.Equal(["lost restarted", "back"], _told);
    }

    [Fact]
    public async Task Watchers_of_a_node_share_its_pings_and_the_news_until_they_end()
    {
        IDisposable first = Watch("a ");
        IDisposable second = Watch("b ");
        await PlayAsync(TimeSpan.FromSeconds(5));
        Assert.InRange(_bus.Pings, 9, 12);
        first.Dispose();
        _bus.Mode = Behaviour.NoResponder;
        await PlayUntilAsync(() => !_told.IsEmpty);
        Assert.Equal(["b lost no_responder"], _told);

        // Who comes later is told, too.
        using IDisposable third = Watch("c ");
        await PlayUntilAsync(() => _told.Count == 2);
        Assert.Equal(["b lost no_responder", "c lost no_responder"], _told);
        second.Dispose();
        third.Dispose();
        _time.ExpectedWaits = 0;
        await PlayAsync(TimeSpan.FromSeconds(1));
        int pings = _bus.Pings;
        await PlayAsync(TimeSpan.FromSeconds(3));
        Assert.Equal(pings, _bus.Pings);
        Assert.True(_watcher.IsAlive(NodeRole.Sfu, "n1"));
    }

    [Fact]
    public async Task A_watcher_that_throws_does_not_keep_the_news_from_others()
    {
        using IDisposable bad = _watcher.Watch(NodeRole.Sfu, "n1", _ => throw new InvalidOperationException("as the test wants"));
        using IDisposable good = Watch();
        _bus.Mode = Behaviour.NoResponder;
        await PlayUntilAsync(() => !_told.IsEmpty);
        _bus.Mode = Behaviour.Alive;
        await PlayUntilAsync(() => _told.Count == 2);
    }

    private TimeSpan Now => _time.Now;

    private IDisposable Watch(string who = "") =>
        _watcher.Watch(NodeRole.Sfu, "n1", lost => _told.Enqueue($"{who}lost {lost.Reason}"), () => _told.Enqueue($"{who}back"));

    private async Task PlayAsync(TimeSpan time)
    {
        TimeSpan until = Now + time;
        while (Now < until)
            await StepAsync();
    }

    private async Task PlayUntilAsync(Func<bool> condition)
    {
        var waited = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.True(waited.Elapsed < TimeSpan.FromSeconds(30), string.Create(CultureInfo.InvariantCulture, $"It did not happen by {Now}."));
            await StepAsync();
        }
    }

    private Task StepAsync() => _time.StepAsync(TimeSpan.FromMilliseconds(50));

    private enum Behaviour
    {
        Alive,
        NoResponder,
        Silent,
        LateTimeout,
        Unavailable,
    }

    private sealed class ScriptedBus(TimeProvider time) : IMessageBus
    {
        private int _pings;
        public volatile Behaviour Mode;

        public volatile string Instance = "first";

        public int SilentPings { get; set; }

        public int Pings => Volatile.Read(ref _pings);

        public async ValueTask<TReply> RequestAsync<TRequest, TReply>(
            string subject, TRequest request, TimeSpan timeout, CancellationToken cancellationToken = default)
        {
            Assert.Equal(NodeSubjects.Ping(NodeRole.Sfu, "n1"), subject);
            Interlocked.Increment(ref _pings);
            Behaviour mode = SilentPings-- > 0 ? Behaviour.Silent : Mode;
            SilentPings = Math.Max(0, SilentPings);
            switch (mode)
            {
                case Behaviour.NoResponder:
                    throw new BusException(BusException.NoResponder, "nobody");
                case Behaviour.Unavailable:
                    throw new BusException(BusException.Unavailable, "away");
                case Behaviour.Silent or Behaviour.LateTimeout:
                    await Task.Delay(mode == Behaviour.Silent ? timeout : timeout * 2, time, cancellationToken);
                    throw new BusException(BusException.Timeout, "late");
                default:
                    return (TReply)(object)new Pong("n1", NodeState.Active, Instance);
            }
        }

        public ValueTask PublishAsync<T>(string subject, T message, CancellationToken cancellationToken = default) => throw new NotSupportedException();

        public ValueTask<IAsyncDisposable> SubscribeAsync<T>(
            string subject, Func<T, CancellationToken, ValueTask> handler, CancellationToken cancellationToken = default) => throw new NotSupportedException();

        public ValueTask<IAsyncDisposable> RespondAsync<TRequest, TReply>(
            string subject, Func<TRequest, CancellationToken, ValueTask<TReply>> handler, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();
    }
}
