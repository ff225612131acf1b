using System.CommandLine;
using Transcribe.Commands;
using Transcribe.Hosting;
using Transcribe.Peer;

try
{
    return await CommandLine.Build().Parse(args).InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
}
catch (CommandException e)
{
    await Console.Error.WriteLineAsync(e.Message);
    return e.Status;
}
catch (ConfigurationException e)
{
    await Console.Error.WriteLineAsync(e.Message);
    return ExitStatus.Unusable;
}
catch (PeerException e)
{
    await Console.Error.WriteLineAsync($"{e.Message} [{e.Code}]");
    return ExitStatus.Unusable;
}
catch (OperationCanceledException)
{
    return ExitStatus.Ok;
}
