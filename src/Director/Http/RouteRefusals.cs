using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Transcribe.Director.Http;

internal static class RouteRefusals
{
    /// <summary>Documents the statuses with which an endpoint refuses, as problem details.</summary>
    public static RouteHandlerBuilder Refuses(this RouteHandlerBuilder builder, params int[] statuses)
    {
        foreach (int status in statuses)
            builder.ProducesProblem(status);

        return builder;
    }
}
