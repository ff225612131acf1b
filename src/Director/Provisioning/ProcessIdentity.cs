using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Serialization;

namespace Transcribe.Director.Provisioning;

/// <summary>One process of this machine: process ids are used again, an id together with its start is not.</summary>
/// <param name="Start">When the process started, in a form to compare only.</param>
public sealed partial record ProcessIdentity(int Pid, string Start)
{
    private const int SigTerm = 15;
    private const int SigKill = 9;

    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    // The kernel counts from its own start.
    private static readonly string Boot = OperatingSystem.IsLinux() ? ReadOrNull("/proc/sys/kernel/random/boot_id")?.Trim() ?? "" : "";

    /// <summary>Whether it still runs. One that ended and whose parent did not look yet does not.</summary>
    [JsonIgnore]
    public bool IsRunning => StartOf(Pid) == Start;

    /// <summary>The process that has the id now; null where none has.</summary>
    public static ProcessIdentity? Of(int pid) => StartOf(pid) is { } start ? new ProcessIdentity(pid, start) : null;

    /// <summary>SIGTERM: asks it to end. False where there is no such way, or it has ended.</summary>
    public bool Terminate() => !OperatingSystem.IsWindows() && IsRunning && SendSignal(Pid, SigTerm) == 0;

    /// <summary>SIGKILL.</summary>
    public void Kill()
    {
        if (!IsRunning)
            return;

        if (!OperatingSystem.IsWindows())
        {
            _ = SendSignal(Pid, SigKill);
            return;
        }

        try
        {
            using Process process = Process.GetProcessById(Pid);
            process.Kill();
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            // It ended by itself meanwhile: that is what was wanted.
            return;
        }
    }

    public async Task WaitForEndAsync(CancellationToken cancellationToken)
    {
        while (IsRunning)
            await Task.Delay(Poll, cancellationToken);
    }

    private static string? StartOf(int pid)
    {
        if (!OperatingSystem.IsLinux())
            return StartElsewhere(pid);

        // proc(5): the name is in parentheses and may contain any; behind it the 3rd field is the state, the 22nd the start in clock ticks.
        string? stat = ReadOrNull($"/proc/{pid.ToString(CultureInfo.InvariantCulture)}/stat");
        string[] fields = stat is null ? [] : stat[(stat.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return fields.Length > 19 && fields[0] is not ("Z" or "X") ? $"{Boot}:{fields[19]}" : null;
    }

    private static string? StartElsewhere(int pid)
    {
        try
        {
            using Process process = Process.GetProcessById(pid);
            return process.HasExited ? null : process.StartTime.ToUniversalTime().Ticks.ToString(CultureInfo.InvariantCulture);
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }

    private static string? ReadOrNull(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Ended: the file is gone, or gone while it was read.
            return null;
        }
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int SendSignal(int pid, int signal);
}
