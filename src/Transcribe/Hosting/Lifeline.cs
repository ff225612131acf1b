namespace Transcribe.Hosting;

/// <summary>
/// Standard input as a sign of life: whoever started this process, or the one that started it, holds the other end of a pipe and never
/// writes. When that program is gone, however it went, the kernel ends the stream: no process id to watch, and none to mistake.
/// </summary>
internal static class Lifeline
{
    /// <param name="ended">Called once, on a thread of its own.</param>
    public static void Watch(Action ended) => new Thread(() =>
    {
        WaitForEnd();
        ended();
    })
    { IsBackground = true, Name = "lifeline" }.Start();

    private static void WaitForEnd()
    {
        byte[] ignored = new byte[64];
        try
        {
            using Stream input = Console.OpenStandardInput();
            while (input.Read(ignored) > 0)
            {
                // Nobody has anything to say here.
            }
        }
        catch (IOException)
        {
            // Closed before it was read: the end as well.
            return;
        }
    }
}
