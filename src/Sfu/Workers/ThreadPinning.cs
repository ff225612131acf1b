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
}
