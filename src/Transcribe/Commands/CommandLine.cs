using System.CommandLine;

namespace Transcribe.Commands;

/// <summary>The command line: one command a file in this folder.</summary>
internal static class CommandLine
{
    public static RootCommand Build() => new("Live captions for WebRTC rooms: an SFU, its signalling and AI gateways in one program.")
    {
        ServeCommand.Create(),
        ClusterCommand.Create(),
        RoleCommand.Director(),
        RoleCommand.Signaling(),
        RoleCommand.Sfu(),
        RoleCommand.Gateway(),
        DemoCommand.Create(),
        TokenCommand.Create(),
        ListenCommand.Create(),
        PublishCommand.Create(),
        ModelsCommand.Create(),
        SettingsCommand.Create(),
        DoctorCommand.Create(),
        BenchCommand.Create(),
    };
}

/// <summary>Exit statuses of the commands.</summary>
internal static class ExitStatus
{
    public const int Ok = 0;

    /// <summary>It ran, and the result is bad (a failed demo, a doctor's finding).</summary>
    public const int Failed = 1;

    /// <summary>It could not run: wrong arguments or configuration, server out of reach.</summary>
    public const int Unusable = 2;
}

/// <summary>A problem a person can solve: printed as one sentence, without a stack trace.</summary>
internal sealed class CommandException(string message, int status = ExitStatus.Unusable) : Exception(message)
{
    public int Status { get; } = status;
}
