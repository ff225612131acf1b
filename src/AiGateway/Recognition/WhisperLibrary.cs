using System.Runtime.InteropServices;

namespace Transcribe.AiGateway.Recognition;

/// <summary>Where build-whisper.sh puts its library.</summary>
public static class WhisperLibrary
{
    /// <summary>TRANSCRIBE_WHISPER_LIBRARY, or the build for this machine in the cache; null where there is none.</summary>
    public static string? Find()
    {
        if (Environment.GetEnvironmentVariable("TRANSCRIBE_WHISPER_LIBRARY") is { Length: > 0 } set)
            return File.Exists(set) ? set : null;
        string cache = Environment.GetEnvironmentVariable("TRANSCRIBE_CACHE") is { Length: > 0 } own
            ? own
            : Path.Combine(
                Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } xdg
                    ? xdg
                    : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache"),
                "transcribe");
        string machine = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? "aarch64" : "x86_64";
        foreach (string build in new[] { $"whisper-1.9.1-{machine}-native", $"whisper-1.9.1-{machine}" })
        {
            string path = Path.Combine(cache, build, "libwhisper.so");
            if (File.Exists(path))
                return path;
        }

        return null;
    }
}
