using System.Buffers.Binary;

namespace Transcribe.Rtc.Sctp;

/// <content>Stream reset (RFC 6525): our outgoing streams by request, the incoming ones by the peer's.</content>
public sealed partial class SctpAssociation
{
    private readonly List<ushort> _resetWanted = [];
    private ushort[] _resetRequested = [];
    private uint _resetLastTsn;
    private uint _reconfigNext;
    private bool _resetInProgress;
    private Instant _reconfigTimer = Instant.Never;

    private uint _peerReconfigNext;
    private ReconfigResult _peerReconfigResult = ReconfigResult.NothingToDo;
    private bool _deferred;
    private uint _deferredLastTsn;
    private bool _performedBefore;
    private ushort[] _deferredStreams = [];

    /// <summary>
    /// Resets our outgoing streams once their queued messages were sent; no more are taken for them until the peer has
    /// confirmed (<see cref="ISctpObserver.OnOutgoingStreamsReset"/>).
    /// </summary>
    public void ResetStreams(Instant now, ReadOnlySpan<ushort> streamIds)
    {
        if (_terminated)
            return;
        Enter(now);
        foreach (ushort id in streamIds)
        {
            if (!_resetWanted.Contains(id))
                _resetWanted.Add(id);
        }

        Leave();
    }

    /// <summary>Drops the messages of a stream of which nothing was sent yet.</summary>
    public void DiscardUnsent(ushort streamId) => _sendQueue.Discard(streamId);

    /// <summary>Sends a request for the streams that are drained, if none is on its way.</summary>
    private void RequestResets()
    {
        if (_resetRequested.Length > 0 || _resetWanted.Count == 0)
            return;
        int most = (_packetSize - SctpPacket.HeaderSize - (2 * Tlv.HeaderSize) - OutgoingResetRequest.FixedSize) / 2;
        var due = new List<ushort>();
        foreach (ushort id in _resetWanted)
        {
            if (due.Count < most && _sendQueue.IsDrained(id))
                due.Add(id);
        }

        if (due.Count == 0)
            return;
        _resetWanted.RemoveAll(due.Contains);
        _resetRequested = [.. due];
        _resetLastTsn = _outstanding.NextTsn - 1;
        _resetInProgress = false;
        if (!_peerReconfig)
        {
            FinishReset(performed: false);
            return;
        }

        SendResetRequest();
    }

    private void SendResetRequest()
    {
        int size = OutgoingResetRequest.FixedSize + (_resetRequested.Length * 2);
        Span<byte> to = Append(SctpChunkType.Reconfig, 0, Tlv.HeaderSize + size);
        BinaryPrimitives.WriteUInt16BigEndian(to, (ushort)SctpParameterType.OutgoingReset);
        BinaryPrimitives.WriteUInt16BigEndian(to[2..], (ushort)(Tlv.HeaderSize + size));
        BinaryPrimitives.WriteUInt32BigEndian(to[4..], _reconfigNext);
        BinaryPrimitives.WriteUInt32BigEndian(to[8..], _peerReconfigNext - 1);
        BinaryPrimitives.WriteUInt32BigEndian(to[12..], _resetLastTsn);
        for (int i = 0; i < _resetRequested.Length; i++)
            BinaryPrimitives.WriteUInt16BigEndian(to[(16 + (i * 2))..], _resetRequested[i]);
        _reconfigTimer = _now + _rto.Rto;
    }

    private void OnReconfigTimer()
    {
        _reconfigTimer = Instant.Never;
        if (_resetRequested.Length == 0 || !CanCarryData)
            return;
        if (_resetInProgress)
        {
            // A peer that has said "in progress" gives the same answer to the same number for ever (usrsctp); dcSCTP asks anew too.
            _resetInProgress = false;
            _reconfigNext++;
        }
        else
        {
            _rto.BackOff();
            if (CountError())
                return;
        }

        SendResetRequest();
    }

    private void OnReconfig(ReadOnlySpan<byte> value)
    {
        if (!CanCarryData && State != SctpState.ShutdownSent)
            return;
        while (!_terminated && SctpParameter.TryRead(ref value, out SctpParameter parameter))
        {
            switch (parameter.Type)
            {
                case SctpParameterType.OutgoingReset when OutgoingResetRequest.TryRead(parameter.Value, out OutgoingResetRequest request):
                    OnResetRequest(request);
                    break;
                case SctpParameterType.ReconfigResponse when ReconfigResponse.TryRead(parameter.Value, out ReconfigResponse response):
                    OnReconfigResponse(response);
                    break;
                case SctpParameterType.IncomingReset or SctpParameterType.SsnTsnReset or SctpParameterType.AddOutgoingStreams
                    or SctpParameterType.AddIncomingStreams when parameter.Value.Length >= 4:
                    Refuse(BinaryPrimitives.ReadUInt32BigEndian(parameter.Value));
                    break;
                default:
                    Statistics.DroppedMalformed++;
                    break;
            }
        }
    }

