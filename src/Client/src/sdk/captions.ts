import { Emitter } from "./emitter";
import { rtpDelta, type PlayoutClock } from "./rtp-time";
import type { CaptionMessage } from "./protocol";

/** A caption as it may be shown now. */
export interface Caption extends CaptionMessage {
  /** The part of `text` whose words have been played out already: what to show in step with the voice. */
  visibleText: string;
  /** RTP timestamp under this receiver's playhead when the message arrived; undefined where nothing is played. */
  playout?: number;
}

export interface CaptionEvents {
  /** A new revision of a segment, or more of its words were played. */
  caption: Caption;
  /** The last revision of a segment. */
  final: Caption;
  /** A segment that will never be final, because its gateway or its track is gone: take it off the display. */
  withdrawn: WithdrawnCaption;
}

export interface WithdrawnCaption {
  segment: string;
  track: string;
  participant: string;
}

interface Segment {
  message: CaptionMessage;
  visible: string;
  playout: number | undefined;
}

const MaxSegments = 500;
/** A caption is never held back longer than this, whatever the playout clock says. */
const MaxHoldMs = 2000;
/** How long an open segment may stay open once another one of its track covers its time, or its track is gone. */
const OvertakenMs = 5000;

/**
 * Keeps the newest revision of each segment and lets text out when its words are played, matched by RTP timestamps.
 * Recognition is usually later than playout, then text comes at once; with a deep jitter buffer it waits.
 */
export class CaptionFeed extends Emitter<CaptionEvents> {
  readonly #segments = new Map<string, Segment>();
  readonly #clocks = new Map<string, PlayoutClock>();
  readonly #held = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #overtaken = new Map<string, ReturnType<typeof setTimeout>>();

  /** All segments known, oldest first. */
  get segments(): CaptionMessage[] {
    return [...this.#segments.values()].map((s) => s.message);
  }

  /** Tells which receiver plays a track. */
  attach(trackId: string, clock: PlayoutClock | undefined): void {
    if (clock) this.#clocks.set(trackId, clock);
    else this.#clocks.delete(trackId);
  }

  /**
   * Takes a message from the data channel. Old and repeated revisions change nothing, nor does a segment that a new
   * gateway makes of words which are final already.
   */
  receive(message: CaptionMessage): void {
    const known = this.#segments.get(message.segment);
    if (known && (known.message.final || known.message.rev >= message.rev)) return;
    if (!known && this.#isFinalAlready(message)) return;
    this.#alive(message.segment);
    this.#overtake(message);
    const playout = this.#clocks.get(message.track)?.position();
    this.#segments.set(message.segment, { message, visible: known?.visible ?? "", playout });
    if (this.#segments.size > MaxSegments) {
      const oldest = this.#segments.keys().next().value;
      if (oldest !== undefined) this.#forget(oldest);
    }
    this.#release(message.segment, performance.now());
  }

  /** The track is gone: what of it is still open has a while to become final. */
  trackEnded(trackId: string): void {
    for (const [id, { message }] of this.#segments) if (!message.final && message.track === trackId) this.#giveTime(id);
  }

  close(): void {
    for (const timer of [...this.#held.values(), ...this.#overtaken.values()]) clearTimeout(timer);
    this.#held.clear();
    this.#overtaken.clear();
  }

  #forget(segment: string): void {
    clearTimeout(this.#held.get(segment));
    this.#held.delete(segment);
    this.#alive(segment);
    this.#segments.delete(segment);
  }

  /** `track + rtp.start` names an utterance, whichever gateway wrote it down. */
  #isFinalAlready(message: CaptionMessage): boolean {
    for (const { message: other } of this.#segments.values())
      if (other.final && other.track === message.track && other.rtp.start === message.rtp.start) return true;
    return false;
  }

  #alive(segment: string): void {
    clearTimeout(this.#overtaken.get(segment));
    this.#overtaken.delete(segment);
  }

  /** Gives the open segments of this track that lie beside or before the message some time to become final. */
  #overtake(by: CaptionMessage): void {
    for (const [id, { message }] of this.#segments) {
      if (message.final || id === by.segment || message.track !== by.track) continue;
      if (rtpDelta(by.rtp.end, message.rtp.start) > 0) this.#giveTime(id);
    }
  }

  #giveTime(id: string): void {
    if (!this.#overtaken.has(id)) this.#overtaken.set(id, setTimeout(() => this.#withdraw(id), OvertakenMs));
  }

  #withdraw(id: string): void {
    const message = this.#segments.get(id)?.message;
    this.#forget(id);
    if (message) this.emit("withdrawn", { segment: id, track: message.track, participant: message.participant });
  }

  #release(id: string, arrived: number): void {
    clearTimeout(this.#held.get(id));
    this.#held.delete(id);
    const segment = this.#segments.get(id);
    if (!segment) return;
    const { message } = segment;
    const clock = this.#clocks.get(message.track);
    const wait = clock ? nextWordDelay(message, clock.position(), arrived) : 0;
    segment.visible = wait > 0 && clock ? playedText(message, clock.position()) : message.text;
    const caption: Caption = {
      ...message,
      visibleText: segment.visible,
      ...(segment.playout === undefined ? {} : { playout: segment.playout }),
    };
    this.emit("caption", caption);
    if (wait > 0) this.#held.set(id, setTimeout(() => this.#release(id, arrived), wait));
    else if (message.final) this.emit("final", caption);
  }
}

/** Words of a caption that start at or before the playhead. */
export function playedText(message: CaptionMessage, position: number | undefined): string {
  if (position === undefined || message.words.length === 0) return message.text;
  const played = message.words.filter((word) => rtpDelta(position, word.s) >= 0);
  return played.length === message.words.length ? message.text : played.map((word) => word.w).join(" ");
}

/** Milliseconds until the next word of this caption is played; 0 where nothing is left to wait for. */
export function nextWordDelay(message: CaptionMessage, position: number | undefined, arrived: number): number {
  if (position === undefined || performance.now() - arrived > MaxHoldMs) return 0;
  const next = message.words.find((word) => rtpDelta(word.s, position) > 0);
  if (!next) return 0;
  const wait = (rtpDelta(next.s, position) * 1000) / (message.rtp.clock || 48000);
  return wait > MaxHoldMs ? 0 : Math.max(wait, 15);
}
