import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CaptionFeed, type Caption } from "../src/sdk/captions";
import { parseCaption, type CaptionMessage } from "../src/sdk/protocol";
import { PlayoutClock, rtpDelta } from "../src/sdk/rtp-time";

function caption(change: Partial<CaptionMessage> = {}): CaptionMessage {
  return {
    v: 1, type: "caption", room: "demo", participant: "alice", track: "TR_1", segment: "01", rev: 1, final: false, lang: "en",
    text: "good morning", stable: 4, rtp: { ssrc: 1, clock: 48000, start: 1000, end: 49000 },
    words: [{ w: "good", s: 1000, e: 20000, p: 1 }, { w: "morning", s: 25000, e: 49000, p: 1 }], engine: "test", ...change,
  };
}

function playing(rtp: number): PlayoutClock {
  const started = performance.now();
  return new PlayoutClock({
    getSynchronizationSources: () => [{ rtpTimestamp: rtp >>> 0, timestamp: started, source: 1 }] as RTCRtpSynchronizationSource[],
  });
}

function shown(feed: CaptionFeed): Caption[] {
  const list: Caption[] = [];
  feed.on("caption", (c) => list.push(c));
  return list;
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("CaptionFeed", () => {
  it("shows a caption at once when its words were played already", () => {
    const feed = new CaptionFeed();
    feed.attach("TR_1", playing(60000));
    const list = shown(feed);
    feed.receive(caption());
    expect(list.map((c) => c.visibleText)).toEqual(["good morning"]);
  });

  it("holds words back until they are played", () => {
    const feed = new CaptionFeed();
    feed.attach("TR_1", playing(2000));
    const list = shown(feed);
    feed.receive(caption());
    expect(list.at(-1)?.visibleText).toBe("good");
    vi.advanceTimersByTime(600);
    expect(list.at(-1)?.visibleText).toBe("good morning");
  });

  it("works across the wrap of RTP timestamps", () => {
    const feed = new CaptionFeed();
    feed.attach("TR_1", playing(0xffffff00));
    const list = shown(feed);
    feed.receive(caption({ words: [{ w: "good", s: 0xfffff000, e: 0xfffffe00, p: 1 }, { w: "morning", s: 0x00002000, e: 0x00009000, p: 1 }] }));
    expect(list.at(-1)?.visibleText).toBe("good");
    vi.advanceTimersByTime(400);
    expect(list.at(-1)?.visibleText).toBe("good morning");
  });

  it("never shows an older revision over a newer one, nor anything after the final", () => {
    const feed = new CaptionFeed();
    const list = shown(feed);
    feed.receive(caption({ rev: 3, text: "three", words: [] }));
    feed.receive(caption({ rev: 2, text: "two", words: [] }));
    feed.receive(caption({ rev: 4, final: true, text: "done", words: [] }));
    feed.receive(caption({ rev: 5, text: "late", words: [] }));
    expect(list.map((c) => c.text)).toEqual(["three", "done"]);
  });

  it("reports each final once", () => {
    const feed = new CaptionFeed();
    const finals: Caption[] = [];
    feed.on("final", (c) => finals.push(c));
    feed.receive(caption({ rev: 4, final: true }));
    feed.receive(caption({ rev: 4, final: true }));
    expect(finals).toHaveLength(1);
  });
});

describe("CaptionFeed, when a gateway died", () => {
  it("shows no segment again that its successor repeats", () => {
    const feed = new CaptionFeed();
    const list = shown(feed);
    const final = caption({ rev: 4, final: true, words: [] });
    feed.receive(final);
    feed.receive(final);
    feed.receive(caption({ segment: "02", rev: 1, words: [] }));
    expect(list).toHaveLength(1);
  });

  it("takes an open segment away 5 s after another one covered its time", () => {
    const feed = new CaptionFeed();
    const gone: string[] = [];
    feed.on("withdrawn", ({ segment }) => gone.push(segment));
    feed.receive(caption({ segment: "orphan", words: [] }));
    feed.receive(caption({ segment: "other track", track: "TR_2", words: [] }));
    vi.advanceTimersByTime(20_000);
    expect(gone).toEqual([]);
    feed.receive(caption({ segment: "successor", rtp: { ssrc: 1, clock: 48000, start: 900, end: 50000 }, words: [] }));
    vi.advanceTimersByTime(4_900);
    expect(gone).toEqual([]);
    vi.advanceTimersByTime(200);
    expect(gone).toEqual(["orphan"]);
    expect(feed.segments.map((s) => s.segment)).toEqual(["other track", "successor"]);
  });

  it("takes away what is still open 5 s after its track ended", () => {
    const feed = new CaptionFeed();
    const gone: string[] = [];
    feed.on("withdrawn", ({ segment }) => gone.push(segment));
    feed.receive(caption({ segment: "cut off", words: [] }));
    feed.receive(caption({ segment: "last words", words: [] }));
    feed.trackEnded("TR_1");
    feed.receive(caption({ segment: "last words", rev: 2, final: true, words: [] }));
    vi.advanceTimersByTime(5_100);
    expect(gone).toEqual(["cut off"]);
  });

  it("leaves an open segment alone that becomes final in time, or comes after the other", () => {
    const feed = new CaptionFeed();
    const gone: string[] = [];
    feed.on("withdrawn", ({ segment }) => gone.push(segment));
    feed.receive(caption({ segment: "first", words: [] }));
    feed.receive(caption({ segment: "second", rtp: { ssrc: 1, clock: 48000, start: 60000, end: 90000 }, words: [] }));
    vi.advanceTimersByTime(3000);
    feed.receive(caption({ segment: "first", rev: 2, final: true, words: [] }));
    feed.receive(caption({ segment: "first", rev: 3, final: true, words: [] }));
    vi.advanceTimersByTime(20_000);
    expect(gone).toEqual([]);
    expect(feed.segments).toHaveLength(2);
  });
});

describe("parseCaption", () => {
  it("refuses everything that is not a caption of version 1", () => {
    for (const bad of [undefined, 3, "", "{", "[]", "null", "{}", '{"v":2,"type":"caption"}', new ArrayBuffer(4)]) expect(parseCaption(bad)).toBeUndefined();
  });

  it("reads what the gateway sends", () => {
    expect(parseCaption(JSON.stringify(caption()))).toEqual(caption());
  });
});

describe("rtpDelta", () => {
  it("is signed across the wrap", () => {
    expect(rtpDelta(5, 0xfffffffb)).toBe(10);
    expect(rtpDelta(0xfffffffb, 5)).toBe(-10);
  });
});
