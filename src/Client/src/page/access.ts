import { TranscribeError } from "../sdk";

/**
 * The access token: from the address (`#token=…`, set by the app that sent the user here; a fragment reaches no server
 * log), or, on a development server, made on the spot.
 */
export async function obtainToken(room: string, name: string): Promise<string> {
  const fromAddress = new URLSearchParams(location.hash.slice(1)).get("token");
  if (fromAddress) return fromAddress;
  const response = await fetch("/v1/dev/tokens", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ room, name }),
  });
  const body = (await response.json().catch(() => ({}))) as { token?: string; detail?: string };
  if (response.ok && body.token) return body.token;
  if (response.status === 404)
    throw new TranscribeError("no_token", "This server is not in development mode: open the page with an access token (…/#token=…).");
  throw new TranscribeError(String(response.status), body.detail ?? "The server gave no access token.");
}

/** The unverified claims of a token; the page only uses them to know what to show. */
export function readClaims(token: string): { room?: string; admin?: boolean; publish?: boolean; name?: string } {
  try {
    const payload = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(payload), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) as ReturnType<typeof readClaims>;
  } catch {
    return {};
  }
}
