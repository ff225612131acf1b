/** Signed distance between two 32-bit RTP timestamps, which wrap: positive where `a` is later. */
export function rtpDelta(a: number, b: number): number {
  return ((a - b) | 0);
}

/** One observation of what a receiver plays out. */
export interface PlayoutSample {
  /** RTP timestamp of the last played packet. */
  rtp: number;
  /** When it was played, in ms of `performance.now()`. */
  at: number;
  /** 0..1, where the browser reports it. */
  level?: number;
}

/** The slice of RTCRtpReceiver this needs, so that tests can stand in for it. */
export interface SynchronizationSourceReader {
  getSynchronizationSources(): RTCRtpSynchronizationSource[];
}

/**
 * What a receiver is playing now, as an RTP timestamp of the publisher's track: the SFU forwards audio timestamps
 * unchanged, so a caption's timestamps and the playout's are of one clock.
 */
export class PlayoutClock {
  readonly #receiver: SynchronizationSourceReader;
  readonly #clockRate: number;

  constructor(receiver: SynchronizationSourceReader, clockRate = 48000) {
    this.#receiver = receiver;
    this.#clockRate = clockRate;
  }

  /** The latest observation; undefined before the first packet was played and after 10 s of nothing. */
  sample(): PlayoutSample | undefined {
    const latest = this.#receiver
      .getSynchronizationSources()
      .reduce<RTCRtpSynchronizationSource | undefined>((a, b) => (a && a.timestamp >= b.timestamp ? a : b), undefined);
    if (!latest || latest.rtpTimestamp === undefined) return undefined;
    // Chromium counts from the epoch, the specification from performance.timeOrigin.
    const at = latest.timestamp > 1e12 ? latest.timestamp - performance.timeOrigin : latest.timestamp;
    return { rtp: latest.rtpTimestamp, at, ...(latest.audioLevel === undefined ? {} : { level: latest.audioLevel }) };
  }

  /** RTP timestamp under the playhead at `now`, extrapolated from the last sample by at most 2 s. */
  position(now = performance.now()): number | undefined {
    const sample = this.sample();
    if (!sample) return undefined;
    const elapsed = Math.min(Math.max(now - sample.at, 0), 2000);
    return (sample.rtp + Math.round((elapsed * this.#clockRate) / 1000)) >>> 0;
  }

  /** Milliseconds until `rtp` is played; negative where it was played already, undefined where unknown. */
  untilPlayed(rtp: number, now = performance.now()): number | undefined {
    const position = this.position(now);
    return position === undefined ? undefined : (rtpDelta(rtp, position) * 1000) / this.#clockRate;
  }
}