    private void OnResetRequest(in OutgoingResetRequest request)
    {
        if (request.RequestNumber == _peerReconfigNext - 1)
        {
            Respond(request.RequestNumber, _deferred ? ReconfigResult.InProgress : _peerReconfigResult);
            return;
        }

        if (request.RequestNumber != _peerReconfigNext)
        {
            Respond(request.RequestNumber, ReconfigResult.BadSequenceNumber);
            return;
        }

        _peerReconfigNext++;
        var streams = new ushort[request.StreamCount];
        for (int i = 0; i < streams.Length; i++)
            streams[i] = request.Stream(i);

        // The same reset under a new number: the peer missed our answer. The streams may be in use again, from our side.
        if (_performedBefore && !_deferred && request.LastTsn == _deferredLastTsn && streams.AsSpan().SequenceEqual(_deferredStreams))
        {
            Respond(request.RequestNumber, _peerReconfigResult);
            return;
        }

        (_deferred, _deferredLastTsn, _deferredStreams) = (true, request.LastTsn, streams);
        if (Serial.Less(_received.CumulativeTsn, request.LastTsn))
            Respond(request.RequestNumber, ReconfigResult.InProgress); // messages sent before the reset are still on their way
        else
            CompleteDeferredReset();
    }

    /// <summary>Performs the peer's reset as soon as all it had sent before has arrived, and says so unasked.</summary>
    private void CompleteDeferredReset()
    {
        if (!_deferred || _terminated || Serial.Less(_received.CumulativeTsn, _deferredLastTsn))
            return;
        (_deferred, _performedBefore) = (false, true);
        ushort[] streams = _deferredStreams;
        if (streams.Length == 0)
            _reassembly.ResetAll();
        foreach (ushort id in streams)
            _reassembly.Reset(id);
        _peerReconfigResult = ReconfigResult.Performed;
        Respond(_peerReconfigNext - 1, ReconfigResult.Performed);
        _observer.OnIncomingStreamsReset(_now, streams);
    }

    private void Refuse(uint requestNumber)
    {
        if (requestNumber == _peerReconfigNext)
        {
            _peerReconfigNext++;
            _deferred = false;
            _peerReconfigResult = ReconfigResult.Denied;
        }

        bool known = requestNumber == _peerReconfigNext - 1;
        Respond(requestNumber, known ? _peerReconfigResult : ReconfigResult.BadSequenceNumber);
    }

    private void Respond(uint requestNumber, ReconfigResult result)
    {
        Span<byte> to = Append(SctpChunkType.Reconfig, 0, Tlv.HeaderSize + 8);
        BinaryPrimitives.WriteUInt16BigEndian(to, (ushort)SctpParameterType.ReconfigResponse);
        BinaryPrimitives.WriteUInt16BigEndian(to[2..], Tlv.HeaderSize + 8);
        BinaryPrimitives.WriteUInt32BigEndian(to[4..], requestNumber);
        BinaryPrimitives.WriteUInt32BigEndian(to[8..], (uint)result);
    }

    private void OnReconfigResponse(in ReconfigResponse response)
    {
        if (_resetRequested.Length == 0 || response.ResponseNumber != _reconfigNext)
            return;
        _errors = 0;
        switch (response.Result)
        {
            case ReconfigResult.InProgress or ReconfigResult.AlreadyInProgress:
                _resetInProgress = true;
                _reconfigTimer = _now + _rto.Rto;
                break;
            case ReconfigResult.Performed or ReconfigResult.NothingToDo:
                FinishReset(performed: true);
                break;
            default:
                FinishReset(performed: false);
                break;
        }
    }

    private void FinishReset(bool performed)
    {
        ushort[] streams = _resetRequested;
        if (_peerReconfig)
            _reconfigNext++;
        _resetRequested = [];
        _reconfigTimer = Instant.Never;
        if (performed)
        {
            foreach (ushort id in streams)
                _sendQueue.ResetStream(id);
        }

        _observer.OnOutgoingStreamsReset(_now, streams, performed);
    }

    private void ClearResets()
    {
        _resetWanted.Clear();
        _resetRequested = [];
        _deferred = _performedBefore = false;
        _deferredStreams = [];
        _reconfigTimer = Instant.Never;
        _peerReconfigResult = ReconfigResult.NothingToDo;
    }
}
