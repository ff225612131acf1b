using System.Collections.Concurrent;
using CsCheck;
using StackExchange.Redis;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Redis;
using Transcribe.Cluster.Tests.Support;

namespace Transcribe.Cluster.Tests.Redis;

/// <summary>Somebody who reaches Redis but has not the cluster's key says things on the bus.</summary>
public sealed class BusAuthenticationTests(RedisFixture redis) : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private static readonly byte[] BusKey = new ClusterKey(RedisMember.Key).Derive("bus");

    private readonly string _prefix = "auth-" + Guid.NewGuid().ToString("N");
    private readonly ConcurrentQueue<int> _heard = new();
    private RedisMember _member = null!;
    private ConnectionMultiplexer _intruder = null!;

    private sealed record Number(int Value);

    private string EventChannel => $"{{{_prefix}}}:event:demo";

    private string RequestChannel => $"{{{_prefix}}}:request:double";

    public async ValueTask InitializeAsync()
    {
        RedisServer server = await redis.Server;
        _member = new RedisMember(server, _prefix);
        _intruder = await ConnectionMultiplexer.ConnectAsync(server.ConnectionString);
        await _member.Bus.SubscribeAsync<Number>("demo", (n, _) =>
        {
            _heard.Enqueue(n.Value);
            return ValueTask.CompletedTask;
        });
        await _member.Bus.RespondAsync<Number, Number>("double", (n, _) =>
        {
            _heard.Enqueue(-n.Value);
            return ValueTask.FromResult(new Number(2 * n.Value));
        });
    }

    public async ValueTask DisposeAsync()
    {
        await _intruder.DisposeAsync();
        await _member.DisposeAsync();
    }

    [Fact]
    public async Task A_message_under_another_key_is_not_delivered()
    {
        byte[] wrong = new ClusterKey("another key, which is long enough too").Derive("bus");
        await SayAsync(EventChannel, Sealed(wrong, EventChannel, BusMessageKind.Event, 1));
        await SayAsync(EventChannel, "{\"value\":1}"u8.ToArray());
        await SettleAsync();
        Assert.Equal([99], _heard);
        Assert.Equal(1, _member.Bus.Drops[BusDrop.Forged]);
        Assert.Equal(1, _member.Bus.Drops[BusDrop.Malformed]);
    }

    [Fact]
    public async Task A_process_with_another_key_neither_is_heard_nor_gets_answers()
    {
        await using var stranger = new RedisMember(await redis.Server, _prefix, "another key, which is long enough too");
        await stranger.Bus.PublishAsync("demo", new Number(1));
        BusException nothing = await Assert.ThrowsAsync<BusException>(
            () => stranger.Bus.RequestAsync<Number, Number>("double", new Number(1), TimeSpan.FromMilliseconds(300)).AsTask());
        Assert.Equal(BusException.Timeout, nothing.Code);
        await SettleAsync();
        Assert.Equal([99], _heard);
    }

    [Fact]
    public async Task A_message_is_good_on_its_own_channel_once_and_soon()
    {
        byte[] message = Sealed(BusKey, EventChannel, BusMessageKind.Event, 1);
        await SayAsync(EventChannel, message);
        await SayAsync(EventChannel, message);
        await SayAsync($"{{{_prefix}}}:request:double", message);
        await SayAsync(EventChannel, Sealed(BusKey, EventChannel, BusMessageKind.Event, 2, TimeSpan.FromSeconds(-61)));
        await SayAsync(EventChannel, Sealed(BusKey, EventChannel, BusMessageKind.Event, 3, TimeSpan.FromSeconds(61)));
        await SettleAsync();
        Assert.Equal([1, 99], _heard);
        Assert.Equal(1, _member.Bus.Drops[BusDrop.Replayed]);
        Assert.Equal(1, _member.Bus.Drops[BusDrop.Forged]);
        Assert.Equal(2, _member.Bus.Drops[BusDrop.Stale]);
    }

    [Fact]
    public async Task A_forged_answer_answers_nothing()
    {
        var asked = new TaskCompletionSource();
        var answer = new TaskCompletionSource();
        await using var responder = new RedisMember(await redis.Server, _prefix);
        await responder.Bus.RespondAsync<Number, Number>("slow", async (n, _) =>
        {
            asked.SetResult();
            await answer.Task;
            return n;
        });
        Task<Number> waiting = _member.Bus.RequestAsync<Number, Number>("slow", new Number(5), Patience).AsTask();
        await asked.Task.WaitAsync(Patience);
        byte[] wrong = new ClusterKey("another key, which is long enough too").Derive("bus");
        foreach (RedisResult channel in (RedisResult[])(await _intruder.GetDatabase().ExecuteAsync("PUBSUB", "CHANNELS", $"{{{_prefix}}}:reply:*"))!)
        {
            for (ulong number = 0; number < 20; number++)
            {
                var header = new BusHeader(BusMessageKind.Reply, Guid.NewGuid(), DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), number, number);
                await SayAsync(channel.ToString(), BusEnvelope.Seal(wrong, channel.ToString(), header, "{\"value\":666}"u8));
            }
        }

        answer.SetResult();
        Assert.Equal(5, (await waiting.WaitAsync(Patience)).Value);
    }

    [Fact]
    public async Task Random_bytes_on_every_channel_harm_nothing()
    {
        byte[] good = Sealed(BusKey, EventChannel, BusMessageKind.Event, 1);
        byte[][] messages = new byte[300][];
        var random = new Random(4);
        for (int i = 0; i < messages.Length; i++)
        {
            // Some are noise, some are a good message with a few bits wrong, or cut off.
            messages[i] = (i % 3) switch
            {
                0 => new byte[random.Next(200)],
                1 => (byte[])good.Clone(),
                _ => good[..random.Next(good.Length)],
            };
            if (i % 3 == 0)
                random.NextBytes(messages[i]);
            else if (i % 3 == 1)
                messages[i][random.Next(good.Length)] ^= (byte)(1 << random.Next(8));
        }

        foreach (byte[] message in messages)
        {
            await SayAsync(EventChannel, message);
            await SayAsync(RequestChannel, message);
        }

        // What the key's holder signs is read as what it is, and no further.
        byte[] noBody = BusEnvelope.Seal(BusKey, EventChannel, Header(BusMessageKind.Event, 7), []);
        byte[] noKind = BusEnvelope.Seal(BusKey, EventChannel, Header((BusMessageKind)77, 8), "{}"u8);
        byte[] noReply = BusEnvelope.Seal(BusKey, EventChannel, Header(BusMessageKind.Reply, 9), "{}"u8);
        foreach (byte[] message in new[] { noBody, noKind, noReply })
            await SayAsync(EventChannel, message);

        await SettleAsync();
        Assert.Equal([99], _heard);
        Assert.Equal(8, (await _member.Bus.RequestAsync<Number, Number>("double", new Number(4), Patience)).Value);
    }

    [Fact]
    public void No_bytes_open_or_throw()
    {
        Gen.Byte.Array[0, 200].Sample(bytes => !BusEnvelope.TryOpen(BusKey, "c", bytes, out _, out _));
    }

    [Fact]
    public void What_was_sealed_opens_under_the_same_key_and_channel_only()
    {
        Gen.Select(Gen.String, Gen.Byte.Array[0, 300], Gen.ULong, Gen.Long).Sample((channel, body, number, time) =>
        {
            var header = new BusHeader(BusMessageKind.Request, Guid.NewGuid(), time, number, number ^ 5);
            byte[] message = BusEnvelope.Seal(BusKey, channel, header, body);
            return BusEnvelope.TryOpen(BusKey, channel, message, out BusHeader opened, out _)
                && opened == header
                && BusEnvelope.Body(message).Span.SequenceEqual(body)
                && !BusEnvelope.TryOpen(BusKey, channel + "x", message, out _, out _)
                && !BusEnvelope.TryOpen(new byte[32], channel, message, out _, out _);
        });
    }

    [Fact]
    public void A_number_passes_once_whatever_the_order()
    {
        Gen.Int[1, 3000].Array[1, 400].Sample(numbers =>
        {
            var guard = new ReplayGuard();
            var sender = Guid.NewGuid();
            var seen = new HashSet<int>();
            int newest = 0;
            foreach (int number in numbers)
            {
                bool fresh = seen.Add(number) && number > newest - ReplayGuard.WindowBits;
                newest = Math.Max(newest, number);
                if (guard.Accept(sender, (ulong)number, 0) != fresh)
                    return false;
            }

            return true;
        });
    }

    [Fact]
    public void Senders_are_forgotten_before_they_are_too_many()
    {
        var guard = new ReplayGuard();
        var last = Guid.NewGuid();
        for (int i = 0; i < 3 * ReplayGuard.MaxSenders; i++)
            Assert.True(guard.Accept(last = Guid.NewGuid(), 1, i));
        Assert.False(guard.Accept(last, 1, 0));
    }

    private static BusHeader Header(BusMessageKind kind, ulong number, TimeSpan skew = default) =>
        new(kind, Guid.Parse("11111111-1111-1111-1111-111111111111"), (DateTimeOffset.UtcNow + skew).ToUnixTimeMilliseconds(), number, 1000);

    private static byte[] Sealed(byte[] key, string channel, BusMessageKind kind, int number, TimeSpan skew = default) =>
        BusEnvelope.Seal(key, channel, Header(kind, (ulong)number, skew), ClusterJson.SerializeToUtf8Bytes(new Number(number)));

    private Task SayAsync(string channel, byte[] message) =>
        _intruder.GetSubscriber().PublishAsync(RedisChannel.Literal(channel), message);

    /// <summary>What was said before has been heard when this is.</summary>
    private async Task SettleAsync()
    {
        await _member.Bus.PublishAsync("demo", new Number(99));
        using var patience = new CancellationTokenSource(Patience);
        while (!_heard.Contains(99))
            await Task.Delay(5, patience.Token);
    }
}
