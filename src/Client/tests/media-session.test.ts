import { beforeEach, describe, expect, it, vi } from "vitest";
import { LocalPublication, MediaReplaced, MediaSession } from "../src/sdk/media-session";
import type { NegotiateReply } from "../src/sdk/protocol";
import { FakePeerConnection } from "./fakes";

const reply: NegotiateReply = { sdp: "answer", published: [], assignments: [] };

function session(negotiate = () => Promise.resolve(reply)): { media: MediaSession; seen: (string | null)[]; pc: FakePeerConnection } {
  const media = new MediaSession([], { audio: 1, video: 1 }, negotiate, () => undefined);
  const seen: (string | null)[] = [];
  media.on("assigned", (a) => seen.push(a.trackId));
  return { media, seen, pc: FakePeerConnection.last };
}

function camera(): MediaStreamTrack {
  return { kind: "video" } as MediaStreamTrack;
}

beforeEach(() => {
  vi.stubGlobal("RTCPeerConnection", FakePeerConnection);
  vi.stubGlobal("MediaStream", class {});
});

describe("MediaSession.assign", () => {
  it("keeps what an event told when an older answer arrives after it", async () => {
    const { media, seen } = session();
    await media.negotiate();
    media.assign([{ mid: "0", trackId: "TR_1", revision: 2 }]);
    media.assign([{ mid: "0", trackId: null, revision: 1 }]);
    expect(seen).toEqual(["TR_1"]);
  });

  it("reports each change once", async () => {
    const { media, seen } = session();
    await media.negotiate();
    media.assign([{ mid: "0", trackId: "TR_1", revision: 1 }]);
    media.assign([{ mid: "0", trackId: "TR_1", revision: 1 }]);
    media.assign([{ mid: "0", trackId: null, revision: 2 }]);
    media.assign([{ mid: "0", trackId: "TR_2", revision: 3 }]);
    expect(seen).toEqual(["TR_1", null, "TR_2"]);
  });

  it("tells nothing any more once it is closed", async () => {
    const { media, seen } = session();
    await media.negotiate();
    media.close();
    media.assign([{ mid: "0", trackId: "TR_1", revision: 1 }]);
    expect(seen).toEqual([]);
  });
});

describe("MediaSession.negotiate", () => {
  it("is told at once that the session was replaced, and never looks at the late answer", async () => {
    let answer: (reply: NegotiateReply) => void = () => undefined;
    const { media, seen } = session(() => new Promise((resolve) => (answer = resolve)));
    const offering = media.negotiate();
    await new Promise((resolve) => setTimeout(resolve));
    media.close();
    await expect(offering).rejects.toBeInstanceOf(MediaReplaced);
    answer({ ...reply, assignments: [{ mid: "0", trackId: "TR_1", revision: 1 }] });
    await new Promise((resolve) => setTimeout(resolve));
    expect(seen).toEqual([]);
    expect(media.negotiated).toBe(false);
  });

  it("makes the next offer in the place of one whose answer was lost, with the same mids", async () => {
    let answers = false;
    const { media, pc } = session(() => (answers ? Promise.resolve(reply) : Promise.reject(new Error("lost"))));
    await expect(media.negotiate()).rejects.toThrow("lost");
    const mids = pc.transceivers.map((t) => t.mid);
    answers = true;
    await media.negotiate();
    expect(pc.transceivers.map((t) => t.mid)).toEqual(mids);
    expect(pc.described).toEqual(["offer", "offer"]);
    expect(media.negotiated).toBe(true);
  });
});

describe("a publication", () => {
  it("that sends nothing now is published again all the same", async () => {
    const publication = new LocalPublication(camera(), { source: "camera", muted: true });
    const { media: first } = session();
    await first.attach(publication);
    await publication.replaceTrack(null);
    first.close();
    const { media: second, pc } = session();
    await second.attach(publication);
    expect(pc.transceivers.at(-1)?.direction).toBe("sendonly");
    expect(publication.transceiver).toBe(pc.transceivers.at(-1));
    const track = camera();
    await publication.replaceTrack(track);
    expect(pc.transceivers.at(-1)?.sender.track).toBe(track);
  });

  it("takes the place of one that ended", async () => {
    const { media, pc } = session();
    const first = new LocalPublication(camera(), { source: "screen" });
    await media.attach(first);
    await media.detach(first);
    const count = pc.transceivers.length;
    await media.attach(new LocalPublication(camera(), { source: "screen" }));
    expect(pc.transceivers).toHaveLength(count);
  });
});
