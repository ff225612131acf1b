using System.Security.Cryptography;
using Transcribe.Rtc.Dtls;

namespace Transcribe.Rtc.Tests.Dtls;

public sealed class DtlsRecordLayerTests
{
    [Theory]
    [InlineData(16)]
    [InlineData(32)]
    public void Records_of_every_length_come_back_once(int key)
    {
        (DtlsRecordLayer client, DtlsRecordLayer server) = Pair(key);
        byte[] plain = new byte[DtlsRecord.MaxLength];
        for (int length = 0; length <= 1300; length++)
        {
            byte[] data = RandomNumberGenerator.GetBytes(length);
            byte[] record = new byte[length + 64];
            int size = client.Seal(DtlsRecord.ApplicationData, data, record);
            Assert.Equal(length + DtlsRecord.HeaderLength + DtlsRecord.MinProtectedBody, size);
            Assert.Equal(length + 1, DtlsRecord.Sequence(record));
            Assert.Equal(length, server.Open(record.AsSpan(0, size), plain));
            Assert.Equal(data, plain[..length]);
            Assert.Equal(-1, server.Open(record.AsSpan(0, size), plain));
            Assert.Equal(-1, client.Open(record.AsSpan(0, size), plain));
        }
    }

    [Fact]
    public void Any_flipped_bit_is_refused_and_does_no_harm()
    {
        (DtlsRecordLayer client, DtlsRecordLayer server) = Pair(16);
        byte[] plain = new byte[100];
        byte[] record = new byte[100];
        int size = server.Seal(DtlsRecord.ApplicationData, "data"u8, record);
        for (int bit = 0; bit < size * 8; bit++)
        {
            // The length was checked before; it is not looked at again.
            if (bit / 8 is 11 or 12)
                continue;
            byte[] damaged = record[..size];
            damaged[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Equal(-1, client.Open(damaged, plain));
        }

        Assert.Equal(4, client.Open(record.AsSpan(0, size), plain));
    }

    [Fact]
    public void Refuses_to_send_when_there_is_no_room()
    {
        (DtlsRecordLayer client, _) = Pair(16);
        Assert.Equal(0, client.Seal(DtlsRecord.ApplicationData, new byte[100], new byte[136]));
        Assert.Equal(0, client.Seal(DtlsRecord.ApplicationData, new byte[DtlsRecordLayer.MaxPlain + 1], new byte[8192]));
        Assert.Equal(137, client.Seal(DtlsRecord.ApplicationData, new byte[100], new byte[137]));
    }

    [Fact]
    public void Data_allocates_nothing()
    {
        using DtlsPair pair = new();
        pair.Start();
        pair.Run(TimeSpan.FromSeconds(60), () => pair.Connected);
        byte[] data = new byte[1000];
        byte[] last = [];
        pair.Client.OnSend = bytes => last = bytes;
        long spent = 0;
        for (int i = 0; i < 200; i++)
        {
            Assert.True(pair.Client.Transport.Send(pair.Now, data));
            if (i == 100)
                spent = GC.GetAllocatedBytesForCurrentThread();
            pair.Server.Transport.Receive(pair.Now, last);
        }

        // What the test's own ends copy: the datagram sent and the data received, some 2,100 bytes.
        Assert.Equal(200, pair.Server.Data.Count);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - spent, 1, 100 * 2400);
    }

    /// <summary>An off-path sender cannot have the last flight sent again and again.</summary>
    [Fact]
    public void Only_an_authentic_finished_has_the_last_flight_sent_again()
    {
        using DtlsPair pair = new();
        List<byte[]> fromClient = [];
        pair.ToServerFilter = bytes =>
        {
            fromClient.Add(bytes);
            return true;
        };
        pair.Start();
        pair.Run(TimeSpan.FromSeconds(60), () => pair.Connected);
        long before = pair.Server.Transport.Counters.DatagramsSent;

        // The client's last flight once more, as the network may repeat it: its Finished is taken once, then it is a replay.
        foreach (byte[] datagram in fromClient.Concat(fromClient).Concat(fromClient))
            pair.Server.Transport.Receive(pair.Now, datagram);
        Assert.Equal(before + 1, pair.Server.Transport.Counters.DatagramsSent);

        // Damaged, it is nothing.
        byte[] last = fromClient[^1];
        last[^1] ^= 1;
        pair.Server.Transport.Receive(pair.Now, last);
        Assert.Equal(before + 1, pair.Server.Transport.Counters.DatagramsSent);
        Assert.True(pair.Server.Transport.Send(pair.Now, [7]));
        pair.Run(TimeSpan.FromSeconds(1));
        Assert.Equal([7], Assert.Single(pair.Client.Data));
    }

    private static (DtlsRecordLayer Client, DtlsRecordLayer Server) Pair(int key)
    {
        byte[] block = RandomNumberGenerator.GetBytes(DtlsRecordLayer.KeyBlockLength(key));
        return (new(block, isClient: true, 1), new(block, isClient: false, 1));
    }
}
