import { CaptionFeed } from "./captions";
import { Emitter } from "./emitter";
import { LocalPublication, type MediaSession } from "./media-session";
import {
  parseCaption,
  TranscribeError,
  type ParticipantInfo,
  type RoomEvent,
  type RoomSnapshot,
  type Speaker,
  type TrackInfo,
  type TrackKind,
  type TrackSource,
  type TranscriptionState,
} from "./protocol";
import { Roster } from "./roster";
import { PlayoutClock } from "./rtp-time";
import { Session } from "./session";

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
  /** Region the client is near to, by its name in the cluster. */
  region?: string;
  /** URLs of the signalling nodes' hubs, the best first. Without them the server is asked (`POST /v1/join`). */
  hubUrls?: string[];
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
  /** Signalling or media is down; it is repaired without being asked. */
  reconnecting: undefined;
  /** Signalling and media are there again. */
  reconnected: undefined;
  /**
   * Media is set up anew on another node: "nodeLost", "drain", "moved", or "rejoined" for a new session in the same room.
   * `trackUnsubscribed` for every track follows, then `trackSubscribed` as they come back; own tracks are published again.
   */
  moved: { reason: string };
  closed: { reason: string };
}

/** A joined room. */
export class Room extends Emitter<RoomEvents> {
  readonly captions = new CaptionFeed();
  readonly #options: JoinOptions & { url: string };
  readonly #roster = new Roster();
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #pendingAssignments = new Map<string, string>();
  readonly #session: Session;
  #state: RoomState = "connected";
  #resyncing = false;

