using Transcribe.Rtc.Rtp;

namespace Transcribe.Rtc.Rtcp;

/// <summary>Makes the report blocks about one received source: its statistics, and the echo of its sender reports.</summary>
public sealed class ReceptionReportBuilder
{
    private uint _lastSenderReport;
    private Instant _lastSenderReportArrival;

    /// <param name="ssrc">The source.</param>
    /// <param name="clockRate">RTP clock, Hz.</param>
    public ReceptionReportBuilder(uint ssrc, int clockRate)
    {
        Ssrc = ssrc;
        Statistics = new RtpJitterStatistics(clockRate);
    }

    /// <summary>The source.</summary>
    public uint Ssrc { get; }

    /// <summary>Its statistics; feed every packet received to <see cref="RtpJitterStatistics.Update"/>.</summary>
    public RtpJitterStatistics Statistics { get; }

    /// <summary>The last sender report, null for none yet.</summary>
    public SenderReport? LastSenderReport { get; private set; }

    /// <summary>Takes note of a sender report of this source.</summary>
    public void OnSenderReport(Instant arrival, in SenderReport report)
    {
        LastSenderReport = report;
        _lastSenderReport = report.Ntp.Compact;
        _lastSenderReportArrival = arrival;
    }

    /// <summary>Makes the block for a report sent now, and starts a new interval for the fraction lost.</summary>
    /// <returns>False while nothing has been received.</returns>
    public bool TryBuild(Instant now, out ReportBlock block)
    {
        block = default;
        if (!Statistics.HasReceived)
            return false;
        block = new ReportBlock(
            Ssrc,
            Statistics.TakeFractionLost(),
            (int)Math.Clamp(Statistics.CumulativeLost, -0x80_0000, 0x7F_FFFF),
            Statistics.ExtendedHighestSequence,
            Statistics.Jitter,
            _lastSenderReport,
            LastSenderReport is null ? 0 : NtpTimestamp.ToCompactDuration(now - _lastSenderReportArrival));
        return true;
    }
}
