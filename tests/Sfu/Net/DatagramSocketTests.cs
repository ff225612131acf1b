using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Transcribe.Rtc;
using Transcribe.Sfu.Net;

namespace Transcribe.Sfu.Tests.Net;

/// <summary>What every implementation of the socket must do. Loopback only.</summary>
public abstract class DatagramSocketTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(5);

    private protected abstract IDatagramSocket Open(DatagramSocketOptions options);

    private IDatagramSocket Open(IPAddress? address = null) =>
        Open(new DatagramSocketOptions { BindAddress = address ?? IPAddress.IPv6Any, BufferSize = 1 << 20 });

    private protected static TransportAddress Loopback(IDatagramSocket socket) =>
        TransportAddress.From(IPAddress.Loopback, socket.LocalAddress.Port);

    private protected static TransportPath To(TransportAddress remote) => new(default, remote);

    private protected static byte[] Payload(int length, int seed)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private protected static List<(TransportPath Path, byte[] Bytes)> ReceiveAll(IDatagramSocket socket, int count)
    {
        using ReceiveRing ring = DatagramSockets.CreateRing(socket);
        var all = new List<(TransportPath, byte[])>();
        var clock = Stopwatch.StartNew();
        while (all.Count < count && clock.Elapsed < Soon)
        {
            int received = socket.Receive(ring, TimeSpan.FromMilliseconds(200));
            Assert.Equal(ring.Count, received);
            for (int i = 0; i < received; i++)
            {
                byte[] bytes = ring.Datagram(i, out TransportPath path).ToArray();
                all.Add((path, bytes));
            }
        }

        return all;
    }

    [Fact]
    public void Takes_the_port_it_was_given_by_the_system()
    {
        using IDatagramSocket socket = Open();
        Assert.NotEqual(0, socket.LocalAddress.Port);
    }

    [Fact]
    public void Says_why_a_port_cannot_be_bound()
    {
        using IDatagramSocket first = Open();
        var e = Assert.Throws<IOException>(() => Open(new DatagramSocketOptions { Port = first.LocalAddress.Port }));
        Assert.Contains(first.LocalAddress.Port.ToString(), e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Carries_a_batch_unchanged_and_in_order()
    {
        using IDatagramSocket a = Open();
        using IDatagramSocket b = Open();
        using var batch = new SendBatch();
        var sent = new List<byte[]>();
        foreach (int length in new[] { 1200, 1200, 1200, 300, 1200, 900, 900, 20, 1, 1199, 1200 })
        {
            sent.Add(Payload(length, sent.Count));
            Assert.True(batch.TryAdd(To(Loopback(b)), sent[^1]));
        }

        a.Send(batch);

        Assert.Equal(0, batch.Count);
        var received = ReceiveAll(b, sent.Count);
        Assert.Equal(sent, received.Select(r => r.Bytes));
        Assert.All(received, r => Assert.Equal(Loopback(a), r.Path.Remote));
        Assert.Equal(sent.Count, a.Counters.DatagramsSent);
        Assert.Equal(sent.Sum(s => s.Length), a.Counters.BytesSent);
        Assert.Equal(sent.Count, b.Counters.DatagramsReceived);
        Assert.Equal(sent.Sum(s => s.Length), b.Counters.BytesReceived);
    }

    [Fact]
    public void Keeps_the_order_of_each_destination_of_an_interleaved_batch()
    {
        using IDatagramSocket a = Open();
        using IDatagramSocket b = Open();
        using IDatagramSocket c = Open();
        using var batch = new SendBatch();
        for (int i = 0; i < 40; i++)
        {
            Assert.True(batch.TryAdd(To(Loopback(b)), Payload(500 + (i % 3), i)));
            Assert.True(batch.TryAdd(To(Loopback(c)), Payload(800, 1000 + i)));
        }

        a.Send(batch);

        Assert.Equal(Enumerable.Range(0, 40).Select(i => Payload(500 + (i % 3), i)), ReceiveAll(b, 40).Select(r => r.Bytes));
        Assert.Equal(Enumerable.Range(0, 40).Select(i => Payload(800, 1000 + i)), ReceiveAll(c, 40).Select(r => r.Bytes));
    }

    [Fact]
    public void Fills_and_sends_a_batch_of_the_greatest_size()
    {
        using IDatagramSocket a = Open();
        using var peers = new DisposableArray(Enumerable.Range(0, 300).Select(_ => Open(IPAddress.Loopback)));
        using var batch = new SendBatch(capacity: 600);
        for (int i = 0; i < 600; i++)
            Assert.True(batch.TryAdd(To(Loopback(peers[i % 300])), Payload(100, i)));
        Assert.False(batch.TryAdd(To(Loopback(a)), [1]));

        a.Send(batch);

        for (int i = 0; i < 300; i++)
            Assert.Equal([Payload(100, i), Payload(100, i + 300)], ReceiveAll(peers[i], 2).Select(r => r.Bytes));
    }

    [Fact]
    public void A_datagram_may_be_written_in_place()
    {
        using IDatagramSocket a = Open();
        using IDatagramSocket b = Open();
        using var batch = new SendBatch();
        Assert.True(batch.TryReserve(To(Loopback(b)), 1500, out Span<byte> room));
        room[0] = 7;
        room[1] = 8;
        batch.Commit(2);
        a.Send(batch);
        Assert.Equal([7, 8], Assert.Single(ReceiveAll(b, 1)).Bytes);
    }

    [Fact]
    public void Speaks_IPv4_and_IPv6_on_one_port()
    {
        Assert.SkipUnless(Socket.OSSupportsIPv6, "IPv6 is off on this host");
        using IDatagramSocket server = Open();
        using var v4 = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        using var v6 = new Socket(AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp);
        v4.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        v6.Bind(new IPEndPoint(IPAddress.IPv6Loopback, 0));
        v4.SendTo([4], new IPEndPoint(IPAddress.Loopback, server.LocalAddress.Port));
        v6.SendTo([6], new IPEndPoint(IPAddress.IPv6Loopback, server.LocalAddress.Port));

        var received = ReceiveAll(server, 2);
        using var batch = new SendBatch();
        foreach ((TransportPath path, byte[] bytes) in received)
            Assert.True(batch.TryAdd(path, bytes));
        server.Send(batch);

        Assert.Contains(received, r => r.Path.Remote == TransportAddress.From((IPEndPoint)v4.LocalEndPoint!));
        Assert.Contains(received, r => r.Path.Remote == TransportAddress.From((IPEndPoint)v6.LocalEndPoint!));
        byte[] buffer = new byte[10];
        v4.ReceiveTimeout = v6.ReceiveTimeout = (int)Soon.TotalMilliseconds;
        Assert.Equal((1, 4), (v4.Receive(buffer), buffer[0]));
        Assert.Equal((1, 6), (v6.Receive(buffer), buffer[0]));
    }

    [Fact]
    public void Delivers_an_empty_datagram_as_one()
    {
        using IDatagramSocket a = Open();
        using IDatagramSocket b = Open();
        using var batch = new SendBatch();
        Assert.True(batch.TryAdd(To(Loopback(b)), []));
        Assert.True(batch.TryAdd(To(Loopback(b)), []));
        Assert.True(batch.TryAdd(To(Loopback(b)), [1]));
        a.Send(batch);
        Assert.Equal([0, 0, 1], ReceiveAll(b, 3).Select(r => r.Bytes.Length));
    }

    [Fact]
    public void Drops_and_counts_a_datagram_longer_than_a_slot()
    {
        using IDatagramSocket a = Open(new DatagramSocketOptions { ReceiveOffload = false });
        using IDatagramSocket b = Open(new DatagramSocketOptions { ReceiveOffload = false });
        using var batch = new SendBatch();
        Assert.True(batch.TryAdd(To(Loopback(b)), Payload(4000, 1)));
        Assert.True(batch.TryAdd(To(Loopback(b)), Payload(400, 2)));
        a.Send(batch);
        Assert.Equal(Payload(400, 2), Assert.Single(ReceiveAll(b, 1)).Bytes);
        Assert.Equal(1, b.Counters.Truncated);
    }

    [Fact]
    public void Counts_what_cannot_be_sent_and_goes_on()
    {
        using IDatagramSocket a = Open(IPAddress.Loopback);
        using IDatagramSocket b = Open();
        using var batch = new SendBatch();
        Assert.True(TransportAddress.TryParse("[2001:db8::1]:9", out TransportAddress unreachable));
        Assert.True(batch.TryAdd(To(unreachable), [1]));
        Assert.True(batch.TryAdd(To(unreachable), [2]));
        Assert.True(batch.TryAdd(To(Loopback(b)), [3]));
        a.Send(batch);
        Assert.Equal([3], Assert.Single(ReceiveAll(b, 1)).Bytes);
        Assert.Equal(2, a.Counters.SendErrors);
        Assert.Equal(1, a.Counters.DatagramsSent);
    }

    [Fact]
    public void Returns_at_once_where_no_wait_was_asked_for()
    {
        using IDatagramSocket socket = Open();
        using ReceiveRing ring = DatagramSockets.CreateRing(socket);
        for (int i = 0; i < 100; i++)
            Assert.Equal(0, socket.Receive(ring, TimeSpan.Zero));
    }

    [Fact]
    public async Task A_wake_up_ends_a_wait()
    {
        using IDatagramSocket socket = Open();
        using ReceiveRing ring = DatagramSockets.CreateRing(socket);
        for (int round = 0; round < 5; round++)
        {
            using var entered = new ManualResetEventSlim();
            Task<int> waiting = Task.Run(() =>
            {
                entered.Set();
                return socket.Receive(ring, TimeSpan.FromMinutes(10));
            });
            entered.Wait();
            if (round % 2 == 0)
                await Task.Delay(20);
            socket.Wake();
            socket.Wake();
            Assert.Equal(0, await waiting.WaitAsync(Soon));
        }
    }

    [Fact]
    public void Time_outs_longer_than_any_clock_are_accepted()
    {
        using IDatagramSocket socket = Open();
        using ReceiveRing ring = DatagramSockets.CreateRing(socket);
        socket.Wake();
        Assert.Equal(0, socket.Receive(ring, TimeSpan.MaxValue));
    }

    [Fact]
    public void Allocates_nothing_for_a_datagram()
    {
        using IDatagramSocket a = Open();
        using IDatagramSocket b = Open();
        using ReceiveRing ring = DatagramSockets.CreateRing(b);
        using var batch = new SendBatch();
        byte[] payload = Payload(1000, 1);
        TransportPath path = To(Loopback(b));
        void Round()
        {
            for (int i = 0; i < 8; i++)
                batch.TryAdd(path, payload);
            a.Send(batch);
            for (int received = 0; received < 8;)
            {
                int count = b.Receive(ring, TimeSpan.FromSeconds(1));
                if (count == 0)
                    break;
                received += count;
            }
        }

        for (int i = 0; i < 100; i++)
            Round();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
            Round();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private sealed class DisposableArray(IEnumerable<IDatagramSocket> sockets) : IDisposable
    {
        private readonly IDatagramSocket[] _sockets = [.. sockets];

        public IDatagramSocket this[int index] => _sockets[index];

        public void Dispose()
        {
            foreach (IDatagramSocket socket in _sockets)
                socket.Dispose();
        }
    }
}

public sealed class PortableDatagramSocketTests : DatagramSocketTests
{
    private protected override IDatagramSocket Open(DatagramSocketOptions options) => PortableDatagramSocket.Bind(options);
}

public sealed class LinuxDatagramSocketTests : DatagramSocketTests
{
    private protected override IDatagramSocket Open(DatagramSocketOptions options)
    {
        Assert.SkipUnless(DatagramSockets.HasNative, "not 64-bit Linux");
        return LinuxDatagramSocket.Bind(options);
    }

    [Fact]
    public void Equal_size_runs_leave_as_one_message_and_arrive_as_datagrams()
    {
        using var a = (LinuxDatagramSocket)Open(new DatagramSocketOptions());
        using IDatagramSocket plain = Open(new DatagramSocketOptions { ReceiveOffload = false });
        using IDatagramSocket merging = Open(new DatagramSocketOptions());
        using var batch = new SendBatch();
        foreach (IDatagramSocket to in new[] { plain, merging })
        {
            for (int i = 0; i < 6; i++)
                Assert.True(batch.TryAdd(To(Loopback(to)), Payload(i < 5 ? 1150 : 700, i)));
        }

        a.Send(batch);

        Assert.Equal(a.Segments ? 2 : 0, a.Counters.SegmentedSends);
        foreach (IDatagramSocket from in new[] { plain, merging })
            Assert.Equal(Enumerable.Range(0, 6).Select(i => Payload(i < 5 ? 1150 : 700, i)), ReceiveAll(from, 6).Select(r => r.Bytes));
        Assert.Equal(12, a.Counters.DatagramsSent);
    }

    [Fact]
    public void A_run_longer_than_the_kernel_takes_is_split()
    {
        using IDatagramSocket a = Open(new DatagramSocketOptions());
        using IDatagramSocket b = Open(new DatagramSocketOptions());
        using var batch = new SendBatch();
        for (int i = 0; i < 150; i++)
            Assert.True(batch.TryAdd(To(Loopback(b)), Payload(1200, i)));
        a.Send(batch);
        Assert.Equal(Enumerable.Range(0, 150).Select(i => Payload(1200, i)), ReceiveAll(b, 150).Select(r => r.Bytes));
        Assert.Equal(0, a.Counters.SendErrors);
    }

    [Fact]
    public void A_refused_segmented_message_is_retried_singly_and_harms_no_other_path()
    {
        // The kernel refuses to send from an address this host does not have, as EINVAL, like a refusal to segment.
        using IDatagramSocket a = Open(new DatagramSocketOptions());
        using IDatagramSocket b = Open(new DatagramSocketOptions());
        using var batch = new SendBatch(capacityBytes: 1 << 20);
        TransportAddress noSuchSource = TransportAddress.FromIPv4(0xC0000201, 0);
        for (int i = 0; i < 3; i++)
            Assert.True(batch.TryAdd(new TransportPath(noSuchSource, Loopback(b)), Payload(100, i)));
        for (int i = 0; i < 3; i++)
            Assert.True(batch.TryAdd(To(Loopback(b)), Payload(100, i)));
        a.Send(batch);
        Assert.Equal(3, ReceiveAll(b, 3).Count);
        Assert.Equal(3, a.Counters.SendErrors);
    }

    [Fact]
    public void Answers_leave_from_the_address_the_datagram_came_to()
    {
        using IDatagramSocket server = Open(new DatagramSocketOptions());
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        client.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var other = new IPEndPoint(IPAddress.Parse("127.0.0.2"), server.LocalAddress.Port);
        client.SendTo([1], other);

        (TransportPath path, byte[] bytes) = Assert.Single(ReceiveAll(server, 1));
        using var batch = new SendBatch();
        Assert.True(batch.TryAdd(path, bytes));
        Assert.True(batch.TryAdd(path, bytes));
        server.Send(batch);

        Assert.Equal(TransportAddress.From(other), path.Local);
        EndPoint from = new IPEndPoint(IPAddress.Any, 0);
        client.ReceiveTimeout = 5000;
        Assert.Equal(1, client.ReceiveFrom(new byte[10], ref from));
        Assert.Equal(other, from);
    }
}
