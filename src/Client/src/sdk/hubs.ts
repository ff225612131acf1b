/** The hubs of the signalling nodes, as far as they are known. */
export class Hubs {
  readonly #origin: string;
  readonly #token: string;
  readonly #region: string | undefined;
  #known: string[];

  /**
   * @param region The one the client is near to, by its name in the cluster.
   * @param given Hub URLs, the best first; without them the server at `origin` is asked.
   */
  constructor(origin: string, token: string, region?: string, given?: string[]) {
    this.#origin = origin;
    this.#token = token;
    this.#region = region;
    this.#known = given && given.length > 0 ? [...given] : [];
  }

  /** Hub URLs, the best first. */
  get known(): string[] {
    return this.#known.length > 0 ? this.#known : [`${this.#origin}/rtc`];
  }

  /** Goes by these from now on, until the Director is asked. */
  use(urls: string[]): void {
    this.#known = [...urls];
  }

  /** Asks the Director for the nodes that live now; where it does not answer, those known stay. */
  async find(): Promise<void> {
    try {
      const response = await fetch(`${this.#origin}/v1/join${this.#region ? `?region=${encodeURIComponent(this.#region)}` : ""}`, {
        method: "POST",
        credentials: "omit",
        headers: { authorization: `Bearer ${this.#token}` },
        signal: AbortSignal.timeout(4000),
      });
      if (!response.ok) return;
      const info = (await response.json()) as { hubUrl?: string; hubUrls?: string[] };
      const urls = info.hubUrls?.length ? info.hubUrls : info.hubUrl ? [info.hubUrl] : [];
      if (urls.length > 0) this.#known = [...new Set(urls)];
    } catch {
      // No Director, or it is away: the hubs known so far, or the one at the same origin, say what is wrong.
    }
  }
}
