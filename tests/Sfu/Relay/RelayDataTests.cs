using System.Text;
using CsCheck;
using Transcribe.Rtc;
using Transcribe.Sfu.Relay;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Tests.Relay;

/// <summary>Data messages between nodes on a virtual clock; links that are cut lose what is under way.</summary>
public sealed class RelayDataTests
{
    private const string Room = "demo";
    private static readonly DataMessage Captions = new("captions", true, true, null, null, "");

    /// <summary>Nodes, and links that keep order as long as they live.</summary>
    private sealed class Net
    {
        private readonly Dictionary<string, (string Child, string Parent, Queue<byte[]> Up, Queue<byte[]> Down)> _links = [];
        private ulong _epoch;
        private int _next;

        public Net(RelayOptions? options, params string[] nodes)
        {
            foreach (string node in nodes)
                Nodes.Add(node, new Node(this, node, options ?? new RelayOptions()));
        }

        public Dictionary<string, Node> Nodes { get; } = [];

        public Instant Now { get; set; } = Instant.Zero;

        public ulong NewEpoch() => ++_epoch;

        public string Connect(string child, string parent)
        {
            string link = $"L{++_next}";
            _links.Add(link, (child, parent, new(), new()));
            Nodes[child].Data.SetUplink(Room, link);
            return link;
        }

        public void Cut(string link)
        {
            if (!_links.Remove(link, out var ends))
                return;
            Nodes[ends.Child].Data.OnLinkDown(link);
            Nodes[ends.Parent].Data.OnLinkDown(link);
        }

        public void Send(string from, string link, byte[] envelope)
        {
            if (_links.TryGetValue(link, out var ends))
                (ends.Child == from ? ends.Up : ends.Down).Enqueue(envelope);
        }

        /// <summary>Delivers one message of a random link; false where nothing is under way.</summary>
        public bool Step(Random random)
        {
            string[] busy = [.. _links.Where(l => l.Value.Up.Count + l.Value.Down.Count > 0).Select(l => l.Key)];
            if (busy.Length == 0)
                return false;
            string link = busy[random.Next(busy.Length)];
            var (child, parent, up, down) = _links[link];
            bool upwards = down.Count == 0 || (up.Count > 0 && random.Next(2) == 0);
            Nodes[upwards ? parent : child].Data.OnEnvelope(Now, link, (upwards ? up : down).Dequeue());
            return true;
        }

        public void Settle()
        {
            var random = new Random(1);
            while (Step(random))
            {
            }
        }

        public void Say(string node, string text, string label = "captions") =>
            Nodes[node].Data.OnLocal(Now, Room, Captions with { Label = label }, Encoding.UTF8.GetBytes(text));
    }

    private sealed class Node : IRelayDataOutput
    {
        private readonly Net _net;
        private readonly string _id;

        public Node(Net net, string id, RelayOptions options)
        {
            (_net, _id) = (net, id);
            Data = new RelayData(id, options, this, net.NewEpoch);
            Data.OpenRoom(Room);
        }

        public RelayData Data { get; }

        public List<string> Heard { get; } = [];

        public List<string> Lost { get; } = [];

        public void Send(string link, byte[] envelope) => _net.Send(_id, link, envelope);

        public void Deliver(string room, RelayEnvelope message) => Heard.Add(Encoding.UTF8.GetString(message.Payload.Span));

        public void UplinkLost(string room, string link) => Lost.Add(link);
    }

    [Fact]
    public void A_message_reaches_every_other_node_once()
    {
        var net = new Net(null, "a", "b", "c", "d");
        net.Connect("b", "a");
        net.Connect("c", "a");
        net.Connect("d", "b");
        net.Settle();
        net.Say("d", "one");
        net.Say("a", "two");
        net.Settle();
        Assert.Equal(["two", "one"], net.Nodes["b"].Heard.Order().Reverse());
        Assert.Equal(["one", "two"], net.Nodes["c"].Heard.Order());
        Assert.Equal(["two"], net.Nodes["d"].Heard);
        Assert.Equal(["one"], net.Nodes["a"].Heard);
    }

