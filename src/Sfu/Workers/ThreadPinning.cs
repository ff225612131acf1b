using Transcribe.Sfu.Net;

namespace Transcribe.Sfu.Workers;

internal static class ThreadPinning
{
    /// <summary>Binds the calling thread to one processor; false where the system does not let it.</summary>
    public static unsafe bool TryPin(int processor)
    {
        if (!DatagramSockets.HasNative || processor is < 0 or >= 1024)
            return false;
        ulong* mask = stackalloc ulong[16];
        new Span<ulong>(mask, 16).Clear();
        mask[processor >> 6] = 1ul << (processor & 63);
        return LinuxNative.SchedSetAffinity(0, 16 * sizeof(ulong), mask) == 0;
    }

    /// <summary>
    /// Puts the calling thread before the process's others; false where that is not permitted (it takes CAP_SYS_NICE).
    /// Threads that it starts, such as the run-time's compiler, are ordinary ones.
    /// </summary>
    public static unsafe bool TryRaisePriority(int niceness)
    {
        if (!DatagramSockets.HasNative)
            return false;
        const int otherAndResetOnFork = 0x4000_0000;
        int priority = 0;
        return LinuxNative.SchedSetScheduler(0, otherAndResetOnFork, &priority) == 0 && LinuxNative.SetPriority(0, 0, niceness) == 0;
    }
}
