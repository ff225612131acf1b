import { CaptionFeed } from "./captions";
import { Emitter } from "./emitter";
import { MediaSession, type LocalPublication } from "./media-session";
import {
  parseCaption,
  TranscribeError,
  type JoinReply,
  type ParticipantInfo,
  type RoomEvent,
  type SessionEvent,
  type Speaker,
  type TrackInfo,
  type TrackKind,
  type TrackSource,
  type TranscriptionState,
} from "./protocol";
import { Roster } from "./roster";
import { PlayoutClock } from "./rtp-time";
import { Signaling } from "./signaling";

export interface JoinOptions {
  /** Origin of the server; the page's own by default. */
  url?: string;
  /** Access token for one room. */
  token: string;
  /** Display name. */
  name?: string;
  /** Receive every track of the room without asking. Default true. */
  autoSubscribe?: boolean;
  /** Kinds of media to receive. Default both. */
  kinds?: TrackKind[];
}

export type RoomState = "connected" | "reconnecting" | "closed";

/** A remote track that is being received. */
export interface Subscription {
  info: TrackInfo;
  mediaTrack: MediaStreamTrack;
  receiver: RTCRtpReceiver;
  /** What is being played of it, as RTP timestamps. */
  playout: PlayoutClock;
}

export interface RoomEvents {
  participantJoined: ParticipantInfo;
  participantLeft: { participantId: string; reason: string };
  trackPublished: TrackInfo;
  trackUnpublished: { trackId: string; participantId: string };
  trackMuted: { trackId: string; participantId: string; muted: boolean };
  trackSubscribed: Subscription;
  trackUnsubscribed: Subscription;
  transcription: TranscriptionState;
  speakers: Speaker[];
  data: { label: string; data: unknown };
  /** The roster changed in any way. */
  changed: undefined;
  state: RoomState;
  closed: { reason: string };
}

/** A joined room. */
export class Room extends Emitter<RoomEvents> {
  readonly captions = new CaptionFeed();
  readonly #options: JoinOptions & { url: string };
  readonly #roster = new Roster();
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #pendingAssignments = new Map<string, string>();
  readonly #signaling: Signaling;
  #media: MediaSession | undefined;
  #session: JoinReply | undefined;
  #state: RoomState = "connected";
  /** Room events that came before the reply to join; undefined while there is nothing to wait for. */
  #early: RoomEvent[] | undefined;
  #resyncing = false;
  #repairing = false;
  #disconnectedTimer: ReturnType<typeof setTimeout> | undefined;

