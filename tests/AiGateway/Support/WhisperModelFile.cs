using System.Text;

namespace Transcribe.AiGateway.Tests.Support;

/// <summary>
/// Writes a Whisper model in ggml format with random weights: the shape of a small English one. It loads and runs in
/// whisper.cpp and says nonsense, which is enough to test the binding where no weights can be downloaded.
/// </summary>
internal static class WhisperModelFile
{
    private const int Vocabulary = 51864, TextTokens = 50256, AudioContext = 1500, TextContext = 448, State = 64, Heads = 1, Layers = 4, Mels = 80;

    public static void Write(string path, int seed = 1)
    {
        var random = new Random(seed);
        using var writer = new BinaryWriter(File.Create(path));
        foreach (int value in new[] { 0x67676d6c, Vocabulary, AudioContext, State, Heads, Layers, TextContext, State, Heads, Layers, Mels, 1 })
            writer.Write(value);
        WriteFilters(writer);
        writer.Write(TextTokens);
        for (int i = 0; i < TextTokens; i++)
        {
            byte[] text = Encoding.ASCII.GetBytes(i == 220 ? " " : $" w{i}"); // whisper.cpp looks the blank up
            writer.Write(text.Length);
            writer.Write(text);
        }

        Tensor("encoder.positional_embedding", false, 0.05, State, AudioContext);
        Tensor("encoder.conv1.weight", true, 0.1, 3, Mels, State);
        Tensor("encoder.conv1.bias", false, 0, 1, State);
        Tensor("encoder.conv2.weight", true, 0.1, 3, State, State);
        Tensor("encoder.conv2.bias", false, 0, 1, State);
        Norm("encoder.ln_post");
        for (int i = 0; i < Layers; i++)
            Block($"encoder.blocks.{i}", cross: false);
        Tensor("decoder.positional_embedding", false, 0.5, State, TextContext);
        Tensor("decoder.token_embedding.weight", true, 0.5, State, Vocabulary);
        Norm("decoder.ln");
        for (int i = 0; i < Layers; i++)
            Block($"decoder.blocks.{i}", cross: true);

        void Block(string name, bool cross)
        {
            Norm($"{name}.mlp_ln");
            Linear($"{name}.mlp.0", State, 4 * State);
            Linear($"{name}.mlp.2", 4 * State, State);
            Attention($"{name}.attn");
            if (cross)
                Attention($"{name}.cross_attn");
        }

        void Attention(string name)
        {
            Norm($"{name}_ln");
            Linear($"{name}.query", State, State);
            Tensor($"{name}.key.weight", true, 0.15, State, State);
            Linear($"{name}.value", State, State);
            Linear($"{name}.out", State, State);
        }

        void Linear(string name, int inputs, int outputs)
        {
            Tensor($"{name}.weight", true, 0.15, inputs, outputs);
            Tensor($"{name}.bias", false, 0, outputs);
        }

        void Norm(string name)
        {
            Tensor($"{name}.weight", false, 0, State);
            Tensor($"{name}.bias", false, 0, State);
        }

        void Tensor(string name, bool half, double scale, params int[] dimensions)
        {
            byte[] text = Encoding.ASCII.GetBytes(name);
            writer.Write(dimensions.Length);
            writer.Write(text.Length);
            writer.Write(half ? 1 : 0);
            foreach (int dimension in dimensions)
                writer.Write(dimension);
            writer.Write(text);
            int count = dimensions.Aggregate((a, b) => a * b);
            float fill = name.Contains("ln", StringComparison.Ordinal) && name.EndsWith("weight", StringComparison.Ordinal) ? 1 : 0;
            for (int i = 0; i < count; i++)
            {
                float value = scale == 0 ? fill : (float)(((random.NextDouble() * 2) - 1) * scale);
                // The end token is never likely: decoding runs on.
                if (half && dimensions is [State, Vocabulary] && i / State == TextTokens)
                    value = 0;
                if (half)
                    writer.Write((Half)value);
                else
                    writer.Write(value);
            }
        }
    }

    /// <summary>Triangles over the spectrum: the shape matters, the exact scale does not.</summary>
    private static void WriteFilters(BinaryWriter writer)
    {
        writer.Write(Mels);
        writer.Write(201);
        for (int mel = 0; mel < Mels; mel++)
        {
            double centre = 200.0 * (mel + 1) / (Mels + 1);
            for (int bin = 0; bin < 201; bin++)
                writer.Write((float)Math.Max(0, 1 - (Math.Abs(bin - centre) / 2.5)) * 0.01f);
        }
    }
}
