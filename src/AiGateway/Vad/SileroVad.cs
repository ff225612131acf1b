using Microsoft.ML.OnnxRuntime;

namespace Transcribe.AiGateway.Vad;

/// <summary>Silero VAD v5 (MIT) by ONNX Runtime: one shared model, 256 floats of state a track, about 0.1 ms for each 32 ms.</summary>
public sealed class SileroVadFactory : IVoiceActivityDetectorFactory
{
    private readonly InferenceSession _session;
    private readonly RunOptions _runOptions = new();

    /// <param name="modelPath">silero_vad_v5.onnx.</param>
    /// <exception cref="InvalidOperationException">The file is no Silero v5 model.</exception>
    public SileroVadFactory(string modelPath)
    {
        using var options = new SessionOptions
        {
            IntraOpNumThreads = 1,
            InterOpNumThreads = 1,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR,
        };
        options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0");
        try
        {
            _session = new InferenceSession(modelPath, options);
        }
        catch (OnnxRuntimeException e)
        {
            throw new InvalidOperationException($"{modelPath} is no usable ONNX model: delete it and fetch it again (models/fetch-silero.sh).", e);
        }

        if (!_session.InputMetadata.ContainsKey("input") || !_session.InputMetadata.ContainsKey("state") || !_session.InputMetadata.ContainsKey("sr"))
        {
            _session.Dispose();
            throw new InvalidOperationException($"{modelPath} is no Silero VAD v5 model: fetch it by models/fetch-silero.sh.");
        }
    }

    public IVoiceActivityDetector Create() => new Detector(_session, _runOptions);

    public void Dispose()
    {
        _session.Dispose();
        _runOptions.Dispose();
    }

    private sealed class Detector : IVoiceActivityDetector
    {
        private const int Context = 64;
        private const int Chunk = 512;
        private const int StateLength = 2 * 128;
        private const short Inaudible = 3;
        private static readonly string[] InputNames = ["input", "state", "sr"];
        private static readonly string[] OutputNames = ["output", "stateN"];

        private readonly InferenceSession _session;
        private readonly RunOptions _runOptions;
        private readonly float[] _input = new float[Context + Chunk];
        private readonly float[] _state = new float[StateLength];
        private readonly float[] _nextState = new float[StateLength];
        private readonly float[] _probability = new float[1];
        private readonly OrtValue[] _inputs;
        private readonly OrtValue[] _outputs;

        public Detector(InferenceSession session, RunOptions runOptions)
        {
            _session = session;
            _runOptions = runOptions;
            _inputs =
            [
                OrtValue.CreateTensorValueFromMemory(_input, [1, Context + Chunk]),
                OrtValue.CreateTensorValueFromMemory(_state, [2, 1, 128]),
                OrtValue.CreateTensorValueFromMemory(new long[] { 16000 }, []),
            ];
            _outputs =
            [
                OrtValue.CreateTensorValueFromMemory(_probability, [1, 1]),
                OrtValue.CreateTensorValueFromMemory(_nextState, [2, 1, 128]),
            ];
        }

        public string Name => "silero";

        public int ChunkSamples => Chunk;

        public float Process(ReadOnlySpan<short> chunk)
        {
            _input.AsSpan(Chunk, Context).CopyTo(_input);
            if (!chunk.ContainsAnyExceptInRange((short)-Inaudible, (short)Inaudible))
            {
                // A muted microphone: not worth a run of the network.
                _input.AsSpan(Context).Clear();
                return 0;
            }

            for (int i = 0; i < Chunk; i++)
                _input[Context + i] = chunk[i] / 32768f;
            _session.Run(_runOptions, InputNames, _inputs, OutputNames, _outputs);
            _nextState.CopyTo(_state, 0);
            return _probability[0];
        }

        public void Reset()
        {
            Array.Clear(_input);
            Array.Clear(_state);
        }

        public void Dispose()
        {
            foreach (OrtValue value in _inputs)
                value.Dispose();
            foreach (OrtValue value in _outputs)
                value.Dispose();
        }
    }
}
