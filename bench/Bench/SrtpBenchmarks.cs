using System.Buffers.Binary;
using System.Security.Cryptography;
using BenchmarkDotNet.Attributes;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Bench;

/// <summary>One SRTP packet, with many subscribers' keys in turn as a fan-out uses them.</summary>
[MemoryDiagnoser]
public class SrtpBenchmarks
{
    private const int Keys = 200;
    private const int PacketsPerKey = 20;

    private readonly SrtpSender[] _senders = new SrtpSender[Keys];
    private readonly SrtpReceiver[] _receivers = new SrtpReceiver[Keys];
    private readonly byte[][] _protected = new byte[Keys * PacketsPerKey][];
    private byte[] _template = [];
    private byte[] _scratch = [];
    private int _length;
    private int _protectedLength;
    private int _sequence;

    [Params(SrtpProfile.AeadAes128Gcm, SrtpProfile.Aes128CmHmacSha1Tag80)]
    public SrtpProfile Profile { get; set; }

    [Params(100, 1150)]
    public int Payload { get; set; }

    [GlobalSetup]
    public void Prepare()
    {
        for (int i = 0; i < Keys; i++)
        {
            byte[] key = RandomNumberGenerator.GetBytes(Profile.MasterKeyLength());
            byte[] salt = RandomNumberGenerator.GetBytes(Profile.MasterSaltLength());
            _senders[i] = new SrtpSender(Profile, key, salt);
            _receivers[i] = new SrtpReceiver(Profile, key, salt);
        }

        _template = SamplePackets.Make(1, 0, Payload, out _length);
        _scratch = new byte[_template.Length];
        for (int i = 0; i < _protected.Length; i++)
            _protected[i] = new byte[_template.Length];
    }

    [GlobalCleanup]
    public void End()
    {
        foreach (SrtpSender sender in _senders)
            sender.Dispose();
        foreach (SrtpReceiver receiver in _receivers)
            receiver.Dispose();
    }

    /// <summary>Copy and encrypt, once for each key.</summary>
    [Benchmark(OperationsPerInvoke = Keys)]
    public int Protect()
    {
        int sum = 0;
        _sequence++;
        foreach (SrtpSender sender in _senders)
        {
            Next(_scratch);
            sender.ProtectRtp(_scratch, _length, out int length);
            sum += length;
        }

        return sum;
    }

    [IterationSetup(Target = nameof(Unprotect))]
    public void ProtectSome()
    {
        for (int p = 0; p < PacketsPerKey; p++)
        {
            _sequence++;
            for (int k = 0; k < Keys; k++)
            {
                byte[] packet = _protected[(p * Keys) + k];
                Next(packet);
                _senders[k].ProtectRtp(packet, _length, out _protectedLength);
            }
        }
    }

    /// <summary>Check and decrypt, once for each key.</summary>
    [Benchmark(OperationsPerInvoke = Keys * PacketsPerKey)]
    public int Unprotect()
    {
        int good = 0;
        for (int i = 0; i < _protected.Length; i++)
        {
            if (_receivers[i % Keys].TryUnprotectRtp(_protected[i].AsSpan(0, _protectedLength), out _))
                good++;
        }

        return good == _protected.Length ? good : throw new InvalidOperationException($"{good} of {_protected.Length} packets were authentic.");
    }

    private void Next(byte[] packet)
    {
        _template.AsSpan(0, _length).CopyTo(packet);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(2), (ushort)_sequence);
    }
}