    [Fact]
    public void Who_comes_later_hears_nothing_old()
    {
        var net = new Net(null, "a", "b");
        net.Say("a", "before");
        net.Connect("b", "a");
        net.Settle();
        net.Say("a", "after");
        net.Settle();
        Assert.Equal(["after"], net.Nodes["b"].Heard);
    }

    [Fact]
    public void What_was_said_before_the_link_was_up_is_heard_above()
    {
        var net = new Net(null, "a", "b");
        net.Say("b", "early");
        net.Connect("b", "a");
        net.Say("b", "meanwhile");
        net.Settle();
        Assert.Equal(["early", "meanwhile"], net.Nodes["a"].Heard);
    }

    [Fact]
    public void Over_a_cut_link_none_is_lost_and_none_comes_twice()
    {
        var net = new Net(null, "a", "b");
        string link = net.Connect("b", "a");
        net.Settle();
        net.Say("a", "1");
        net.Say("b", "x");
        net.Cut(link);
        Assert.Equal([link], net.Nodes["b"].Lost);
        net.Say("a", "2");
        net.Say("b", "y");
        net.Connect("b", "a");
        net.Say("a", "3");
        net.Say("b", "z");
        net.Settle();
        Assert.Equal(["1", "2", "3"], net.Nodes["b"].Heard);
        Assert.Equal(["x", "y", "z"], net.Nodes["a"].Heard);
    }

