using System.Buffers.Binary;
using System.Diagnostics;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;

namespace Transcribe.Bench;

/// <summary>A stream a client publishes: frames of a few packets at a steady rate.</summary>
/// <param name="Receivers">Copies each packet is to become.</param>
internal sealed record BenchStream(BenchPeer Publisher, MediaKind Kind, double FramesPerSecond, int PacketsPerFrame, int PayloadBytes, int Receivers);

/// <summary>Publishing by the clock, on the driver's thread. A frame that is late is sent late: nothing is skipped.</summary>
internal sealed class PublishPhase
{
    private readonly BenchDriver _driver;
    private readonly bool _toFloor;
    private readonly int _audioBytes;
    private readonly int _videoBytes;
    private readonly Instant _end;
    private readonly TaskCompletionSource _done;
    private readonly Instant[] _next;
    private readonly TimeSpan[] _interval;
    private readonly uint[] _timestamps;
    private readonly byte[] _buffer = new byte[2048];
    private readonly IReadOnlyList<BenchStream> _streams;
    private ushort _sequence;

    public PublishPhase(
        BenchDriver driver, IReadOnlyList<BenchStream> streams, Instant now, TimeSpan duration, bool toFloor, int audioBytes, int videoBytes, TaskCompletionSource done)
    {
        (_driver, _streams, _toFloor, _audioBytes, _videoBytes, _done) = (driver, streams, toFloor, audioBytes, videoBytes, done);
        _end = now + duration;
        _next = new Instant[streams.Count];
        _interval = new TimeSpan[streams.Count];
        _timestamps = new uint[streams.Count];
        for (int i = 0; i < streams.Count; i++)
        {
            _interval[i] = TimeSpan.FromSeconds(1 / streams[i].FramesPerSecond);

            // Nobody's cameras tick together.
            _next[i] = now + (_interval[i] * i / streams.Count);
            _timestamps[i] = (uint)Stopwatch.GetTimestamp();
        }
    }

    /// <summary>Packets that ought to arrive.</summary>
    public long Expected { get; private set; }

    /// <summary>How late a frame was published at most.</summary>
    public TimeSpan Latest { get; private set; }

    /// <summary>Publishes what is due and tells when to come again.</summary>
    public Instant Step(Instant now)
    {
        if (now >= _end)
        {
            _done.TrySetResult();
            return Instant.Never;
        }

        Instant first = _end;
        for (int i = 0; i < _streams.Count; i++)
        {
            if (_next[i] <= now)
            {
                if (now - _next[i] > Latest)
                    Latest = now - _next[i];
                Publish(_streams[i], now, i);
                _next[i] += _interval[i];
            }

            first = Instant.Min(first, _next[i]);
        }

        return first;
    }

    private void Publish(BenchStream stream, Instant now, int index)
    {
        RtcMedia media = stream.Kind == MediaKind.Audio ? stream.Publisher.Audio! : stream.Publisher.Video!;
        _timestamps[index] += (uint)((stream.Kind == MediaKind.Audio ? 48_000 : 90_000) / stream.FramesPerSecond);
        for (int p = 0; p < stream.PacketsPerFrame; p++)
        {
            bool last = p == stream.PacketsPerFrame - 1;
            Span<byte> payload = _buffer.AsSpan(12, stream.PayloadBytes);
            if (stream.Kind == MediaKind.Video)
            {
                // Every frame is a VP8 keyframe: whoever joins can start with the next one.
                payload[..8].Clear();
                if (p == 0)
                    new byte[] { 0x10, 0x10, 0, 0, 0x9D, 0x01, 0x2A, 64, 0, 64, 0 }.CopyTo(payload);
            }
            else
            {
                payload[0] = 0x78;
            }

            BinaryPrimitives.WriteInt64LittleEndian(payload[BenchPeer.StampOffset..], Stopwatch.GetTimestamp());
            if (_toFloor)
                SendPlain(stream, media, index, last);
            else if (!stream.Publisher.Send(now, media, payload, last && stream.Kind == MediaKind.Video, _timestamps[index]))
                _driver.Problem("a publisher could not send");
            Expected += stream.Receivers;
        }
    }

    /// <summary>The floor gets datagrams of the sizes that the SFU sent.</summary>
    private void SendPlain(BenchStream stream, RtcMedia media, int index, bool last)
    {
        _buffer[0] = 0x80;
        _buffer[1] = (byte)((last ? 0x80 : 0) | media.Codecs[0].PayloadType);
        BinaryPrimitives.WriteUInt16BigEndian(_buffer.AsSpan(2), _sequence++);
        BinaryPrimitives.WriteUInt32BigEndian(_buffer.AsSpan(4), _timestamps[index]);
        BinaryPrimitives.WriteUInt32BigEndian(_buffer.AsSpan(8), media.LocalSsrc);
        int size = stream.Kind == MediaKind.Audio ? _audioBytes : _videoBytes;
        _driver.Send(new TransportPath(stream.Publisher.Address, TransportAddress.FromIPv4(0x7F00_0001, _driver.FloorPort)), _buffer.AsSpan(0, size));
    }
}
