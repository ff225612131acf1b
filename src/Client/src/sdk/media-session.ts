import { Emitter } from "./emitter";
import type { MediaAssignment, NegotiateReply, PublishedMedia, TrackKind, TrackSource } from "./protocol";

/**
 * A track this client sends. It outlives the connection it is sent on: where that is replaced, it is published again
 * by itself, under a new `trackId`.
 */
export class LocalPublication {
  readonly source: TrackSource;
  readonly name?: string;
  readonly kind: TrackKind;
  /** Known once the server has answered; another one after the session moved. */
  trackId?: string;
  muted: boolean;
  #transceiver: RTCRtpTransceiver | undefined;
  #track: MediaStreamTrack | null;

  constructor(track: MediaStreamTrack, options: { source: TrackSource; name?: string; muted?: boolean }) {
    this.#track = track;
    this.kind = track.kind as TrackKind;
    this.source = options.source;
    if (options.name !== undefined) this.name = options.name;
    this.muted = options.muted ?? false;
  }

  /** What is sent; null while nothing is. */
  get track(): MediaStreamTrack | null {
    return this.#track;
  }

  /** The transceiver it is sent on now. */
  get transceiver(): RTCRtpTransceiver | undefined {
    return this.#transceiver;
  }

  /** Sends another track of the same kind, or nothing, without telling the room. */
  async replaceTrack(track: MediaStreamTrack | null): Promise<void> {
    this.#track = track;
    await this.#transceiver?.sender.replaceTrack(track);
  }

  /** @internal */
  bind(transceiver: RTCRtpTransceiver | undefined): void {
    this.#transceiver = transceiver;
    delete this.trackId;
  }
}

export interface MediaSessionEvents {
  /** A receive transceiver carries this track now, or (null) none. */
  assigned: { mid: string; trackId: string | null; receiver: RTCRtpReceiver };
  state: RTCPeerConnectionState;
  captionData: unknown;
  data: { label: string; data: unknown };
}

export type Negotiator = (sdp: string, tracks: PublishedMedia[]) => Promise<NegotiateReply>;

/** The media session was given up for another; what was asked of it is to be asked of that one. */
export class MediaReplaced extends Error {
  constructor() {
    super("The media session was replaced by another.");
    this.name = "MediaReplaced";
  }
}

/** How many receive transceivers a session starts with, so that the first participants need no second offer. */
export const InitialSlots = { audio: 4, video: 4 };

/**
 * One RTCPeerConnection. It always offers; remote tracks arrive on a pool of receive-only transceivers that the server
 * assigns. Where the server moves the session, another MediaSession replaces it.
 */
