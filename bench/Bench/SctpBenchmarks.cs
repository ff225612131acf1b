using BenchmarkDotNet.Attributes;
using Transcribe.Rtc;
using Transcribe.Rtc.Sctp;

namespace Transcribe.Bench;

/// <summary>A message there and an equal one back over two associations, acknowledgements included; no DTLS.</summary>
[MemoryDiagnoser]
public class SctpBenchmarks
{
    private readonly Side _a = new();
    private readonly Side _b = new();
    private byte[] _message = [];
    private Instant _now = Instant.Zero;

    [Params(200, 20_000)]
    public int Bytes { get; set; }

    [GlobalSetup]
    public void Prepare()
    {
        _message = new byte[Bytes];
        _a.Association.Connect(_now);
        _b.Association.Connect(_now);
        Run();
        if (_a.Association.State != SctpState.Established || _b.Association.State != SctpState.Established)
            throw new InvalidOperationException("The associations are not established.");
    }

    [Benchmark]
    public int RoundTrip()
    {
        int before = _a.Messages;
        Send(_a);
        Run();
        Send(_b);
        Run();
        return _a.Messages == before + 1 ? _a.Messages : throw new InvalidOperationException("The answer did not arrive.");
    }

    private void Send(Side side)
    {
        if (side.Association.Send(_now, 0, 53, _message) != SctpSendStatus.Queued)
            throw new InvalidOperationException("The message was not taken.");
    }

    private void Run()
    {
        _now += TimeSpan.FromMilliseconds(1);
        do
        {
            Expire(_a);
            Expire(_b);
        }
        while (Deliver(_a, _b) | Deliver(_b, _a));
    }

    private void Expire(Side side)
    {
        if (side.Association.NextTimeout <= _now)
            side.Association.HandleTimeout(_now);
    }

    private bool Deliver(Side from, Side to)
    {
        bool any = false;
        while (from.TryTake(out ReadOnlySpan<byte> packet))
        {
            to.Association.Receive(_now, packet);
            any = true;
        }

        return any;
    }

    /// <summary>An association and the packets it sent, in a ring that allocates nothing.</summary>
    private sealed class Side : ISctpObserver
    {
        private readonly byte[][] _ring = [.. Enumerable.Range(0, 256).Select(_ => new byte[2048])];
        private readonly int[] _lengths = new int[256];
        private int _written;
        private int _read;

        public Side() => Association = new SctpAssociation(new SctpOptions(), this);

        public SctpAssociation Association { get; }

        public int Messages { get; private set; }

        public bool TryTake(out ReadOnlySpan<byte> packet)
        {
            packet = _read == _written ? default : _ring[_read & 255].AsSpan(0, _lengths[_read & 255]);
            if (_read == _written)
                return false;
            _read++;
            return true;
        }

        public void OnSend(ReadOnlySpan<byte> packet)
        {
            packet.CopyTo(_ring[_written & 255]);
            _lengths[_written++ & 255] = packet.Length;
        }

        public void OnMessage(Instant now, ushort streamId, uint payloadProtocolId, ReadOnlySpan<byte> message) => Messages++;

        public void OnConnected(Instant now)
        {
        }

        public void OnRestarted(Instant now)
        {
        }

        public void OnIncomingStreamsReset(Instant now, ReadOnlySpan<ushort> streamIds)
        {
        }

        public void OnOutgoingStreamsReset(Instant now, ReadOnlySpan<ushort> streamIds, bool performed)
        {
        }

        public void OnBufferedAmountLow(Instant now, ushort streamId)
        {
        }

        public void OnClosed(Instant now, string reason)
        {
        }
    }
}
