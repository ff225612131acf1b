using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Transcribe.Director.Provisioning;

/// <summary>An SFU node that is a process of this machine.</summary>
/// <param name="Id">As it announces itself.</param>
public sealed record NodeProcess(string Id, string Region, ProcessIdentity Process, DateTimeOffset StartedAt);

/// <summary>
/// Which processes of this machine are SFU nodes of one cluster, and which are its Directors: a file each, so that nodes outlive the
/// Director that started them and the next one finds them. There are no secrets in the files. Any process may read and write at any time.
/// </summary>
public sealed class NodeProcessStore
{
    private const string NodePrefix = "node-";
    private const string DirectorPrefix = "director-";
    private const string Suffix = ".json";
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const UnixFileMode OfOthers = UnixFileMode.GroupWrite | UnixFileMode.OtherWrite;

    private readonly string _directory;

    private NodeProcessStore(string directory) => _directory = directory;

    /// <summary>Where the records of a cluster are unless told otherwise. The name says nothing to who has not the key, and nobody can take it first.</summary>
    public static string DefaultDirectory(string redis, string clusterKey)
    {
        byte[] name = HMACSHA256.HashData(Encoding.UTF8.GetBytes(clusterKey), Encoding.UTF8.GetBytes($"transcribe node processes\n{redis}"));
        return Path.Combine(Path.GetTempPath(), $"transcribe-nodes-{Convert.ToHexStringLower(name.AsSpan(0, 8))}");
    }

    /// <summary>Makes the directory where it is missing, for this user alone.</summary>
    /// <exception cref="InvalidOperationException">It cannot be used: a sentence with the setting, its value and the fix.</exception>
    public static NodeProcessStore Open(string directory)
    {
        var store = new NodeProcessStore(directory);
        try
        {
            store.Create();
            if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(directory) & OfOthers) != 0)
                throw new InvalidOperationException(Problem(directory, "other users may write there, and could have any process stopped"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidOperationException(Problem(directory, e.Message.TrimEnd('.')), e);
        }

        return store;
    }

    /// <summary>All that were written and not removed, running or not.</summary>
    public IReadOnlyList<NodeProcess> Nodes() =>
        [.. Read<NodeProcess>(NodePrefix).Where(file => IsUsable(file.Value) && file.Path == PathOf(NodePrefix, file.Value.Id)).Select(file => file.Value)];

    /// <exception cref="IOException">It cannot be written.</exception>
    public void Write(NodeProcess node) => Write(PathOf(NodePrefix, node.Id), node);

    public void Remove(string id) => Delete(PathOf(NodePrefix, id));

    /// <summary>Notes that this process is a Director that looks after the nodes.</summary>
    /// <returns>For <see cref="RemoveDirector"/>.</returns>
    /// <exception cref="IOException">It cannot be written.</exception>
    public string AddDirector()
    {
        string name = Guid.NewGuid().ToString("N");
        Write(PathOf(DirectorPrefix, name), ProcessIdentity.Of(Environment.ProcessId) ?? throw new UnreachableException("This process runs."));
        return name;
    }

    /// <summary>A Director looks after the nodes no longer.</summary>
    /// <returns>Whether another one does; who ended without a word does not.</returns>
    public bool RemoveDirector(string name)
    {
        Delete(PathOf(DirectorPrefix, name));
        bool others = false;
        foreach ((string path, ProcessIdentity director) in Read<ProcessIdentity>(DirectorPrefix))
        {
            if (director.IsRunning)
                others = true;
            else
                Delete(path);
        }

        return others;
    }

    private static bool IsUsable(NodeProcess node) => node is { Id.Length: > 0, Region: not null, Process: { Pid: > 1, Start: not null } };

    private static string Problem(string directory, string why) =>
        $"TRANSCRIBE_PROVISIONER_DIRECTORY is \"{directory}\", and it cannot be used: {why}. Set a directory of this user's alone, or unset it.";

    private void Create()
    {
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(_directory);
        else
            Directory.CreateDirectory(_directory, Private);
    }

    private static void Delete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (DirectoryNotFoundException)
        {
            // The same as a file that is gone already.
            return;
        }
    }

    private string PathOf(string prefix, string name) => Path.Combine(_directory, $"{prefix}{name}{Suffix}");

    private void Write<T>(string path, T value)
    {
        // Whoever reads sees all of it or nothing. The directory may have been tidied away meanwhile.
        Create();
        string half = $"{path}.{Environment.ProcessId}";
        File.WriteAllBytes(half, JsonSerializer.SerializeToUtf8Bytes(value));
        File.Move(half, path, overwrite: true);
    }

    private List<(string Path, T Value)> Read<T>(string prefix)
        where T : class
    {
        var found = new List<(string, T)>();
        try
        {
            foreach (string path in Directory.EnumerateFiles(_directory, $"{prefix}*{Suffix}"))
            {
                if (ReadOne<T>(path) is { } value)
                    found.Add((path, value));
            }
        }
        catch (DirectoryNotFoundException)
        {
            // Nothing was written yet.
            found.Clear();
        }

        return found;
    }

    private static T? ReadOne<T>(string path)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize<T>(File.ReadAllBytes(path));
        }
        catch (Exception e) when (e is JsonException or FileNotFoundException)
        {
            // Not ours, or removed since it was listed.
            return null;
        }
    }
}
