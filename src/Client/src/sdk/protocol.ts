/** The hub's messages, as in docs/signaling.md. */

export type TrackKind = "audio" | "video";
export type TrackSource = "unknown" | "microphone" | "camera" | "screen" | "screenAudio";

export interface TrackInfo {
  id: string;
  participant: string;
  kind: TrackKind;
  source: TrackSource;
  name?: string;
  muted: boolean;
  /** The publisher's SSRC, where known: captions name it. */
  ssrc?: number;
  node: string;
}

export interface ParticipantInfo {
  id: string;
  name?: string;
  canPublish: boolean;
  joinedAt: string;
  tracks: TrackInfo[];
}

export interface TranscriptionState {
  enabled: boolean;
  engine: string;
  language: string;
  activeEngine?: string;
  notice?: string;
}

export interface RoomSnapshot {
  room: string;
  sequence: number;
  participants: ParticipantInfo[];
  transcription: TranscriptionState;
}

export type RoomEvent = { sequence: number } & (
  | { type: "participantJoined"; participant: ParticipantInfo }
  | { type: "participantLeft"; participantId: string; reason: string }
  | { type: "trackPublished"; track: TrackInfo }
  | { type: "trackUnpublished"; trackId: string; participantId: string }
  | { type: "trackMuted"; trackId: string; participantId: string; muted: boolean }
  | { type: "transcription"; transcription: TranscriptionState }
  | { type: "roomClosed"; reason: string }
);

/** Which track a receive-only m-section carries now. */
export interface MediaAssignment {
  mid: string;
  trackId?: string | null;
  /** Grows with every change; of two assignments of one m-section the one with the higher revision holds. */
  revision: number;
}

export type SessionEvent =
  | { type: "connected" }
  | { type: "assigned"; assignments: MediaAssignment[] }
  | { type: "needsMedia"; audio: number; video: number }
  /** The media session is on another SFU node from now on: a new peer connection and a full offer. */
  | { type: "moved"; reason: string }
  | { type: "closed"; reason: string };

export interface Speaker {
  participantId: string;
  trackId: string;
  /** Audio level in -dBov: 0 is loudest, 127 silence. */
  level: number;
}

export interface ActiveSpeakers {
  room: string;
  speakers: Speaker[];
}

/** The signalling node is being drained: resume at another one, and then leave this one. */
export interface GoAway {
  /** Hubs to go to, the best first. */
  hubUrls: string[];
}

export interface JoinRequest {
  token: string;
  name?: string;
  autoSubscribe: boolean;
  kinds?: TrackKind[];
  resume?: { sessionId: string; resumeKey: string; sequence: number };
}

export interface JoinReply {
  sessionId: string;
  resumeKey: string;
  participantId: string;
  room: RoomSnapshot;
  iceServers: RTCIceServer[];
  /** True where the media session was kept: no new offer is needed. */
  resumed: boolean;
}

export interface PublishedMedia {
  mid: string;
  source: TrackSource;
  name?: string;
  muted: boolean;
}

export interface NegotiateReply {
  sdp: string;
  published: { mid: string; trackId: string }[];
  assignments: MediaAssignment[];
}

export interface ResyncReply {
  events?: RoomEvent[];
  snapshot?: RoomSnapshot;
}

export interface HubReply<T> {
  value?: T;
  error?: { code: string; message: string };
}

/** One caption message, version 1 (DESIGN §4). */
export interface CaptionMessage {
  v: 1;
  type: "caption";
  room: string;
  participant: string;
  track: string;
  /** Constant over all revisions of one utterance. */
  segment: string;
  rev: number;
  final: boolean;
  lang: string;
  text: string;
  /** Leading characters of `text` that no later revision changes. */
  stable: number;
  /** 32-bit RTP timestamps of the publisher's audio track. */
  rtp: { ssrc: number; clock: number; start: number; end: number };
  words: { w: string; s: number; e: number; p: number }[];
  ntp?: { start: string; end: string };
  engine: string;
}

/** A refusal by the server, with its machine-readable code. */
export class TranscribeError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = "TranscribeError";
  }
}

/** Reads a caption message; undefined for anything else. */
export function parseCaption(data: unknown): CaptionMessage | undefined {
  if (typeof data !== "string") return undefined;
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return undefined;
  }
  const c = value as Partial<CaptionMessage> | null;
  const valid =
    c !== null &&
    typeof c === "object" &&
    c.v === 1 &&
    c.type === "caption" &&
    typeof c.segment === "string" &&
    typeof c.track === "string" &&
    typeof c.participant === "string" &&
    typeof c.text === "string" &&
    Number.isInteger(c.rev) &&
    typeof c.final === "boolean" &&
    typeof c.rtp?.start === "number" &&
    typeof c.rtp.end === "number";
  return valid ? { ...(c as CaptionMessage), words: Array.isArray(c.words) ? c.words : [] } : undefined;
}
