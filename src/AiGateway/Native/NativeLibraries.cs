using System.Reflection;
using System.Runtime.InteropServices;

namespace Transcribe.AiGateway.Native;

/// <summary>Finds the shared libraries this project binds to by <c>LibraryImport</c>, whatever the platform calls them.</summary>
internal static class NativeLibraries
{
    public const string Opus = "opus";
    public const string PocketSphinx = "pocketsphinx";
    public const string SphinxBase = "sphinxbase";

    private static readonly Dictionary<string, string[]> Candidates = new(StringComparer.Ordinal)
    {
        [Opus] = ["libopus.so.0", "libopus.so", "libopus.0.dylib", "opus.dll"],
        [PocketSphinx] = ["libpocketsphinx.so.3", "libpocketsphinx.so"],
        [SphinxBase] = ["libsphinxbase.so.3", "libsphinxbase.so"],
    };

    private static int _registered;

    /// <summary>Installs the resolver of this assembly; every binding class calls it before its first import.</summary>
    public static void Register()
    {
        if (Interlocked.Exchange(ref _registered, 1) == 0)
            NativeLibrary.SetDllImportResolver(typeof(NativeLibraries).Assembly, Resolve);
    }

    /// <summary>Whether the library can be loaded on this machine.</summary>
    public static bool IsPresent(string name) => TryLoad(name, typeof(NativeLibraries).Assembly, null, out _);

    private static IntPtr Resolve(string name, Assembly assembly, DllImportSearchPath? path) =>
        Candidates.ContainsKey(name) && TryLoad(name, assembly, path, out IntPtr handle) ? handle : IntPtr.Zero;

    private static bool TryLoad(string name, Assembly assembly, DllImportSearchPath? path, out IntPtr handle)
    {
        foreach (string candidate in Candidates[name])
        {
            if (NativeLibrary.TryLoad(candidate, assembly, path, out handle))
                return true;
        }

        handle = IntPtr.Zero;
        return false;
    }
}
