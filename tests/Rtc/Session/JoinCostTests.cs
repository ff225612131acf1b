using System.Runtime.InteropServices;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Session;

/// <summary>
/// What a join costs the server, by part, in CPU time of the threads that do it. It prints and judges nothing; the whole
/// process is measured by `transcribe bench sfu --scenario joins`.
/// </summary>
public sealed partial class JoinCostTests
{
    private const int Joins = 60;

    [Fact]
    public void Tells_the_servers_share_of_a_join_by_part()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "thread CPU times are Linux's");
        MeasuringExecutor executor = new();
        Dictionary<string, (long Time, long Bytes)> parts = [];
        using VirtualNetwork network = new(LinkConditions.Perfect, 1) { Discard = true };
        RtcSessionOptions shared = new() { Certificate = SessionPair.ServerCertificate, DtlsExecutor = executor, IceLite = true };
        Assert.True(TransportAddress.TryParse("127.0.0.1:7882", out TransportAddress local));
        for (int i = 0; i < Joins; i++)
        {
            Instant now = network.Now + TimeSpan.FromSeconds(i);
            Assert.True(TransportAddress.TryParse($"127.0.0.1:{10_000 + i}", out TransportAddress remote));
            Queue<byte[]> toServer = new();
            Queue<byte[]> toClient = new();
            TestPeer client = new(network, "client", remote, SessionPair.Options(SessionPair.ClientCertificate, i)) { Tap = toServer.Enqueue };
            client.Session.AddLocalCandidate(IceCandidate.CreateHost(remote));
            client.Session.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
            client.Session.AddMedia(MediaKind.Video, MediaDirection.RecvOnly);
            client.Session.CreateDataChannel(now, "captions");
            string offer = client.Session.CreateOffer(now);

            TestPeer server = Measure("session object", () => new TestPeer(network, "server", local, shared with { }) { Tap = toClient.Enqueue });
            server.Session.AddLocalCandidate(IceCandidate.CreateHost(local));
            Assert.True(Measure("offer", () => server.Session.TrySetRemoteOffer(now, offer, out _)));
            string answer = Measure("answer", () => server.Session.CreateAnswer(now));
            Assert.True(client.Session.TrySetRemoteAnswer(now, answer, out _));
            for (int turn = 0; turn < 1000 && (server.Opened.Count == 0 || client.Session.State != RtcSessionState.Connected); turn++)
            {
                bool connected = server.Session.State == RtcSessionState.Connected;
                while (toServer.TryDequeue(out byte[]? datagram))
                {
                    string part = datagram[0] < 4 ? "STUN" : connected ? "SCTP" : "DTLS, owner's thread";
                    Measure(part, () =>
                    {
                        server.Session.Receive(now, new TransportPath(local, remote), datagram);
                        return true;
                    });
                }

                while (toClient.TryDequeue(out byte[]? datagram))
                    client.Session.Receive(now, new TransportPath(remote, local), datagram);
                if (toServer.Count > 0)
                    continue;
                now += TimeSpan.FromMilliseconds(5);
                client.Session.HandleTimeout(now);
                Measure("timers", () =>
                {
                    server.Session.HandleTimeout(now);
                    return true;
                });
            }

            Assert.Single(server.Opened);
            client.Session.Dispose();
            server.Session.Dispose();
        }

        Assert.Equal(Joins, executor.Handshakes);
        for (int step = 0; step < executor.Steps.Length; step++)
            parts[$"DTLS, handshake's thread, step {step}"] = (executor.Steps[step], 0);
        foreach ((string part, (long time, long bytes)) in parts)
            TestContext.Current.TestOutputHelper?.WriteLine($"{part}: {time / 1000 / Joins} us, {bytes / Joins} bytes");
        TestContext.Current.TestOutputHelper?.WriteLine($"in all: {parts.Values.Sum(p => p.Time) / 1000 / Joins} us");

        T Measure<T>(string part, Func<T> act)
        {
            long bytes = GC.GetAllocatedBytesForCurrentThread();
            long time = ThreadTime();
            T result = act();
            time = ThreadTime() - time;
            bytes = GC.GetAllocatedBytesForCurrentThread() - bytes;
            (long allTime, long allBytes) = parts.GetValueOrDefault(part);
            parts[part] = (allTime + time, allBytes + bytes);
            return result;
        }
    }

    private static long ThreadTime()
    {
        const int threadCpuTime = 3; // CLOCK_THREAD_CPUTIME_ID
        return GetTime(threadCpuTime, out TimeSpec time) == 0 ? (time.Seconds * 1_000_000_000) + time.Nanoseconds : 0;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, out TimeSpec time);

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    /// <summary>Lock-step, with the CPU time of each stretch between two waits for the peer.</summary>
    private sealed class MeasuringExecutor : IDtlsExecutor
    {
        [ThreadStatic]
        private static long _entered;

        [ThreadStatic]
        private static int _step;

        public long[] Steps { get; } = new long[4];

        public int Handshakes { get; private set; }

        public bool IsLockStep => true;

        public bool TryRun(Action handshake)
        {
            Handshakes++;
            return DtlsLockStepExecutor.Instance.TryRun(handshake);
        }

        public void EnterCompute() => _entered = ThreadTime();

        public void LeaveCompute() => Interlocked.Add(ref Steps[Math.Min(_step++, Steps.Length - 1)], ThreadTime() - _entered);
    }
}
