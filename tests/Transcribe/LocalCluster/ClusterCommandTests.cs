using System.Text.RegularExpressions;
using Transcribe.Director.Provisioning;
using Transcribe.Transcribe.Tests.Support;

namespace Transcribe.Transcribe.Tests.LocalCluster;

/// <summary>A whole cluster of real processes, in which some are killed by SIGKILL.</summary>
public sealed class ClusterCommandTests
{
    private static bool HasRedis =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Any(folder => File.Exists(Path.Combine(folder, "redis-server")));

    [Fact]
    public async Task Whatever_is_killed_is_replaced_a_new_director_takes_over_the_sfu_nodes_and_ctrl_c_leaves_nothing()
    {
        Assert.SkipUnless(HasRedis, "There is no redis-server on this machine.");
        await using ClusterRun cluster = await ClusterRun.StartAsync("--sfus", "2", "--signaling", "1", "--gateways", "0", "--regions", "eu,us", "--restart");
        ClusterRun.Row[] sfus = cluster.Sfus;
        Assert.Equal(["eu", "us"], sfus.Select(row => row.Region).Order(StringComparer.Ordinal));

        cluster.Director.Process.Kill();
        await cluster.WaitForAsync(@"^cluster\s+director \(process \d+\) died with status 137; it starts again");
        Match back = (await cluster.WaitForAsync(@"^cluster\s+director is back as director-2 \(process (\d+)\)"))[0];
        foreach (ClusterRun.Row sfu in sfus)
            await cluster.WaitForAsync($"^director .*SFU node {sfu.Name}, process {sfu.Process.Pid}, was started by another Director");
        Assert.All(sfus, sfu => Assert.True(sfu.Process.IsRunning));

        // Its output reaches us though the director whose it was is gone.
        ClusterRun.Row lost = sfus.Single(sfu => sfu.Region == "us");
        lost.Process.Kill();
        await cluster.WaitForAsync($@"^cluster\s+{lost.Name} \(process {lost.Process.Pid}\) is gone; the director starts another");
        Match next = (await cluster.WaitForAsync(@"^cluster\s+sfu-\w+ \(process (\d+), region us, UDP [\d, ]+\) is up"))[0];

        cluster.Redis.Process.Kill();
        await cluster.WaitForAsync(@"^cluster\s+redis died with status 137; it starts again with its data");
        Match redis = (await cluster.WaitForAsync(@"^cluster\s+redis is back \(process (\d+)\)"))[0];

        ProcessIdentity[] now = [.. ((Match[])[back, next, redis]).Select(match => ProcessIdentity.Of(int.Parse(match.Groups[1].Value))!)];
        Assert.All(now, Assert.NotNull);
        Assert.Equal(0, await cluster.InterruptAsync());
        await cluster.EndedAsync([.. cluster.Rows.Select(row => row.Process), .. now]);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Sfu_nodes_outlive_a_killed_director_and_nothing_outlives_a_killed_supervisor(bool directorFirst)
    {
        Assert.SkipUnless(HasRedis, "There is no redis-server on this machine.");
        await using ClusterRun cluster = await ClusterRun.StartAsync("--sfus", "1", "--signaling", "1", "--gateways", "0");
        ClusterRun.Row sfu = Assert.Single(cluster.Sfus);
        if (directorFirst)
        {
            cluster.Director.Process.Kill();
            await cluster.WaitForAsync(@"^cluster\s+director \(process \d+\) died with status 137; the others go on without it");
            cluster.Redis.Process.Kill();
            await cluster.WaitForAsync(@"^cluster\s+redis died with status 137; calls go on");

            // By now the node has found out that Redis is away: it lives, and is heard.
            await cluster.WaitForAsync($@"^{sfu.Name}\s.*Redis");
            Assert.True(sfu.Process.IsRunning);
        }

        cluster.Kill();
        await cluster.EndedAsync(cluster.Rows.Select(row => row.Process));
    }

    [Fact]
    public async Task A_fleet_that_fills_up_gets_another_node()
    {
        Assert.SkipUnless(HasRedis, "There is no redis-server on this machine.");
        await using ClusterRun cluster = await ClusterRun.StartAsync("--sfus", "1", "--max-sfus", "2", "--sfu-sessions", "2", "--signaling", "1", "--gateways", "0");
        string url = (await cluster.WaitForAsync(@"^The page: (\S+) "))[0].Groups[1].Value;
        Task<Cli.Result>[] listeners = [.. Enumerable.Range(0, 2).Select(_ => Cli.RunAsync("listen", "demo", "--url", url, "--seconds", "12"))];
        Match next = (await cluster.WaitForAsync(@"^cluster\s+(sfu-\w+) \(process \d+, region local, UDP [\d, ]+\) is up"))[0];
        Assert.NotEqual(cluster.Sfus[0].Name, next.Groups[1].Value);
        Assert.All(await Task.WhenAll(listeners), result => Assert.Equal(0, result.Status));
    }

    [Theory]
    [InlineData("--max-sfus is 2 and --sfus is 3", "--max-sfus", "2")]
    [InlineData("--max-sfus is 33", "--max-sfus", "33")]
    [InlineData("--sfu-sessions is 0", "--sfu-sessions", "0")]
    [InlineData("--regions is \"eu/west\"", "--regions", "eu/west")]
    public async Task What_cannot_be_started_is_one_sentence(string sentence, params string[] arguments)
    {
        Cli.Result result = await Cli.RunAsync(["cluster", .. arguments]);
        Assert.Equal((2, ""), (result.Status, result.Output));
        Assert.StartsWith(sentence, result.Error, StringComparison.Ordinal);
    }
}
