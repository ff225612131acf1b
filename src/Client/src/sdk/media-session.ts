import { Emitter } from "./emitter";
import type { MediaAssignment, NegotiateReply, PublishedMedia, TrackSource } from "./protocol";

/** A track this client sends. */
export interface LocalPublication {
  readonly source: TrackSource;
  readonly name?: string;
  readonly transceiver: RTCRtpTransceiver;
  /** Known once the server has answered. */
  trackId?: string;
  muted: boolean;
}

export interface MediaSessionEvents {
  /** A receive transceiver carries this track now, or (null) none. */
  assigned: { mid: string; trackId: string | null; receiver: RTCRtpReceiver };
  state: RTCPeerConnectionState;
  captionData: unknown;
  data: { label: string; data: unknown };
}

export type Negotiator = (sdp: string, tracks: PublishedMedia[]) => Promise<NegotiateReply>;

/** How many receive transceivers a session starts with, so that the first participants need no second offer. */
const InitialSlots = { audio: 4, video: 4 };

/**
 * The one RTCPeerConnection of a session. It always offers; remote tracks arrive on a pool of receive-only
 * transceivers that the server assigns.
 */
export class MediaSession extends Emitter<MediaSessionEvents> {
  readonly pc: RTCPeerConnection;
  readonly publications: LocalPublication[] = [];
  readonly #negotiate: Negotiator;
  readonly #assigned = new Map<string, { trackId: string | null; revision: number }>();
  #queue: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(iceServers: RTCIceServer[], receive: { audio: boolean; video: boolean }, negotiate: Negotiator, trickle: (candidate: string | null) => void) {
    super();
    this.#negotiate = negotiate;
    this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.pc.addEventListener("icecandidate", (event) => {
      if (event.candidate === null || event.candidate.candidate === "") trickle(null);
      else trickle(event.candidate.candidate);
    });
    this.pc.addEventListener("connectionstatechange", () => this.emit("state", this.pc.connectionState));
    this.pc.addEventListener("datachannel", (event) => this.#listen(event.channel));
    this.#listen(this.pc.createDataChannel("captions", { ordered: true }));
    if (receive.audio) this.#addSlots("audio", InitialSlots.audio);
    if (receive.video) this.#addSlots("video", InitialSlots.video);
  }

  /** Sends a track. The offer follows at once. */
  async publish(track: MediaStreamTrack, options: { source: TrackSource; name?: string; muted?: boolean }): Promise<LocalPublication> {
    const free = this.pc
      .getTransceivers()
      .find((t) => t.direction === "inactive" && t.receiver.track.kind === track.kind && !this.publications.some((p) => p.transceiver === t));
    let transceiver: RTCRtpTransceiver;
    if (free) {
      transceiver = free;
      transceiver.direction = "sendonly";
      await transceiver.sender.replaceTrack(track);
    } else {
      transceiver = this.pc.addTransceiver(track, { direction: "sendonly", streams: [new MediaStream([track])] });
    }
    const publication: LocalPublication = {
      source: options.source,
      ...(options.name === undefined ? {} : { name: options.name }),
      transceiver,
      muted: options.muted ?? false,
    };
    this.publications.push(publication);
    await this.negotiate();
    return publication;
  }

  async unpublish(publication: LocalPublication): Promise<void> {
    const index = this.publications.indexOf(publication);
    if (index < 0) return;
    this.publications.splice(index, 1);
    publication.transceiver.direction = "inactive";
    await publication.transceiver.sender.replaceTrack(null);
    await this.negotiate();
  }

  async addReceivers(audio: number, video: number): Promise<void> {
    this.#addSlots("audio", audio);
    this.#addSlots("video", video);
    await this.negotiate();
  }

  /** Offers and applies the answer; concurrent calls follow one another. */
  negotiate(options: { iceRestart?: boolean } = {}): Promise<void> {
    const run = this.#queue.then(() => this.#offer(options));
    this.#queue = run.catch(() => undefined);
    return run;
  }

  assign(assignments: MediaAssignment[]): void {
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

  close(): void {
    this.#closed = true;
    this.pc.close();
  }

  async #offer(options: { iceRestart?: boolean }): Promise<void> {
    if (this.#closed) return;
    const offer = await this.pc.createOffer(options);
    await this.pc.setLocalDescription(offer);
    const tracks = this.publications
      .filter((p) => p.transceiver.mid !== null)
      .map((p) => ({
        mid: p.transceiver.mid as string,
        source: p.source,
        ...(p.name === undefined ? {} : { name: p.name }),
        muted: p.muted,
      }));
    let reply: NegotiateReply;
    try {
      reply = await this.#negotiate(this.pc.localDescription?.sdp ?? offer.sdp ?? "", tracks);
    } catch (error) {
      if (!this.#closed && this.pc.signalingState === "have-local-offer") await this.pc.setLocalDescription({ type: "rollback" });
      throw error;
    }
    if (this.#closed) return;
    await this.pc.setRemoteDescription({ type: "answer", sdp: reply.sdp });
    for (const { mid, trackId } of reply.published) {
      const publication = this.publications.find((p) => p.transceiver.mid === mid);
      if (publication) publication.trackId = trackId;
    }
    this.assign(reply.assignments);
  }

  #addSlots(kind: "audio" | "video", count: number): void {
    for (let i = 0; i < count; i++) this.pc.addTransceiver(kind, { direction: "recvonly" });
  }

  #listen(channel: RTCDataChannel): void {
    channel.binaryType = "arraybuffer";
    channel.addEventListener("message", (event: MessageEvent<unknown>) => {
      if (channel.label === "captions") this.emit("captionData", event.data);
      else this.emit("data", { label: channel.label, data: event.data });
    });
  }
}
