using System.Text;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Ice;

/// <summary>All that an ICE restart replaces: credentials, candidates of the peer, pairs and the selected one.</summary>
internal sealed class IceGeneration(IceCredentials local)
{
    private readonly Dictionary<TransportPath, IcePair> _byPath = [];
    private HmacSha1? _localKey;
    private HmacSha1? _remoteKey;

    public IceCredentials Local { get; } = local;

    /// <summary>Our password, prepared: the key of the peer's requests and of our responses.</summary>
    public HmacSha1 LocalKey => _localKey ??= HmacSha1.Create(Encoding.UTF8.GetBytes(Local.Password));

    public byte[] LocalUfrag { get; } = Encoding.UTF8.GetBytes(local.Ufrag);

    public IceCredentials? Remote { get; private set; }

    /// <summary>The peer's password, prepared: the key of our requests and of its responses. Credentials are set before any.</summary>
    public HmacSha1 RemoteKey => _remoteKey ??= HmacSha1.Create(Encoding.UTF8.GetBytes(Remote!.Password));

    /// <summary>USERNAME of our requests: "remote:local".</summary>
    public byte[] Username { get; private set; } = [];

    public byte[] RemoteUfrag { get; private set; } = [];

    public List<IceCandidate> RemoteCandidates { get; } = [];

    public bool RemoteIsComplete { get; set; }

    public List<IcePair> Pairs { get; } = [];

    public Queue<IcePair> Triggered { get; } = new();

    public IcePair? Selected { get; set; }

    public Instant SelectedAt { get; set; }

    public bool WasSelected { get; set; }

    /// <summary>The pair a nomination of ours is under way for.</summary>
    public IcePair? Nominating { get; set; }

    /// <summary>When the first pair became valid.</summary>
    public Instant FirstValidAt { get; set; } = Instant.Never;

    public Instant NextConsentAt { get; set; } = Instant.Never;

    /// <summary>When the selected pair was last probed because it was silent.</summary>
    public Instant ProbedAt { get; set; } = Instant.Zero;

    /// <summary>When the search for a path began.</summary>
    public Instant StartedAt { get; set; } = Instant.Never;

    public void SetRemote(IceCredentials remote)
    {
        Remote = remote;
        RemoteUfrag = Encoding.UTF8.GetBytes(remote.Ufrag);
        Username = Encoding.UTF8.GetBytes($"{remote.Ufrag}:{Local.Ufrag}");
    }

    /// <summary>True where a USERNAME that the peer sent is "local:remote" of this generation.</summary>
    public bool Accepts(ReadOnlySpan<byte> username)
    {
        int colon = username.IndexOf((byte)':');
        return colon > 0 && username[..colon].SequenceEqual(LocalUfrag)
            && (Remote is null || username[(colon + 1)..].SequenceEqual(RemoteUfrag));
    }

    public IcePair? Find(in TransportPath path) => _byPath.GetValueOrDefault(path);

    public void Add(IcePair pair)
    {
        Pairs.Add(pair);
        _byPath[pair.Path] = pair;
    }

    public void Remove(IcePair pair)
    {
        Pairs.Remove(pair);
        _byPath.Remove(pair.Path);
        pair.State = IcePairState.Idle;
        Selected = Selected == pair ? null : Selected;
        Nominating = Nominating == pair ? null : Nominating;
    }

    /// <summary>Nothing is sent or checked any more.</summary>
    public void ForgetKeys()
    {
        _localKey?.Dispose();
        _remoteKey?.Dispose();
        (_localKey, _remoteKey) = (null, null);
    }

    /// <summary>Queues a check that goes before the ordinary ones.</summary>
    public void Trigger(IcePair pair)
    {
        pair.State = pair.State == IcePairState.Succeeded ? IcePairState.Succeeded : IcePairState.Waiting;
        if (!pair.IsTriggered)
        {
            pair.IsTriggered = true;
            Triggered.Enqueue(pair);
        }
    }
}
