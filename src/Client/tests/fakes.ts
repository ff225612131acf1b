import { TranscribeError, type JoinReply, type JoinRequest, type NegotiateReply, type PublishedMedia, type RoomSnapshot } from "../src/sdk/protocol";
import type { SignalingHandlers } from "../src/sdk/signaling";

/** The signalling nodes of a test, whose answers it decides. */
export const net = {
  hubs: [] as FakeSignaling[],
  dead: new Set<string>(),
  joins: [] as { url: string; request: JoinRequest }[],
  offers: [] as { sdp: string; tracks: PublishedMedia[] }[],
  calls: [] as string[],
  room: snapshot(5),
  onJoin: undefined as ((request: JoinRequest, hub: FakeSignaling) => Promise<JoinReply> | undefined) | undefined,
  onOffer: undefined as (() => Promise<NegotiateReply> | undefined) | undefined,
  /** Published tracks are answered with this and their mid. */
  trackPrefix: "TR_",
  reset(): void {
    Object.assign(net, { hubs: [], dead: new Set(), joins: [], offers: [], calls: [], room: snapshot(5), onJoin: undefined, onOffer: undefined, trackPrefix: "TR_" });
    FakePeerConnection.all = [];
    FakePeerConnection.connects = true;
  },
  /** The connection that the client has now. */
  get hub(): FakeSignaling {
    return net.hubs.findLast((h) => h.connected) as FakeSignaling;
  },
  /** A node dies, with its connections. */
  kill(url: string): void {
    net.dead.add(url);
    for (const hub of net.hubs) if (hub.url === url) hub.break();
  },
};

export function snapshot(sequence: number, participants: RoomSnapshot["participants"] = []): RoomSnapshot {
  return { room: "demo", sequence, participants, transcription: { enabled: false, engine: "auto", language: "en" } };
}

export function joinReply(change: Partial<JoinReply> = {}): JoinReply {
  return { sessionId: "S_1", resumeKey: "k", participantId: "bob", iceServers: [], resumed: false, room: net.room, ...change };
}

export class FakeSignaling {
  connected = false;

  constructor(
    readonly url: string,
    readonly handlers: SignalingHandlers,
    readonly webSocketOnly = false,
  ) {
    net.hubs.push(this);
  }

  start = async (): Promise<void> => {
    if (net.dead.has(this.url)) throw new Error("refused");
    this.connected = true;
  };

  stop = async (): Promise<void> => this.break();

  break(): void {
    if (!this.connected) return;
    this.connected = false;
    this.handlers.closed();
  }

  join = async (request: JoinRequest): Promise<JoinReply> => {
    net.joins.push({ url: this.url, request });
    return (await net.onJoin?.(request, this)) ?? joinReply({ resumed: request.resume !== undefined });
  };

  negotiate = async (sdp: string, tracks: PublishedMedia[]): Promise<NegotiateReply> => {
    net.offers.push({ sdp, tracks });
    const prefix = net.trackPrefix;
    return (await net.onOffer?.()) ?? { sdp: "answer", published: tracks.map((t) => ({ mid: t.mid, trackId: prefix + t.mid })), assignments: [] };
  };

  trickle = async (): Promise<void> => undefined;
  leave = async (): Promise<void> => void net.calls.push("leave");
  subscribe = async (trackId: string, enabled: boolean): Promise<void> => void net.calls.push(`subscribe ${trackId} ${enabled}`);
  setMuted = async (trackId: string, muted: boolean): Promise<void> => void net.calls.push(`setMuted ${trackId} ${muted}`);
  resync = (): Promise<never> => Promise.reject(new TranscribeError("session_not_found", "not in this test"));
}

export interface FakeTransceiver {
  mid: string | null;
  direction: string;
  receiver: { track: { kind: string } };
  sender: { track: unknown; replaceTrack(track: unknown): Promise<void> };
}

/** As much of an RTCPeerConnection as the SDK touches; connects as soon as it has an answer. */
export class FakePeerConnection extends EventTarget {
  static all: FakePeerConnection[] = [];
  static connects = true;
  readonly number = FakePeerConnection.all.push(this);
  transceivers: FakeTransceiver[] = [];
  offers = [] as { iceRestart?: boolean }[];
  localDescription = { sdp: `offer of ${FakePeerConnection.all.length}` };
  signalingState = "stable";
  described: string[] = [];
  connectionState = "new";

  getTransceivers = (): FakeTransceiver[] => this.transceivers;

  addTransceiver = (trackOrKind: string | { kind: string }, init: { direction: string }): FakeTransceiver => {
    const sender = {
      track: typeof trackOrKind === "string" ? null : (trackOrKind as unknown),
      replaceTrack: async (track: unknown) => void (sender.track = track),
    };
    const transceiver = { mid: null, direction: init.direction, receiver: { track: { kind: typeof trackOrKind === "string" ? trackOrKind : trackOrKind.kind } }, sender };
    this.transceivers.push(transceiver);
    return transceiver;
  };

  createDataChannel = (): EventTarget => new EventTarget();

  createOffer = async (options: { iceRestart?: boolean } = {}): Promise<{ type: string; sdp: string }> => {
    this.offers.push(options);
    return { type: "offer", sdp: "" };
  };

  setLocalDescription = async (description: { type: string }): Promise<void> => {
    this.described.push(description.type);
    this.signalingState = "have-local-offer";
    this.transceivers.forEach((t, i) => (t.mid ??= String(i)));
  };

  setRemoteDescription = async (): Promise<void> => {
    this.signalingState = "stable";
    if (FakePeerConnection.connects) this.become("connected");
  };

  become(state: string): void {
    if (this.connectionState === "closed" || this.connectionState === state) return;
    this.connectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
  }

  close(): void {
    this.connectionState = "closed";
  }

  static get last(): FakePeerConnection {
    return FakePeerConnection.all.at(-1) as FakePeerConnection;
  }

  get receivers(): FakeTransceiver[] {
    return this.transceivers.filter((t) => t.direction === "recvonly");
  }
}