export class MediaSession extends Emitter<MediaSessionEvents> {
  readonly pc: RTCPeerConnection;
  /** How many transceivers of each kind receive. */
  readonly slots = { audio: 0, video: 0 };
  /** Whether an offer was ever answered. */
  negotiated = false;
  /** An offer is to be made, or being made, by the owner's loop. */
  offer = { owed: false, running: false };
  readonly #publications: LocalPublication[] = [];
  readonly #negotiate: Negotiator;
  readonly #assigned = new Map<string, { trackId: string | null; revision: number }>();
  readonly #replaced: Promise<never>;
  #abandon: () => void = () => undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(iceServers: RTCIceServer[], slots: { audio: number; video: number }, negotiate: Negotiator, trickle: (candidate: string | null) => void) {
    super();
    this.#negotiate = negotiate;
    this.#replaced = new Promise((_, reject) => (this.#abandon = () => reject(new MediaReplaced())));
    this.#replaced.catch(() => undefined);
    this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.pc.addEventListener("icecandidate", (event) => {
      if (this.#closed) return;
      if (event.candidate === null || event.candidate.candidate === "") trickle(null);
      else trickle(event.candidate.candidate);
    });
    this.pc.addEventListener("connectionstatechange", () => {
      if (!this.#closed) this.emit("state", this.pc.connectionState);
    });
    this.pc.addEventListener("datachannel", (event) => this.#listen(event.channel));
    this.#listen(this.pc.createDataChannel("captions", { ordered: true }));
    this.addSlots(slots.audio, slots.video);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get connected(): boolean {
    return !this.#closed && this.pc.connectionState === "connected";
  }

  /** Puts a publication into the next offer; once is enough. */
  async attach(publication: LocalPublication): Promise<void> {
    if (this.#closed || this.#publications.includes(publication)) return;
    this.#publications.push(publication);
    const free = this.pc
      .getTransceivers()
      .find((t) => t.direction === "inactive" && t.receiver.track.kind === publication.kind && !this.#publications.some((p) => p.transceiver === t));
    if (free) {
      publication.bind(free);
      free.direction = "sendonly";
      await free.sender.replaceTrack(publication.track);
    } else {
      const { track } = publication;
      publication.bind(this.pc.addTransceiver(track ?? publication.kind, { direction: "sendonly", ...(track ? { streams: [new MediaStream([track])] } : {}) }));
    }
  }

  /** Leaves a publication out of later offers. */
  async detach(publication: LocalPublication): Promise<void> {
    const index = this.#publications.indexOf(publication);
    if (index < 0) return;
    this.#publications.splice(index, 1);
    const { transceiver } = publication;
    publication.bind(undefined);
    if (!transceiver || this.#closed) return;
    transceiver.direction = "inactive";
    await transceiver.sender.replaceTrack(null);
  }

  addSlots(audio: number, video: number): void {
    for (let i = 0; i < audio + video; i++) this.pc.addTransceiver(i < audio ? "audio" : "video", { direction: "recvonly" });
    this.slots.audio += audio;
    this.slots.video += video;
  }

  /**
   * Offers and applies the answer; concurrent calls follow one another.
   * @throws MediaReplaced where the session was closed meanwhile: its answer is not looked at.
   */
  negotiate(options: { iceRestart?: boolean } = {}): Promise<void> {
    const run = this.#queue.then(() => this.#offer(options));
    this.#queue = run.catch(() => undefined);
    return Promise.race([run, this.#replaced]);
  }

  assign(assignments: MediaAssignment[]): void {
    if (this.#closed) return;
    for (const { mid, trackId, revision } of assignments) {
      const transceiver = this.pc.getTransceivers().find((t) => t.mid === mid);
      if (!transceiver) continue;
      // Answers and events travel apart: an answer may come after the event that made it old.
      const known = this.#assigned.get(mid) ?? { trackId: null, revision: -1 };
      if (revision < known.revision) continue;
      const next = trackId ?? null;
      this.#assigned.set(mid, { trackId: next, revision });
      if (known.trackId === next) continue;
      this.emit("assigned", { mid, trackId: next, receiver: transceiver.receiver });
    }
  }

  /** Ends it; nothing is told afterwards, and whoever waits for an answer is told that it was replaced. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#abandon();
    this.pc.close();
  }

  async #offer(options: { iceRestart?: boolean }): Promise<void> {
    if (this.#closed) throw new MediaReplaced();
    const offer = await this.pc.createOffer(options);
    await this.pc.setLocalDescription(offer);
    const tracks = this.#publications.flatMap((p) =>
      p.transceiver?.mid == null ? [] : [{ mid: p.transceiver.mid, source: p.source, ...(p.name === undefined ? {} : { name: p.name }), muted: p.muted }],
    );
    // Where this fails, the offer stays: the server may have taken it and its answer be lost. The next offer takes its place with
    // the same mids and credentials, which a rollback would give up.
    const reply = await this.#negotiate(this.pc.localDescription?.sdp ?? offer.sdp ?? "", tracks);
    if (this.#closed) throw new MediaReplaced();
    await this.pc.setRemoteDescription({ type: "answer", sdp: reply.sdp });
    if (this.#closed) throw new MediaReplaced();
    for (const { mid, trackId } of reply.published) {
      const publication = this.#publications.find((p) => p.transceiver?.mid === mid);
      if (publication) publication.trackId = trackId;
    }
    this.negotiated = true;
    this.assign(reply.assignments);
  }

  #listen(channel: RTCDataChannel): void {
    channel.binaryType = "arraybuffer";
    channel.addEventListener("message", (event: MessageEvent<unknown>) => {
      if (this.#closed) return;
      if (channel.label === "captions") this.emit("captionData", event.data);
      else this.emit("data", { label: channel.label, data: event.data });
    });
  }
}
