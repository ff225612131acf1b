namespace Transcribe.Hosting;

/// <summary>Configuration that stops start-up.</summary>
/// <param name="message">A sentence that names the key, its value and the fix.</param>
public sealed class ConfigurationException(string message) : Exception(message);