    /// <summary>The node was not in the room until now.</summary>
    private static void OpenWithPast(Net net, string node)
    {
        net.Nodes[node].Data.CloseRoom(Room);
        net.Nodes[node].Data.OpenRoom(Room, withPast: true);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Over_a_node_that_comes_to_help_none_is_lost_and_none_comes_twice(bool helperFirst)
    {
        var net = new Net(null, "a", "b", "helper");
        string link = net.Connect("b", "a");
        net.Settle();
        net.Say("a", "1", "chat");
        net.Say("b", "x", "chat");
        net.Settle();
        net.Cut(link);
        net.Say("a", "2", "chat");
        net.Say("b", "y", "chat");
        OpenWithPast(net, "helper");
        if (helperFirst)
            net.Connect("helper", "a");
        net.Connect("b", "helper");
        if (!helperFirst)
            net.Connect("helper", "a");
        net.Say("a", "3", "chat");
        net.Say("b", "z", "chat");
        net.Settle();
        Assert.Equal(["1", "2", "3"], net.Nodes["b"].Heard);
        Assert.Equal(["x", "y", "z"], net.Nodes["a"].Heard);
    }

    [Fact]
    public void A_node_that_gets_sessions_of_a_dead_one_tells_them_past_captions_and_nothing_else_of_the_past()
    {
        var net = new Net(null, "a", "b");
        net.Say("a", "caption");
        net.Say("a", "raised hand", "chat");
        OpenWithPast(net, "b");
        net.Connect("b", "a");
        net.Settle();
        net.Say("a", "lowered hand", "chat");
        net.Settle();
        Assert.Equal(["caption", "lowered hand"], net.Nodes["b"].Heard);
        Assert.Equal(["caption"], net.Nodes["b"].Data.ReadLast(net.Now, Room, "captions", TimeSpan.FromSeconds(15)).Select(m => Encoding.UTF8.GetString(m.Payload.Span)));
    }

    [Fact]
    public void Only_what_was_said_lately_is_read_again()
    {
        var net = new Net(null, "a");
        net.Say("a", "old");
        net.Now += TimeSpan.FromSeconds(16);
        net.Say("a", "new");
        net.Say("a", "other", "chat");
        Assert.Equal(["new"], net.Nodes["a"].Data.ReadLast(net.Now, Room, "captions", TimeSpan.FromSeconds(15)).Select(m => Encoding.UTF8.GetString(m.Payload.Span)));
        Assert.Empty(net.Nodes["a"].Data.ReadLast(net.Now, "nowhere", "captions", TimeSpan.FromSeconds(15)));
    }

    [Fact]
    public void A_parent_that_does_not_serve_the_room_says_so()
    {
        var net = new Net(null, "a", "b");
        net.Nodes["a"].Data.CloseRoom(Room);
        string link = net.Connect("b", "a");
        net.Settle();
        Assert.Equal([link], net.Nodes["b"].Lost);
    }

    [Fact]
    public void A_parent_that_leaves_the_room_says_so()
    {
        var net = new Net(null, "a", "b");
        string link = net.Connect("b", "a");
        net.Settle();
        net.Nodes["a"].Data.CloseRoom(Room);
        net.Settle();
        Assert.Equal([link], net.Nodes["b"].Lost);
    }

    [Fact]
    public void What_is_kept_is_bounded_in_time_number_and_bytes()
    {
        var net = new Net(new RelayOptions { MaxResendMessages = 16, MaxResendBytes = 65_536 }, "a");
        for (int i = 0; i < 20; i++)
            net.Say("a", "short");
        Assert.Equal(16, net.Nodes["a"].Data.KeptIn(Room));
        for (int i = 0; i < 4; i++)
            net.Say("a", new string('x', 30_000));
        Assert.Equal(2, net.Nodes["a"].Data.KeptIn(Room));
        net.Now += TimeSpan.FromSeconds(31);
        net.Nodes["a"].Data.Sweep(net.Now);
        Assert.Equal(0, net.Nodes["a"].Data.KeptIn(Room));
    }

    [Fact]
    public void A_message_of_a_stranger_is_not_delivered()
    {
        var net = new Net(null, "a");
        byte[] forged = RelayEnvelope.WriteMessage(Room, new MessageOrigin("x", 1), 1, Captions, "no"u8);
        net.Nodes["a"].Data.OnEnvelope(net.Now, "L9", forged);
        net.Nodes["a"].Data.OnEnvelope(net.Now, "L9", [1, 2, 3]);
        Assert.Empty(net.Nodes["a"].Heard);
        Assert.Equal((1, 1), (net.Nodes["a"].Data.Counters.Stray, net.Nodes["a"].Data.Counters.Malformed));
    }

    [Fact]
    public void Whichever_links_are_cut_when_none_is_lost_and_none_comes_twice_and_each_speaker_is_in_order()
    {
        (from seed in Gen.Int select seed).Sample(
            seed =>
            {
                var random = new Random(seed);
                string[] names = ["a", "b", "c", "d", "e"];
                var net = new Net(null, names);
                var parents = new Dictionary<string, string>();
                var links = new Dictionary<string, string>();
                for (int i = 1; i < names.Length; i++)
                {
                    parents[names[i]] = names[random.Next(i)];
                    links[names[i]] = net.Connect(names[i], parents[names[i]]);
                }

                net.Settle();
                var said = names.ToDictionary(n => n, _ => new List<string>());
                for (int step = 0; step < 200; step++)
                {
                    net.Now += TimeSpan.FromMilliseconds(random.Next(50));
                    switch (random.Next(8))
                    {
                        case 0:
                            // Cut, and attach again: here or higher up, now or after the next steps.
                            string child = names[random.Next(1, names.Length)];
                            net.Cut(links[child]);
                            if (random.Next(2) == 0)
                                net.Say("a", Add("a"));
                            links[child] = net.Connect(child, random.Next(2) == 0 ? parents[child] : "a");
                            break;
                        case < 4:
                            string speaker = names[random.Next(names.Length)];
                            net.Say(speaker, Add(speaker));
                            break;
                        default:
                            net.Step(random);
                            break;
                    }
                }

                net.Settle();
                foreach ((string name, Node node) in net.Nodes)
                {
                    foreach ((string speaker, List<string> texts) in said.Where(s => s.Key != name))
                        Assert.Equal(texts, node.Heard.Where(t => t.StartsWith(speaker, StringComparison.Ordinal)));
                }

                string Add(string speaker)
                {
                    said[speaker].Add($"{speaker}{said[speaker].Count}");
                    return said[speaker][^1];
                }
            },
            iter: 300);
    }
}
