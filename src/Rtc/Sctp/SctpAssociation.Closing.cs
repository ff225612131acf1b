using System.Buffers.Binary;
using System.Text;

namespace Transcribe.Rtc.Sctp;

/// <content>SHUTDOWN, ABORT and the end (RFC 9260, sections 8.4 and 9).</content>
public sealed partial class SctpAssociation
{
    private Instant _shutdownTimer = Instant.Never;

    /// <summary>Ends the association once all messages were acknowledged. No more are taken.</summary>
    public void Shutdown(Instant now)
    {
        if (_terminated)
            return;
        Enter(now);
        if (State == SctpState.Established)
            State = SctpState.ShutdownPending;
        else if (State is SctpState.Closed or SctpState.CookieWait or SctpState.CookieEchoed)
            AbortNow(SctpCause.UserAbort, "closed");
        Leave();
    }

    /// <summary>Ends the association at once; the peer is told.</summary>
    /// <param name="reason">Told to the peer and to <see cref="ISctpObserver.OnClosed"/>; the first 200 bytes of it.</param>
    public void Abort(Instant now, string reason = "closed")
    {
        if (_terminated)
            return;
        Enter(now);
        AbortNow(SctpCause.UserAbort, reason);
        Leave();
    }

    private void AbortNow(SctpCause cause, string reason)
    {
        if (_peerTag != 0)
        {
            const int MostBytes = 200;
            byte[] text = cause is SctpCause.UserAbort or SctpCause.ProtocolViolation ? Encoding.UTF8.GetBytes(reason) : [];
            int length = Math.Min(text.Length, MostBytes);
            Span<byte> to = Append(SctpChunkType.Abort, 0, Tlv.HeaderSize + Tlv.Pad(length));
            SctpPacketWriter.WriteParameter(to, (ushort)cause, text.AsSpan(0, length));
            FlushPacket();
        }

        Terminate(reason);
    }

    private void Terminate(string reason)
    {
        if (_terminated)
            return;
        _terminated = true;
        State = SctpState.Closed;
        FlushPacket();
        ClearTimers();
        ClearResets();
        _outstanding.Clear();
        _sendQueue.Clear();
        _reassembly.ResetAll();
        _observer.OnClosed(_now, reason);
    }

    private void ClearTimers()
    {
        _initTimer = _sackTimer = _t3Timer = _reconfigTimer = _shutdownTimer = _heartbeatTimer = Instant.Never;
        _sack = SackNeed.None;
        _forwardTsnDue = _fastRetransmit = false;
    }

    /// <summary>Moves a shutdown on when nothing is left to send or to be acknowledged.</summary>
    private void GoOnShuttingDown()
    {
        if (_outstanding.Count > 0 || !_sendQueue.IsEmpty)
            return;
        if (State == SctpState.ShutdownPending)
        {
            State = SctpState.ShutdownSent;
            SendShutdown();
            _shutdownTimer = _now + _rto.Rto;
        }
        else if (State == SctpState.ShutdownReceived)
        {
            State = SctpState.ShutdownAckSent;
            SendShutdownAck();
            _shutdownTimer = _now + _rto.Rto;
        }
    }

    private void SendShutdown() =>
        BinaryPrimitives.WriteUInt32BigEndian(Append(SctpChunkType.Shutdown, 0, 4), _received.CumulativeTsn);

    private void SendShutdownAck() => Append(SctpChunkType.ShutdownAck, 0, 0);

    private void OnShutdownTimer()
    {
        _shutdownTimer = Instant.Never;
        _rto.BackOff();
        if (CountError())
            return;
        if (State == SctpState.ShutdownSent)
            SendShutdown();
        else if (State == SctpState.ShutdownAckSent)
            SendShutdownAck();
        else
            return;
        _shutdownTimer = _now + _rto.Rto;
    }

    private void OnShutdown(ReadOnlySpan<byte> value)
    {
        if (value.Length < 4)
        {
            Statistics.DroppedMalformed++;
            return;
        }

        switch (State)
        {
            case SctpState.Established or SctpState.ShutdownPending or SctpState.ShutdownReceived:
                State = SctpState.ShutdownReceived;
                bool wasFull = _outstanding.FlightSize + _packetSize >= _congestion.Window;
                if (_outstanding.TryAdvance(BinaryPrimitives.ReadUInt32BigEndian(value), out SackOutcome outcome))
                    AfterAcknowledgement(outcome, wasFull);
                break;
            case SctpState.ShutdownSent:
                State = SctpState.ShutdownAckSent;
                SendShutdownAck();
                _shutdownTimer = _now + _rto.Rto;
                break;
            case SctpState.ShutdownAckSent:
                SendShutdownAck();
                break;
        }
    }

    private void OnShutdownAck(uint tag)
    {
        if (State is SctpState.ShutdownSent or SctpState.ShutdownAckSent)
        {
            Append(SctpChunkType.ShutdownComplete, 0, 0);
            Terminate("shutdown complete");
        }
        else if (State is SctpState.CookieWait or SctpState.CookieEchoed)
        {
            // Of an association before ours (section 8.5.1, E).
            AppendAlone(SctpChunkType.ShutdownComplete, 1, 0, tag);
            FlushPacket();
        }
    }

    /// <summary>Out of the blue (section 8.4): the association is over here, the peer may not know.</summary>
    private void AnswerAfterEnd(SctpChunkType first, uint tag)
    {
        switch (first)
        {
            case SctpChunkType.Abort or SctpChunkType.ShutdownComplete or SctpChunkType.Init or SctpChunkType.InitAck
                or SctpChunkType.CookieEcho or SctpChunkType.CookieAck or SctpChunkType.Error:
                Statistics.DroppedNotOurs++;
                break;
            case SctpChunkType.ShutdownAck:
                AppendAlone(SctpChunkType.ShutdownComplete, 1, 0, tag);
                FlushPacket();
                break;
            default:
                AppendAlone(SctpChunkType.Abort, 1, 0, tag);
                FlushPacket();
                break;
        }
    }

    private static string AbortReason(ReadOnlySpan<byte> causes)
    {
        if (!Tlv.TryRead(ref causes, out ushort cause, out ReadOnlySpan<byte> value))
            return "aborted by the peer";
        if ((SctpCause)cause is not (SctpCause.UserAbort or SctpCause.ProtocolViolation) || value.IsEmpty)
            return $"aborted by the peer, cause {cause}";

        // Text from outside: printable characters only.
        var text = new StringBuilder();
        foreach (byte b in value[..Math.Min(value.Length, 200)])
            text.Append(b is >= 0x20 and < 0x7F ? (char)b : '?');
        return $"aborted by the peer, cause {cause}: {text}";
    }
}