  private constructor(options: JoinOptions) {
    super();
    this.#options = { ...options, url: (options.url ?? location.origin).replace(/\/$/, "") };
    this.#signaling = new Signaling(`${this.#options.url}/rtc`, {
      roomEvent: (event) => this.#onRoomEvent(event),
      sessionEvent: (event) => this.#onSessionEvent(event),
      speakers: (event) => this.emit("speakers", event.speakers),
      reconnecting: () => this.#setState("reconnecting"),
      reconnected: () => void this.#resume(),
      closed: () => this.#close("connectionLost"),
    });
  }

  /** Joins the room that the token names. */
  static async join(options: JoinOptions): Promise<Room> {
    const room = new Room(options);
    await room.#signaling.start();
    try {
      await room.#join();
    } catch (error) {
      await room.#signaling.stop();
      throw error;
    }
    return room;
  }

  get name(): string {
    return this.#session?.room.room ?? "";
  }

  get localParticipantId(): string {
    return this.#session?.participantId ?? "";
  }

  get participants(): ParticipantInfo[] {
    return this.#roster.participants;
  }

  get transcription(): TranscriptionState {
    return this.#roster.transcription;
  }

  get state(): RoomState {
    return this.#state;
  }

  get publications(): readonly LocalPublication[] {
    return this.#media?.publications ?? [];
  }

  get subscriptions(): Subscription[] {
    return [...this.#subscriptions.values()];
  }

  /** The connection below, for statistics. Replaced when the session had to be set up anew. */
  get peerConnection(): RTCPeerConnection | undefined {
    return this.#media?.pc;
  }

  async publish(track: MediaStreamTrack, options: { source: TrackSource; name?: string; muted?: boolean }): Promise<LocalPublication> {
    return await this.#requireMedia().publish(track, options);
  }

  async unpublish(publication: LocalPublication): Promise<void> {
    await this.#requireMedia().unpublish(publication);
  }

  /** Tells the room that a publication is muted; the caller stops or disables the media track itself. */
  async setMuted(publication: LocalPublication, muted: boolean): Promise<void> {
    publication.muted = muted;
    if (publication.trackId) await this.#signaling.setMuted(publication.trackId, muted);
  }

  /** Starts or stops receiving a track. */
  async subscribe(trackId: string, enabled: boolean): Promise<void> {
    await this.#signaling.subscribe(trackId, enabled);
  }

  /** Switches transcription; needs a token with the `admin` grant. */
  async setTranscription(change: { enabled: boolean; engine?: string; language?: string }): Promise<TranscriptionState> {
    const response = await fetch(`${this.#options.url}/v1/rooms/${encodeURIComponent(this.name)}/transcription`, {
      method: "PUT",
      headers: { "content-type": "application/json", authorization: `Bearer ${this.#options.token}` },
      body: JSON.stringify({ engine: "auto", language: "en", ...change }),
    });
    const body = (await response.json().catch(() => ({}))) as TranscriptionState & { detail?: string; title?: string };
    if (!response.ok) throw new TranscribeError(String(response.status), body.detail ?? body.title ?? "The server refused.");
    return body;
  }

  /** The room's transcript so far. */
  async fetchTranscript(format: "vtt" | "srt" | "txt" | "json"): Promise<Blob> {
    const response = await fetch(`${this.#options.url}/v1/rooms/${encodeURIComponent(this.name)}/transcript?format=${format}`, {
      headers: { authorization: `Bearer ${this.#options.token}` },
    });
    if (!response.ok) throw new TranscribeError(String(response.status), "The transcript could not be fetched.");
    return await response.blob();
  }

  async leave(): Promise<void> {
    if (this.#state === "closed") return;
    const left = this.#signaling.connected ? this.#signaling.leave() : Promise.resolve();
    this.#close("left");
    // The server may close the connection before its answer is read; a lost goodbye it notices by itself.
    await left.catch(() => undefined);
    await this.#signaling.stop();
  }

  #requireMedia(): MediaSession {
    if (!this.#media) throw new TranscribeError("closed", "The room is closed.");
    return this.#media;
  }

  async #join(): Promise<void> {
    const { token, name, autoSubscribe, kinds } = this.#options;
    const previous = this.#session;
    this.#early = [];
    const reply = await this.#signaling.join({
      token,
      autoSubscribe: autoSubscribe ?? true,
      ...(name === undefined ? {} : { name }),
      ...(kinds === undefined ? {} : { kinds }),
      ...(previous ? { resume: { sessionId: previous.sessionId, resumeKey: previous.resumeKey, sequence: this.#roster.sequence } } : {}),
    });
    this.#session = reply;
    this.#resetRoster(reply.room);
    const early = this.#early;
    this.#early = undefined;
    for (const event of early) this.#onRoomEvent(event);
    if (!reply.resumed || !this.#media) await this.#startMedia(reply);
    this.#setState("connected");
  }

  async #startMedia(reply: JoinReply): Promise<void> {
    const old = this.#media;
    for (const subscription of this.subscriptions) this.#drop(subscription);
    this.#pendingAssignments.clear();
    const kinds = this.#options.kinds ?? ["audio", "video"];
    const media = new MediaSession(
      reply.iceServers ?? [],
      { audio: kinds.includes("audio"), video: kinds.includes("video") },
      (sdp, tracks) => this.#signaling.negotiate(sdp, tracks),
      (candidate) => {
        if (this.#signaling.connected) this.#signaling.trickle(candidate).catch((error) => console.warn("Trickle failed", error));
      },
    );
    this.#media = media;
    media.on("assigned", (a) => this.#onAssigned(a.mid, a.trackId, a.receiver));
    media.on("captionData", (data) => {
      const caption = parseCaption(data);
      if (caption) this.captions.receive(caption);
    });
    media.on("data", (data) => this.emit("data", data));
    media.on("state", (state) => {
      if (this.#media === media) this.#onMediaState(state);
    });
    if (old) {
      // A new session after the old one was lost: publish again what was published.
      for (const p of old.publications) {
        if (p.transceiver.sender.track) {
          const transceiver = media.pc.addTransceiver(p.transceiver.sender.track, { direction: "sendonly" });
          media.publications.push(Object.assign(p, { transceiver, trackId: undefined }));
        }
      }
      old.close();
    }
    await media.negotiate();
  }

  async #resume(): Promise<void> {
    try {
      await this.#join();
    } catch (error) {
      console.warn("The session could not be resumed", error);
      this.#close(error instanceof TranscribeError ? error.code : "connectionLost");
      await this.#signaling.stop();
    }
  }

  #onRoomEvent(event: RoomEvent): void {
    if (this.#early) {
      this.#early.push(event);
      return;
    }
    const applied = this.#roster.apply(event);
    if (applied === "gap") void this.#resync();
    if (applied !== "applied") return;
    switch (event.type) {
      case "participantJoined":
        this.emit("participantJoined", event.participant);
        break;
      case "participantLeft":
        this.#dropWhere((s) => s.info.participant === event.participantId);
        this.emit("participantLeft", event);
        break;
      case "trackPublished":
        this.#retryAssignments();
        this.emit("trackPublished", event.track);
        break;
      case "trackUnpublished":
        this.#dropWhere((s) => s.info.id === event.trackId);
        this.emit("trackUnpublished", event);
        break;
      case "trackMuted":
        this.emit("trackMuted", event);
        break;
      case "transcription":
        this.emit("transcription", event.transcription);
        break;
      case "roomClosed":
        this.#close(event.reason);
        break;
    }
    this.emit("changed", undefined);
  }

  async #resync(): Promise<void> {
    if (this.#resyncing) return;
    this.#resyncing = true;
    try {
      const reply = await this.#signaling.resync(this.#roster.sequence);
      if (reply.snapshot) this.#resetRoster(reply.snapshot);
      for (const event of reply.events ?? []) this.#onRoomEvent(event);
    } catch (error) {
      console.warn("Resync failed", error);
    } finally {
      this.#resyncing = false;
    }
  }

  #resetRoster(snapshot: Parameters<Roster["reset"]>[0]): void {
    this.#roster.reset(snapshot);
    this.#dropWhere((s) => !this.#roster.track(s.info.id));
    this.#retryAssignments();
    this.emit("transcription", this.#roster.transcription);
    this.emit("changed", undefined);
  }

  #onSessionEvent(event: SessionEvent): void {
    switch (event.type) {
      case "assigned":
        this.#media?.assign(event.assignments);
        break;
      case "needsMedia":
        this.#media?.addReceivers(event.audio, event.video).catch((error) => console.warn("Offer failed", error));
        break;
      case "closed":
        this.#onSessionClosed(event.reason);
        break;
      case "connected":
        break;
    }
  }

  #onSessionClosed(reason: string): void {
    if (this.#state === "closed") return;
    if (reason === "timeout" || reason === "failed" || reason === "nodeShutdown") void this.#rejoin();
    else {
      this.#close(reason);
      void this.#signaling.stop();
    }
  }

  /** The media session is gone but the hub is there: set up a new one. */
  async #rejoin(): Promise<void> {
    if (this.#repairing || this.#state === "closed") return;
    this.#repairing = true;
    this.#setState("reconnecting");
    try {
      for (let attempt = 0; ; attempt++) {
        try {
          this.#session = undefined;
          await this.#join();
          return;
        } catch (error) {
          if (attempt >= 5 || (error instanceof TranscribeError && error.code.startsWith("token"))) throw error;
          await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** attempt));
        }
      }
    } catch (error) {
      this.#close(error instanceof TranscribeError ? error.code : "connectionLost");
    } finally {
      this.#repairing = false;
    }
  }

  #onMediaState(state: RTCPeerConnectionState): void {
    clearTimeout(this.#disconnectedTimer);
    if (state === "disconnected") this.#disconnectedTimer = setTimeout(() => this.#restartIce(), 2000);
    else if (state === "failed") this.#restartIce();
    else if (state === "connected" && this.#signaling.connected) this.#setState("connected");
  }

  #restartIce(): void {
    if (this.#state === "closed" || !this.#signaling.connected) return;
    this.#setState("reconnecting");
    this.#media?.negotiate({ iceRestart: true }).catch(() => void this.#rejoin());
  }

  #onAssigned(mid: string, trackId: string | null, receiver: RTCRtpReceiver): void {
    this.#pendingAssignments.delete(mid);
    this.#dropWhere((s) => s.receiver === receiver);
    if (trackId === null) return;
    const info = this.#roster.track(trackId);
    if (!info) {
      // The session's events and the room's travel apart: the track's announcement may still be on its way.
      this.#pendingAssignments.set(mid, trackId);
      return;
    }
    const subscription: Subscription = { info, mediaTrack: receiver.track, receiver, playout: new PlayoutClock(receiver) };
    this.#subscriptions.set(trackId, subscription);
    if (info.kind === "audio") this.captions.attach(trackId, subscription.playout);
    this.emit("trackSubscribed", subscription);
    this.emit("changed", undefined);
  }

  #retryAssignments(): void {
    for (const [mid, trackId] of [...this.#pendingAssignments]) {
      const transceiver = this.#media?.pc.getTransceivers().find((t) => t.mid === mid);
      if (transceiver && this.#roster.track(trackId)) this.#onAssigned(mid, trackId, transceiver.receiver);
    }
  }

  #dropWhere(matches: (subscription: Subscription) => boolean): void {
    for (const subscription of this.subscriptions) if (matches(subscription)) this.#drop(subscription);
  }

  #drop(subscription: Subscription): void {
    this.#subscriptions.delete(subscription.info.id);
    this.captions.attach(subscription.info.id, undefined);
    this.emit("trackUnsubscribed", subscription);
  }

  #setState(state: RoomState): void {
    if (this.#state === state || this.#state === "closed") return;
    this.#state = state;
    this.emit("state", state);
  }

  #close(reason: string): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    clearTimeout(this.#disconnectedTimer);
    for (const subscription of this.subscriptions) this.#drop(subscription);
    this.captions.close();
    this.#media?.close();
    this.emit("state", "closed");
    this.emit("closed", { reason });
  }
}
