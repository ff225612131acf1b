using CsCheck;
using Transcribe.Cluster.Rooms;

namespace Transcribe.Cluster.Tests.Rooms;

public class RoomNamesTests
{
    [Theory]
    [InlineData("demo")]
    [InlineData("Team-1_a.b")]
    public void Accepts_room_names(string name) => Assert.True(RoomNames.IsRoom(name, out _));

    [Theory]
    [InlineData("alice")]
    [InlineData("älïce@example.org")]
    [InlineData("tenant:user|7")]
    public void Accepts_identities(string id) => Assert.True(RoomNames.IsParticipant(id, out _));

    [Theory]
    [InlineData("")]
    [InlineData("a b")]
    [InlineData("a/b")]
    [InlineData("a\u0000")]
    [InlineData("\ud800")]
    public void Refuses_identities_with_a_sentence(string id)
    {
        Assert.False(RoomNames.IsParticipant(id, out string? problem));
        Assert.EndsWith("(no blanks).", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void An_accepted_name_is_safe_in_a_key_a_subject_and_a_path() =>
        Gen.String.Sample(name =>
        {
            if (RoomNames.IsRoom(name, out _) || RoomNames.IsParticipant(name, out _))
                Assert.False(name.AsSpan().ContainsAny("/\\?#%*> \r\n\t\0"), name);
        });
}
