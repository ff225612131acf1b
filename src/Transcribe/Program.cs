using Transcribe.Hosting;

try
{
    await ServeHost.RunAsync(ServeOptions.FromEnvironment(), Console.Out);
    return 0;
}
catch (ConfigurationException e)
{
    await Console.Error.WriteLineAsync(e.Message);
    return 2;
}
