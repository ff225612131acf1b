using System.Security.Cryptography;

namespace Transcribe.Director.Provisioning;

internal static class NodeIds
{
    /// <summary>A name that no node had before: what an old one left behind is never taken for a new one's.</summary>
    public static string Create(string prefix) => $"{prefix}-{RandomNumberGenerator.GetHexString(8, lowercase: true)}";
}
