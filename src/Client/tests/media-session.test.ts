import { beforeEach, describe, expect, it, vi } from "vitest";
import { MediaSession } from "../src/sdk/media-session";

class FakePeerConnection extends EventTarget {
  transceivers = [{ mid: "0", receiver: {} }, { mid: "1", receiver: {} }];
  getTransceivers = () => this.transceivers;
  createDataChannel = () => new EventTarget();
}

function session(): { media: MediaSession; seen: (string | null)[] } {
  const media = new MediaSession([], { audio: false, video: false }, () => Promise.reject(new Error("not used")), () => undefined);
  const seen: (string | null)[] = [];
  media.on("assigned", (a) => seen.push(a.trackId));
  return { media, seen };
}

beforeEach(() => void vi.stubGlobal("RTCPeerConnection", FakePeerConnection));

describe("MediaSession.assign", () => {
  it("keeps what an event told when an older answer arrives after it", () => {
    const { media, seen } = session();
    media.assign([{ mid: "0", trackId: "TR_1", revision: 2 }]);
    media.assign([{ mid: "0", trackId: null, revision: 1 }]);
    expect(seen).toEqual(["TR_1"]);
  });

  it("reports each change once", () => {
    const { media, seen } = session();
    media.assign([{ mid: "0", trackId: "TR_1", revision: 1 }]);
    media.assign([{ mid: "0", trackId: "TR_1", revision: 1 }]);
    media.assign([{ mid: "0", trackId: null, revision: 2 }]);
    media.assign([{ mid: "0", trackId: "TR_2", revision: 3 }]);
    expect(seen).toEqual(["TR_1", null, "TR_2"]);
  });
});
