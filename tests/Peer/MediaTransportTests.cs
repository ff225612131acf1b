using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Peer.Tests;

public sealed class MediaTransportTests
{
    [Fact]
    public async Task What_a_handshake_finished_while_a_step_ran_is_not_left_until_the_next_deadline()
    {
        var clock = new TimerWatch();
        await using var transport = new MediaTransport(PeerSessions.Create(clock, () => { }), new Silent(), clock, NullLogger.Instance);
        transport.Run((_, _) =>
        {
            // On its own thread, before this step arms the timer for later.
            transport.Wake();
            return 0;
        });
        Assert.Equal(TimeSpan.Zero, clock.LastDue);
    }

    private sealed class Silent : IMediaTransportObserver
    {
        public void OnStateChanged(RtcSessionState state)
        {
        }

        public void OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival)
        {
        }

        public void OnSenderReport(RtcMedia media, in SenderReport report)
        {
        }

        public void OnChannelOpened(string label)
        {
        }

        public void OnMessage(string label, ReadOnlySpan<byte> data)
        {
        }
    }

    /// <summary>Timers that never fire, and what the last one was set to.</summary>
    private sealed class TimerWatch : TimeProvider
    {
        public TimeSpan LastDue { get; private set; }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => new Timer(this);

        private sealed class Timer(TimerWatch watch) : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period)
            {
                watch.LastDue = dueTime;
                return true;
            }

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => ValueTask.CompletedTask;
        }
    }
}
