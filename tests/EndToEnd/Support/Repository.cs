namespace Transcribe.EndToEnd.Tests.Support;

/// <summary>Where things lie in the checkout the tests run from.</summary>
internal static class Repository
{
    public static string Root { get; } = FindRoot();

    public static string MeetingWav => Path.Combine(Root, "tests", "Fixtures", "meeting.wav");

    public static string MeetingJson => Path.Combine(Root, "tests", "Fixtures", "meeting.json");

    /// <summary>For screenshots and logs; ignored by git.</summary>
    public static string Output
    {
        get
        {
            string path = Path.Combine(Root, "out", "tests");
            Directory.CreateDirectory(path);
            return path;
        }
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Transcribe.sln")))
                return folder.FullName;
        }

        throw new InvalidOperationException("The tests do not run from inside the repository.");
    }
}
