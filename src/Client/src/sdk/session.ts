import { Hubs } from "./hubs";
import { InitialSlots, MediaReplaced, MediaSession, type LocalPublication } from "./media-session";
import { TranscribeError, type ActiveSpeakers, type JoinReply, type RoomEvent, type RoomSnapshot, type SessionEvent, type TrackKind } from "./protocol";
import { Signaling } from "./signaling";
import { backOff, delay, within } from "./timing";

export interface SessionOptions {
  /** Origin of the server. */
  url: string;
  token: string;
  name?: string;
  autoSubscribe?: boolean;
  kinds?: TrackKind[];
  region?: string;
  hubUrls?: string[];
}

/** Who is told what happens. Calls come in order; none after `closed`. */
export interface SessionHost {
  /** Number of the last room event seen. */
  sequence(): number;
  /** The room as it is; its numbers may begin again. */
  roomReset(room: RoomSnapshot): void;
  roomEvent(event: RoomEvent): void;
  speakers(event: ActiveSpeakers): void;
  /** Whether the room has this track. */
  hasTrack(trackId: string): boolean;
  /** Media is set up anew, for this reason: nothing is received any more. */
  moved(reason: string): void;
  assigned(media: MediaSession, mid: string, trackId: string | null, receiver: RTCRtpReceiver): void;
  captionData(data: unknown): void;
  data(data: { label: string; data: unknown }): void;
  /** Signalling or media is down, and being repaired. */
  reconnecting(): void;
  reconnected(): void;
  closed(reason: string): void;
}

/** How long the node that was lost is tried before the others. */
const SameNodeMs = 1000;
/** What connecting to a signalling node may take, and a call there. */
const DialMs = 4000;
const CallMs = 8000;
/** How long an offer that somebody waits for is made again. */
const AskMs = 15_000;
/** How long ICE may be disconnected before the server is asked. */
const DisconnectedMs = 3000;
/** How long the server has to say what became of lost media. */
const PatienceMs = 5000;
/** How long media may take to flow once it was negotiated. */
const FlowMs = 12_000;
/** How long a lost room is tried to come back to. */
const GiveUpMs = 120_000;
/** New sessions without media in one of them, after which the room is given up. */
const MaxRejoins = 8;

const OfNode = new Set(["unreachable", "unavailable", "no_capacity", "internal", "rate_limited", "room_full", "session_not_found"]);
const Transient = new Set(["unreachable", "unavailable", "internal", "rate_limited"]);
const Rejoinable = new Set(["timeout", "failed", "nodeShutdown", "nodeLost"]);

const codeOf = (error: unknown): string => (error instanceof TranscribeError ? error.code : "failed");

/**
 * A participant's session: the connection to a signalling node and the media session below it. Three things can break,
 * one by one or together, and are repaired without being asked: the hub connection (resume at the same node, then at the
 * others; media is not touched), the media session (the server says "moved", or media is silent and the server is
 * asked), and the session as a whole (join anew).
 */