  private constructor(options: JoinOptions) {
    super();
    this.#options = { ...options, url: (options.url ?? location.origin).replace(/\/$/, "") };
    this.#session = new Session(this.#options, {
      sequence: () => this.#roster.sequence,
      roomReset: (room) => this.#resetRoster(room),
      roomEvent: (event) => this.#onRoomEvent(event),
      speakers: (event) => this.emit("speakers", event.speakers),
      hasTrack: (trackId) => this.#roster.track(trackId) !== undefined,
      moved: (reason) => this.#onMoved(reason),
      assigned: (media, mid, trackId, receiver) => this.#onAssigned(media, mid, trackId, receiver),
      captionData: (data) => {
        const caption = parseCaption(data);
        if (caption) this.captions.receive(caption);
      },
      data: (data) => this.emit("data", data),
      reconnecting: () => this.#setState("reconnecting"),
      reconnected: () => this.#setState("connected"),
      closed: (reason) => this.#onClosed(reason),
    });
  }

  /** Joins the room that the token names. */
  static async join(options: JoinOptions): Promise<Room> {
    const room = new Room(options);
    await room.#session.start();
    return room;
  }

  get name(): string {
    return this.#session.reply?.room.room ?? "";
  }

  get localParticipantId(): string {
    return this.#session.reply?.participantId ?? "";
  }

  /** The server's id of this session, for its logs; another one after `moved` with "rejoined". */
  get sessionId(): string {
    return this.#session.reply?.sessionId ?? "";
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
    return this.#session.publications;
  }

  get subscriptions(): Subscription[] {
    return [...this.#subscriptions.values()];
  }

  /** The connection below, for statistics. Replaced when media is set up anew. */
  get peerConnection(): RTCPeerConnection | undefined {
    return this.#session.media?.pc;
  }

  /** URL of the hub it is connected to; empty while it is not. */
  get hubUrl(): string {
    return this.#session.hubUrl;
  }

  async publish(track: MediaStreamTrack, options: { source: TrackSource; name?: string; muted?: boolean }): Promise<LocalPublication> {
    const publication = new LocalPublication(track, options);
    this.#session.publications.push(publication);
    try {
      await this.#session.negotiate((media) => media.attach(publication));
    } catch (error) {
      this.#forget(publication);
      await this.#session.media?.detach(publication);
      throw error;
    }
    return publication;
  }

  async unpublish(publication: LocalPublication): Promise<void> {
    if (this.#forget(publication)) await this.#session.negotiate((media) => media.detach(publication));
  }

  /** Tells the room that a publication is muted; the caller stops or disables the media track itself. */
  async setMuted(publication: LocalPublication, muted: boolean): Promise<void> {
    publication.muted = muted;
    await this.#session.setMuted(publication);
  }

  /** Starts or stops receiving a track. */
  async subscribe(trackId: string, enabled: boolean): Promise<void> {
    await this.#session.subscribe(trackId, enabled);
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
    if (this.#state !== "closed") await this.#session.leave("left");
  }

  #forget(publication: LocalPublication): boolean {
    const index = this.#session.publications.indexOf(publication);
    if (index >= 0) this.#session.publications.splice(index, 1);
    return index >= 0;
  }

  #onRoomEvent(event: RoomEvent): void {
    const before = event.type === "participantLeft" ? this.#roster.participant(event.participantId)?.tracks : undefined;
    const applied = this.#roster.apply(event);
    if (applied === "gap") void this.#resync();
    if (applied !== "applied") return;
    switch (event.type) {
      case "participantJoined":
        this.emit("participantJoined", event.participant);
        break;
      case "participantLeft":
        this.#dropWhere((s) => s.info.participant === event.participantId);
        for (const track of before ?? []) this.captions.trackEnded(track.id);
        this.emit("participantLeft", event);
        break;
      case "trackPublished":
        this.#retryAssignments();
        this.emit("trackPublished", event.track);
        break;
      case "trackUnpublished":
        this.#dropWhere((s) => s.info.id === event.trackId);
        this.captions.trackEnded(event.trackId);
        this.emit("trackUnpublished", event);
        break;
      case "trackMuted":
        this.emit("trackMuted", event);
        break;
      case "transcription":
        this.emit("transcription", event.transcription);
        break;
      case "roomClosed":
        // Everybody left, we too (the session says so itself), or only watch: it begins again with the next one.
        if (event.reason === "empty") this.#dropWhere(() => true);
        else this.#session.end(event.reason);
        break;
    }
    this.emit("changed", undefined);
  }

  async #resync(): Promise<void> {
    if (this.#resyncing) return;
    this.#resyncing = true;
    try {
      const reply = await this.#session.resync(this.#roster.sequence);
      // An event may have overtaken the snapshot.
      if (reply.snapshot && reply.snapshot.sequence >= this.#roster.sequence) this.#resetRoster(reply.snapshot);
      for (const event of reply.events ?? []) this.#onRoomEvent(event);
    } catch (error) {
      console.warn("Resync failed", error);
    } finally {
      this.#resyncing = false;
    }
  }

  #resetRoster(snapshot: RoomSnapshot): void {
    const before = this.#roster.participants.flatMap((p) => p.tracks);
    this.#roster.reset(snapshot);
    this.#dropWhere((s) => !this.#roster.track(s.info.id));
    for (const { id } of before) if (!this.#roster.track(id)) this.captions.trackEnded(id);
    this.#retryAssignments();
    this.emit("transcription", this.#roster.transcription);
    this.emit("changed", undefined);
  }

  #onMoved(reason: string): void {
    this.#pendingAssignments.clear();
    this.emit("moved", { reason });
    for (const subscription of this.subscriptions) this.#drop(subscription);
  }

  #onAssigned(media: MediaSession, mid: string, trackId: string | null, receiver: RTCRtpReceiver): void {
    if (media !== this.#session.media) return;
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
    const { media } = this.#session;
    for (const [mid, trackId] of [...this.#pendingAssignments]) {
      const transceiver = media?.pc.getTransceivers().find((t) => t.mid === mid);
      if (media && transceiver && this.#roster.track(trackId)) this.#onAssigned(media, mid, trackId, transceiver.receiver);
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

  #setState(state: "connected" | "reconnecting"): void {
    if (this.#state === state || this.#state === "closed") return;
    this.#state = state;
    this.emit("state", state);
    this.emit(state === "connected" ? "reconnected" : "reconnecting", undefined);
  }

  #onClosed(reason: string): void {
    this.#state = "closed";
    for (const subscription of this.subscriptions) this.#drop(subscription);
    this.captions.close();
    this.emit("state", "closed");
    this.emit("closed", { reason });
  }
}
