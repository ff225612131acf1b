using System.Buffers.Binary;
using Transcribe.Rtc.Sctp;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Sctp;

/// <summary>Random traffic of all kinds both ways over changing bad links, against a model of what may arrive.</summary>
public sealed class SctpSoakTests
{
    private const int Streams = 6;

    private sealed record Sent(int Stream, int Epoch, int Number, bool Unordered, bool Limited, int Length, int Seed);

    private sealed class Direction(SctpEnd from, SctpEnd to)
    {
        public SctpEnd From { get; } = from;

        public SctpEnd To { get; } = to;

        public List<Sent> Log { get; } = [];

        public HashSet<int> Arrived { get; } = [];

        public int[] SendEpoch { get; } = new int[Streams];

        public int[] ReceiveEpoch { get; } = new int[Streams];

        public int[] LastOrdered { get; } = [.. Enumerable.Repeat(-1, Streams)];

        public int ResetsSeen { get; set; }

        public int ResetsDone { get; set; }
    }

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 12)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Everything_arrives_as_the_model_says(int seed)
    {
        var random = new Random(seed);
        SctpPair pair = SctpPair.Connected(LinkConditions.Bad, seed, new() { SendBuffer = 300_000, MaxPacketSize = 600 }, new() { SendBuffer = 300_000 });
        pair.A.Association.RemoteMaxMessageSize = pair.B.Association.RemoteMaxMessageSize = 0;
        var directions = new[] { new Direction(pair.A, pair.B), new Direction(pair.B, pair.A) };
        foreach (Direction d in directions)
            d.To.MessageHandler = (stream, data) => Check(d, stream, data);

        for (int step = 0; step < 2500; step++)
        {
            Direction d = directions[random.Next(2)];
            SctpAssociation from = d.From.Association;
            int dice = random.Next(100);
            if (dice < 70)
            {
                int stream = random.Next(Streams);
                int length = 12 + (random.Next(12) == 0 ? random.Next(60_000) : random.Next(1500));
                var sent = new Sent(stream, d.SendEpoch[stream], d.Log.Count, random.Next(3) == 0, random.Next(4) == 0, length, random.Next());
                SctpDelivery delivery = new(
                    sent.Unordered,
                    sent.Limited && random.Next(2) == 0 ? random.Next(3) : null,
                    sent.Limited ? TimeSpan.FromMilliseconds(random.Next(600)) : null);
                if (from.Send(pair.Now, (ushort)stream, 53, Encode(sent), delivery) == SctpSendStatus.Queued)
                    d.Log.Add(sent);
            }
            else if (dice < 72)
            {
                int stream = random.Next(Streams);
                if (from.Send(pair.Now, (ushort)stream, 51, Encode(new(stream, d.SendEpoch[stream], d.Log.Count, false, false, 12, 1))) == SctpSendStatus.Queued)
                {
                    d.Log.Add(new(stream, d.SendEpoch[stream], d.Log.Count, false, false, 12, 1));
                    from.ResetStreams(pair.Now, [(ushort)stream]);
                    d.SendEpoch[stream]++;
                }
            }
            else if (dice < 74)
            {
                LinkConditions worse = LinkConditions.Bad with
                {
                    Loss = random.NextDouble() * 0.3,
                    Duplication = random.NextDouble() * 0.1,
                    Jitter = TimeSpan.FromMilliseconds(random.Next(100)),
                    BitsPerSecond = random.Next(3) == 0 ? 400_000 : 0,
                };
                (random.Next(2) == 0 ? pair.AtoB : pair.BtoA).Conditions = worse;
            }
            else
            {
                pair.Run(TimeSpan.FromMilliseconds(random.Next(60)));
            }

            foreach (Direction each in directions)
                NoteResets(each);
        }

        Assert.True(pair.RunUntil(
            () =>
            {
                foreach (Direction d in directions)
                    NoteResets(d);
                return pair.A.Association.BufferedAmount == 0 && pair.B.Association.BufferedAmount == 0;
            },
            TimeSpan.FromMinutes(10)));
        pair.Run(TimeSpan.FromSeconds(30));
        foreach (Direction d in directions)
        {
            NoteResets(d);
            Assert.Null(d.From.ClosedBy);
            Assert.DoesNotContain(d.Log, s => !s.Limited && !d.Arrived.Contains(s.Number));
            Assert.Equal(d.SendEpoch, d.ReceiveEpoch);
            Assert.Equal(d.SendEpoch.Sum(), d.From.OutgoingResets.Sum(r => r.Streams.Length));
            Assert.Equal(0, d.To.Association.ReceiveHeldBytes);
        }

        Assert.InRange(directions.Sum(d => d.Arrived.Count), 200, int.MaxValue);
        Assert.InRange(directions.Sum(d => d.SendEpoch.Sum()), 4, int.MaxValue);
    }

    private static void NoteResets(Direction d)
    {
        for (; d.ResetsSeen < d.To.IncomingResets.Count; d.ResetsSeen++)
        {
            foreach (ushort id in d.To.IncomingResets[d.ResetsSeen])
            {
                d.ReceiveEpoch[id]++;
                d.LastOrdered[id] = -1;
            }
        }
    }

    private static void Check(Direction d, ushort stream, byte[] data)
    {
        NoteResets(d);
        int number = BinaryPrimitives.ReadInt32BigEndian(data);
        Sent sent = d.Log[number];
        Assert.Equal(Encode(sent), data);
        Assert.Equal(sent.Stream, stream);
        Assert.Equal(sent.Epoch, d.ReceiveEpoch[stream]);
        Assert.True(d.Arrived.Add(number), "delivered twice");
        if (!sent.Unordered)
        {
            Assert.True(number > d.LastOrdered[stream], "out of order");
            d.LastOrdered[stream] = number;
        }
    }

    private static byte[] Encode(Sent sent)
    {
        byte[] bytes = SctpPair.Bytes(sent.Length, sent.Seed);
        BinaryPrimitives.WriteInt32BigEndian(bytes, sent.Number);
        return bytes;
    }
}
