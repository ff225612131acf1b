using Transcribe.Cluster.Rooms;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Subscriber;

/// <summary>Joins a room as an invisible subscriber.</summary>
internal interface IRoomConnector
{
    /// <summary>Joins and waits until media and data can flow.</summary>
    /// <exception cref="RoomConnectionException">The room could not be joined.</exception>
    Task<IRoomConnection> ConnectAsync(string room, IRoomObserver observer, CancellationToken cancellationToken);
}

/// <summary>A joined room. Disposing leaves it.</summary>
internal interface IRoomConnection : IAsyncDisposable
{
    /// <summary>Sends on a data channel; false where it is not open or its buffer is full.</summary>
    bool TrySend(string label, ReadOnlySpan<byte> utf8);

    /// <summary>A participant's name as the room shows it.</summary>
    string? DisplayName(string participant);
}

/// <summary>What a joined room tells. Calls come from the connection's own threads and must return at once.</summary>
internal interface IRoomObserver
{
    /// <summary>A track is received from now on.</summary>
    void OnTrackStarted(TrackInfo track);

    void OnTrackEnded(string trackId);

    /// <summary>One packet; the payload is valid during the call only.</summary>
    void OnRtp(string trackId, uint ssrc, ushort sequence, uint timestamp, ReadOnlySpan<byte> payload, Instant arrival);

    /// <summary>The publisher's mapping of its RTP clock to the wall clock.</summary>
    void OnSenderClock(string trackId, DateTimeOffset wallClock, uint timestamp);

    /// <summary>Somebody else sent a caption into the room: only gateways can.</summary>
    void OnForeignCaption();

    /// <summary>Media and data go over another connection from now on: what was sent a moment ago may have reached nobody.</summary>
    void OnMoved();

    /// <summary>The room is left; nothing follows.</summary>
    void OnClosed(string reason);
}

/// <summary>A room could not be joined.</summary>
internal sealed class RoomConnectionException(string message, Exception? inner = null) : Exception(message, inner);