export class Session {
  readonly publications: LocalPublication[] = [];
  readonly #options: SessionOptions;
  readonly #host: SessionHost;
  readonly #hubs: Hubs;
  readonly #subscriptions = new Map<string, boolean>();
  #joined: JoinReply | undefined;
  #hub: Signaling | undefined;
  #hubUrl = "";
  #hubWaiters: (() => void)[] = [];
  /** The connection that is joining now, and what it brought before the answer to join, which says what that changes. */
  #joining: Signaling | undefined;
  #early: (() => void)[] | undefined;
  #media: MediaSession | undefined;
  #ready = false;
  #closed = false;
  #troubled = false;
  #reconnecting = false;
  /** Why the session cannot be resumed; undefined while it can. */
  #lost: string | undefined;
  #rejoins = 0;
  #inquiring: MediaSession | undefined;
  #disconnectedTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: SessionOptions, host: SessionHost) {
    this.#options = options;
    this.#host = host;
    this.#hubs = new Hubs(options.url, options.token, options.region, options.hubUrls);
  }

  get reply(): JoinReply | undefined {
    return this.#joined;
  }

  get media(): MediaSession | undefined {
    return this.#media;
  }

  /** URL of the hub it is connected to; empty while it is not. */
  get hubUrl(): string {
    return this.#hub ? this.#hubUrl : "";
  }

  /** Joins; fails where the server refuses or cannot be reached. */
  async start(): Promise<void> {
    try {
      if (!this.#options.hubUrls?.length) await this.#hubs.find();
      const urls = this.#hubs.known;
      for (let i = 0; ; i++) {
        try {
          await this.#joinAt(urls[i] as string, undefined);
          break;
        } catch (error) {
          if (i + 1 >= urls.length || !OfNode.has(codeOf(error))) throw error;
        }
      }
      await this.negotiate(() => undefined);
      this.#ready = true;
      const media = this.#media;
      if (media) void this.#awaitFlow(media);
    } catch (error) {
      this.#shut();
      throw error;
    }
  }

  /** Changes what is offered and offers it. Where media is replaced meanwhile, once more on the new one. */
  async negotiate(change: (media: MediaSession) => void | Promise<void>): Promise<void> {
    const began = Date.now();
    for (let failures = 0; ; ) {
      const media = this.#media;
      if (!media || this.#closed) throw new TranscribeError("closed", "The room is closed.");
      try {
        await change(media);
        await media.negotiate();
        return;
      } catch (error) {
        if (error instanceof MediaReplaced || media.closed) continue;
        // A hub lost under the offer, a node that is not there yet: in a moment there is another one.
        if (!this.#ready || !Transient.has(codeOf(error)) || Date.now() - began > AskMs) throw error;
        await delay(backOff(failures++, 200, 2000));
      }
    }
  }

  async setMuted(publication: LocalPublication): Promise<void> {
    await this.#ask(async (hub) => {
      // Without an id it was not published yet: the offer will tell.
      if (publication.trackId) await hub.setMuted(publication.trackId, publication.muted);
    });
  }

  async subscribe(trackId: string, enabled: boolean): Promise<void> {
    this.#subscriptions.set(trackId, enabled);
    await this.#ask((hub) => hub.subscribe(trackId, enabled));
  }

  async resync(afterSequence: number): ReturnType<Signaling["resync"]> {
    return await this.#ask((hub) => hub.resync(afterSequence));
  }

  /** Says goodbye and closes. */
  async leave(reason: string): Promise<void> {
    const hub = this.#hub;
    const left = hub?.connected ? within(hub.leave(), 2000) : Promise.resolve();
    this.#close(reason);
    // The server may close the connection before its answer is read; a lost goodbye it notices by itself.
    await left.catch(() => undefined);
    await hub?.stop();
  }

  /** Closes without a goodbye: the server ended it. */
  end(reason: string): void {
    const hub = this.#hub;
    this.#close(reason);
    void hub?.stop();
  }

  #close(reason: string): void {
    if (this.#closed) return;
    this.#shut();
    this.#host.closed(reason);
  }

  #shut(): void {
    this.#closed = true;
    clearTimeout(this.#disconnectedTimer);
    this.#media?.close();
    if (!this.#ready) void this.#hub?.stop();
    this.#hub = undefined;
    this.#wakeHubWaiters();
  }

  async #whenHub(): Promise<Signaling> {
    while (!this.#hub) {
      if (this.#closed) throw new TranscribeError("closed", "The room is closed.");
      await new Promise<void>((resolve) => this.#hubWaiters.push(resolve));
    }
    return this.#hub;
  }

  /** A call that is made again, once, where the hub was lost or left under it. */
  async #ask<T>(call: (hub: Signaling) => Promise<T>): Promise<T> {
    const hub = await this.#whenHub();
    try {
      return await call(hub);
    } catch (error) {
      if (codeOf(error) !== "unreachable" || hub === this.#hub || this.#closed) throw error;
      return await call(await this.#whenHub());
    }
  }

  #wakeHubWaiters(): void {
    const waiters = this.#hubWaiters;
    this.#hubWaiters = [];
    for (const wake of waiters) wake();
  }

  /** Connects to a node and joins there. What it tells is heard from the answer on. */
  async #joinAt(url: string, resume: { sessionId: string; resumeKey: string; sequence: number } | undefined): Promise<void> {
    const { token, name, autoSubscribe, kinds } = this.#options;
    const here = new URL(url, this.#options.url).origin === new URL(this.#options.url).origin;
    const hub: Signaling = new Signaling(
      url,
      {
        roomEvent: (event) => this.#hear(hub, () => this.#host.roomEvent(event)),
        roomReset: (room) => this.#hear(hub, () => this.#host.roomReset(room)),
        sessionEvent: (event) => this.#hear(hub, () => this.#onSessionEvent(event)),
        speakers: (event) => this.#hear(hub, () => this.#host.speakers(event)),
        goAway: (event) => this.#hear(hub, () => void this.#goElsewhere(hub, event.hubUrls ?? [])),
        closed: () => this.#onHubLost(hub),
      },
      !here || this.#hubs.known.length > 1,
    );
    this.#joining = hub;
    this.#early = [];
    let reply: JoinReply;
    try {
      await within(hub.start().catch((error) => Promise.reject(new TranscribeError("unreachable", String(error)))), DialMs);
      reply = await within(
        hub.join({
          token,
          autoSubscribe: autoSubscribe ?? true,
          ...(name === undefined ? {} : { name }),
          ...(kinds === undefined ? {} : { kinds }),
          ...(resume ? { resume } : {}),
        }),
        CallMs,
      );
      if (this.#closed) throw new TranscribeError("closed", "The room is closed.");
    } catch (error) {
      this.#joining = this.#early = undefined;
      void hub.stop().catch(() => undefined);
      throw error;
    }
    this.#begin(hub, url, reply);
  }

  /** Goes on with the room as the server described it, and with what happened since. */
  #begin(hub: Signaling, url: string, reply: JoinReply): void {
    const first = this.#joined === undefined;
    this.#joined = reply;
    this.#lost = undefined;
    this.#hub = hub;
    this.#hubUrl = url;
    this.#host.roomReset(reply.room);
    if (!reply.resumed || !this.#media) this.#replaceMedia(first ? undefined : "rejoined");
    for (let told = this.#early?.shift(); told; told = this.#early?.shift()) told();
    this.#joining = this.#early = undefined;
    this.#wakeHubWaiters();
    if (!hub.connected) this.#onHubLost(hub);
    this.#settle();
  }

  #hear(hub: Signaling, told: () => void): void {
    if (this.#closed) return;
    if (hub === this.#joining) this.#early?.push(told);
    else if (hub === this.#hub) told();
  }

  /**
   * The node asks to go on at another one. That one is joined before this one is left, so that nothing is down meanwhile, and
   * media is not touched. Where none takes us we stay while we can.
   */
  async #goElsewhere(from: Signaling, urls: string[]): Promise<void> {
    if (!this.#ready || this.#reconnecting || this.#lost !== undefined) return; // it asks again
    this.#reconnecting = true;
    let moved = false;
    for (const url of urls) {
      try {
        const { sessionId, resumeKey } = this.#joined as JoinReply;
        await this.#joinAt(url, { sessionId, resumeKey, sequence: this.#host.sequence() });
        moved = true;
        break;
      } catch (error) {
        if (this.#closed || !OfNode.has(codeOf(error))) break;
      }
    }
    this.#reconnecting = false;
    if (moved) {
      this.#hubs.use(urls);
      void from.stop().catch(() => undefined);
    }
    if (!this.#hub) this.#reconnect(this.#lost ?? "connectionLost");
  }

  #onHubLost(hub: Signaling): void {
    if (hub !== this.#hub || this.#closed) return;
    this.#hub = undefined;
    this.#reconnect("connectionLost");
  }

  #onSessionEvent(event: SessionEvent): void {
    switch (event.type) {
      case "assigned":
        this.#media?.assign(event.assignments);
        break;
      case "needsMedia":
        if (!this.#media) break;
        this.#media.addSlots(Math.min(event.audio, 64), Math.min(event.video, 64));
        this.#owe(this.#media);
        break;
      case "moved":
        this.#replaceMedia(event.reason);
        break;
      case "closed":
        if (Rejoinable.has(event.reason)) this.#rejoin(event.reason);
        else this.end(event.reason);
        break;
      case "connected":
        break;
    }
  }

  /** Sets media up anew, in the same session or in another. @param reason undefined for the first time. */
  #replaceMedia(reason: string | undefined): void {
    const old = this.#media;
    clearTimeout(this.#disconnectedTimer);
    if (reason !== undefined) {
      this.#trouble();
      this.#host.moved(reason);
    }
    old?.close();
    const kinds = this.#options.kinds ?? ["audio", "video"];
    const slots = (kind: TrackKind) => Math.max(old?.slots[kind] ?? 0, kinds.includes(kind) ? InitialSlots[kind] : 0);
    const media: MediaSession = new MediaSession(
      this.#joined?.iceServers ?? [],
      { audio: slots("audio"), video: slots("video") },
      async (sdp, tracks) => await within((await this.#whenHub()).negotiate(sdp, tracks), CallMs),
      (candidate) => {
        if (media === this.#media) this.#hub?.trickle(candidate).catch(() => undefined);
      },
    );
    this.#media = media;
    media.on("assigned", (a) => this.#host.assigned(media, a.mid, a.trackId, a.receiver));
    media.on("captionData", (data) => this.#host.captionData(data));
    media.on("data", (data) => this.#host.data(data));
    media.on("state", (state) => this.#onMediaState(media, state));
    for (const publication of this.publications) media.attach(publication).catch((error) => console.warn("A track could not be published again", error));
    if (reason !== undefined) this.#owe(media);
  }

  #owe(media: MediaSession): void {
    media.offer.owed = true;
    if (!media.offer.running) void this.#offerUntilTaken(media);
  }

  /** Offers until the server has taken what there is to offer, through lost hubs and absent nodes. */
  async #offerUntilTaken(media: MediaSession): Promise<void> {
    media.offer.running = true;
    for (let failures = 0; media.offer.owed && !media.closed; ) {
      media.offer.owed = false;
      const first = !media.negotiated;
      try {
        await media.negotiate();
        failures = 0;
        if (first) void this.#onFirstAnswer(media);
      } catch (error) {
        if (media.closed || this.#closed) break;
        console.warn("Offer failed", error);
        if (await this.#isWorthAnotherOffer(media, codeOf(error), first, failures++)) media.offer.owed = true;
      }
    }
    media.offer.running = false;
  }

  async #isWorthAnotherOffer(media: MediaSession, code: string, first: boolean, failures: number): Promise<boolean> {
    if (Transient.has(code)) {
      await delay(backOff(failures, 200, 2000));
      return true;
    }
    // The server is about to say what became of the session; or an offer of the old media came to the new node first.
    if (code === "session_not_found" ? !(await this.#isReplaced(media)) : code === "sdp_invalid" && first) this.#rejoin("failed");
    else if (first && code !== "session_not_found") this.end(code);
    return false;
  }

  /** Waits a while for another media session, or the end of all. */
  async #isReplaced(media: MediaSession): Promise<boolean> {
    for (let waited = 0; waited < PatienceMs; waited += 100) {
      if (media.closed || this.#closed || this.#lost !== undefined || media.connected) return true;
      await delay(100);
    }
    return false;
  }

  async #onFirstAnswer(media: MediaSession): Promise<void> {
    for (const [track, enabled] of this.#subscriptions)
      if (this.#host.hasTrack(track)) await this.#hub?.subscribe(track, enabled).catch((error) => console.warn("A subscription was not taken on", error));
    this.#settle();
    await this.#awaitFlow(media);
  }

  async #awaitFlow(media: MediaSession): Promise<void> {
    for (let waited = 0; waited < FlowMs; waited += 200) {
      if (media.connected || media.closed) return;
      await delay(200);
    }
    if (media === this.#media) this.#rejoin("failed");
  }

  #onMediaState(media: MediaSession, state: RTCPeerConnectionState): void {
    if (media !== this.#media || this.#closed) return;
    clearTimeout(this.#disconnectedTimer);
    if (state === "connected") this.#settle();
    else if (state === "disconnected") this.#disconnectedTimer = setTimeout(() => void this.#inquire(media), DisconnectedMs);
    else if (state === "failed") void this.#inquire(media);
  }

  /** Media is silent and nobody has said why. The server is asked by an ICE restart; what it says (or does not) decides. */
  async #inquire(media: MediaSession): Promise<void> {
    if (!this.#ready || this.#inquiring === media || media.closed) return;
    this.#inquiring = media;
    this.#trouble();
    try {
      await this.#whenHub();
      await media.negotiate({ iceRestart: true });
    } catch (error) {
      if (!media.closed) console.warn("ICE restart failed", error);
    }
    const repaired = media.closed || (await this.#isReplaced(media));
    this.#inquiring = undefined;
    if (repaired) this.#settle();
    else this.#rejoin("failed");
  }

  /** Gives the session up for a new one. */
  #rejoin(reason: string): void {
    if (this.#lost !== undefined || this.#closed) return;
    this.#lost = reason;
    const hub = this.#hub;
    this.#hub = undefined;
    this.#trouble();
    const left = hub?.connected ? within(hub.leave(), 1000).catch(() => undefined) : Promise.resolve();
    void left.then(() => {
      void hub?.stop();
      this.#reconnect(reason);
    });
  }

  #reconnect(reason: string): void {
    if (!this.#ready) {
      this.#close(reason);
      return;
    }
    if (this.#reconnecting || this.#closed) return;
    this.#reconnecting = true;
    this.#trouble();
    void this.#findNode(reason).then((refused) => {
      this.#reconnecting = false;
      if (refused !== undefined) this.end(refused);
      else if (!this.#hub) this.#reconnect(reason);
    });
  }

  /** Tries the nodes one after another. Undefined where one took the client on, else why the room is given up. */
  async #findNode(reason: string): Promise<string | undefined> {
    if (this.#lost !== undefined && ++this.#rejoins > MaxRejoins) return reason;
    if (this.#rejoins > 1) await delay(backOff(this.#rejoins, 250, 4000));
    const began = Date.now();
    let urls = this.#hubs.known;
    let next = Math.max(0, urls.indexOf(this.#hubUrl));
    let last = "unreachable";
    for (let tried = 0; Date.now() - began < GiveUpMs; ) {
      if (this.#closed) return undefined;
      try {
        const { sessionId, resumeKey } = this.#joined as JoinReply;
        await this.#joinAt(urls[next % urls.length] as string, this.#lost === undefined ? { sessionId, resumeKey, sequence: this.#host.sequence() } : undefined);
        return undefined;
      } catch (error) {
        last = codeOf(error);
        if (!OfNode.has(last)) return last;
      }
      // Patient with the same node first: it may have lost this connection only.
      if (tried === 0 && last === "unreachable" && Date.now() - began < SameNodeMs) {
        await delay(backOff(0, 300, 300));
        continue;
      }
      next++;
      if (++tried % urls.length === 0) {
        await delay(backOff(tried / urls.length, 250, 5000));
        await this.#hubs.find();
        if (this.#hubs.known.join() !== urls.join()) [urls, next] = [this.#hubs.known, 0];
      }
    }
    return last === "unreachable" ? reason : last;
  }

  #trouble(): void {
    if (this.#troubled || !this.#ready || this.#closed) return;
    this.#troubled = true;
    this.#host.reconnecting();
  }

  /** Tells, once, that everything is there again. */
  #settle(): void {
    const media = this.#media;
    if (this.#closed || !this.#hub || this.#early || !media?.negotiated || !media.connected || this.#inquiring === media) return;
    this.#rejoins = 0;
    if (!this.#troubled) return;
    this.#troubled = false;
    this.#host.reconnected();
  }
}
