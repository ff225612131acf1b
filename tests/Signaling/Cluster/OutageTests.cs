using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Signaling.Tests.Support;

namespace Transcribe.Signaling.Tests.Cluster;

/// <summary>The store and the bus are away for a while, with and without their data when they come back.</summary>
public sealed class OutageTests : TwoSignalingNodes
{
    [Fact]
    public async Task While_the_store_is_away_calls_say_so_and_nothing_ends()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        HubClient bob = await A.JoinAsync("bob");
        await alice.NextAsync<ParticipantJoined>();
        A.Wire.Cut();
        Assert.Equal("unavailable", (await alice.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest("v=0", []))).Error?.Code);
        Assert.Equal("unavailable", (await alice.CallAsync<ResyncReply>(HubMethods.Resync, new ResyncRequest(0))).Error?.Code);
        await using HubClient late = await A.ConnectAsync();
        Assert.Equal("unavailable", (await late.CallAsync<JoinReply>(HubMethods.Join, new JoinRequest(A.Token("late")))).Error?.Code);
        await bob.DisposeAsync();
        await Cluster.PassAsync(TimeSpan.FromSeconds(12));
        Assert.Equal(2, A.Sessions.Count);
        Assert.False(alice.HasSessionEvent);

        // The same node resumes without the store.
        await using HubClient again = await A.ConnectAsync();
        JoinReply reply = await again.JoinAsync(new JoinRequest(
            A.Token("bob"), Resume: new ResumeSession(bob.SessionId, bob.Joined.ResumeKey, 2)));
        Assert.True(reply.Resumed);
        Assert.Equal(2, reply.Room.Participants.Count);
        A.Wire.Mend();
        Assert.Null((await alice.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest("v=0", []))).Error);
    }

    [Fact]
    public async Task Who_leaves_while_the_store_is_away_is_gone_when_it_is_back()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        await using HubClient bob = await B.JoinAsync("bob");
        A.Wire.Cut();
        await alice.LeaveAsync();
        Assert.Equal(0, A.Sessions.Count);
        A.Wire.Mend();
        await Cluster.UntilAsync(() => bob.HasRoomEvent, "bob is told");
        Assert.Equal("left", (await bob.NextAsync<ParticipantLeft>()).Reason);
        await SignalingServer.UntilAsync(() => !A.Sfu.Sessions.ContainsKey(alice.SessionId));
    }

    [Fact]
    public async Task What_a_node_missed_is_told_when_the_store_is_back()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        A.Wire.Cut();
        await using HubClient bob = await B.JoinAsync("bob");
        A.Sfu.Connected = true;
        A.Wire.Mend();
        Assert.Equal("bob", (await alice.NextAsync<ParticipantJoined>()).Participant.Id);
        await Cluster.UntilAsync(() => alice.HasSessionEvent, "The node is asked about the session.");
        await alice.NextSessionEventAsync<SessionConnected>();
    }

    [Fact]
    public async Task Lost_events_are_found_without_any_other_event()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        Cluster.Bus.Loses = subject => subject == RoomSubjects.Events("demo");
        await using HubClient bob = await B.JoinAsync("bob");
        await Cluster.UntilAsync(() => alice.HasRoomEvent, "The gap is found.");
        Assert.Equal("bob", (await alice.NextAsync<ParticipantJoined>()).Participant.Id);
    }

    [Fact]
    public async Task A_lost_state_is_written_again_and_every_roster_is_right()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        await using HubClient bob = await B.JoinAsync("bob");
        await alice.NextAsync<ParticipantJoined>();
        var track = new TrackInfo("TR_b", "bob", TrackKind.Audio, TrackSource.Microphone, null, false, 7, "n1");
        await B.Rooms.PublishTrackAsync("demo", bob.SessionId, track);
        await alice.NextAsync<TrackPublished>();
        await bob.NextAsync<TrackPublished>();
        A.Wire.Cut();
        B.Wire.Cut();
        Cluster.LoseState();
        A.Wire.Mend(stateWasLost: true);
        B.Wire.Mend(stateWasLost: true);
        await A.Sfu.AnnounceAsync();
        await Cluster.UntilAsync(() => !alice.Resets.IsEmpty && !bob.Resets.IsEmpty, "The clients are told.");
        Assert.True(alice.Resets.TryPeek(out RoomSnapshot? reset));
        Assert.Equal(["alice", "bob"], reset.Participants.Select(info => info.Id));
        Assert.Equal(track, Assert.Single(reset.Participants[1].Tracks));
        Assert.Equal(2, reset.Sequence);

        // Numbers go on from there; and both sessions can be resumed and swept again.
        await using HubClient carol = await B.JoinAsync("carol");
        Assert.Equal(3, (await alice.NextAsync<ParticipantJoined>()).Sequence);
        await using HubClient again = await B.ConnectAsync();
        Assert.True((await again.JoinAsync(new JoinRequest(
            B.Token("alice"), Resume: new ResumeSession(alice.SessionId, alice.Joined.ResumeKey, 3)))).Resumed);
    }

    [Fact]
    public async Task A_lost_state_that_nobody_spoke_of_is_found_and_written_again()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        Cluster.LoseState();
        await Cluster.UntilAsync(() => !alice.Resets.IsEmpty, "The client is told.");
        Assert.Single((await A.Rooms.GetSnapshotAsync("demo")).Participants);
        Assert.False(alice.HasSessionEvent);
    }

    [Fact]
    public async Task A_room_that_was_closed_unheard_ends_its_sessions()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        Cluster.Bus.Loses = subject => subject == RoomSubjects.Events("demo");
        await B.Rooms.CloseAsync("demo", "closed");
        await Cluster.UntilAsync(() => alice.HasSessionEvent, "The client is told.");
        Assert.Equal("roomClosed", (await alice.NextSessionEventAsync<SessionClosed>()).Reason);
    }

    [Fact]
    public async Task Speakers_of_several_nodes_are_told_as_one_list_and_only_when_their_order_changes()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        await SpeakAsync("n1", new Speaker("bob", "TR_b", 30));
        await SpeakAsync("n2", new Speaker("carol", "TR_c", 20));
        await SignalingServer.UntilAsync(() => alice.Speakers.Count == 2);
        Assert.Equal(["TR_c", "TR_b"], alice.Speakers.Last().Speakers.Select(speaker => speaker.TrackId));
        await SpeakAsync("n1", new Speaker("bob", "TR_b", 25));
        await SpeakAsync("n2");
        await SignalingServer.UntilAsync(() => alice.Speakers.Count == 3);
        Assert.Equal(["TR_b"], alice.Speakers.Last().Speakers.Select(speaker => speaker.TrackId));
        Assert.Null(alice.Speakers.Last().Node);
    }

    private ValueTask SpeakAsync(string node, params Speaker[] speakers) =>
        Cluster.Bus.PublishAsync(SfuSubjects.Speakers("demo"), new ActiveSpeakers("demo", speakers, node));
}
