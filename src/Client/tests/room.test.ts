import { beforeEach, describe, expect, it, vi } from "vitest";
import type { JoinReply, RoomEvent } from "../src/sdk/protocol";
import type { SignalingHandlers } from "../src/sdk/signaling";
import { Room } from "../src/sdk/room";

const hub = vi.hoisted(() => ({ handlers: undefined as SignalingHandlers | undefined, join: (): Promise<unknown> => Promise.resolve() }));

vi.mock("../src/sdk/signaling", () => ({
  Signaling: class {
    connected = true;
    constructor(_url: string, handlers: SignalingHandlers) {
      hub.handlers = handlers;
    }
    start = () => Promise.resolve();
    stop = () => Promise.resolve();
    join = () => hub.join();
    negotiate = () => Promise.resolve({ sdp: "", published: [], assignments: [] });
    resync = () => Promise.reject(new Error("there is no session yet"));
  },
}));

class FakePeerConnection extends EventTarget {
  localDescription = { sdp: "" };
  getTransceivers = () => [];
  addTransceiver = () => ({});
  createDataChannel = () => new EventTarget();
  createOffer = () => Promise.resolve({ type: "offer", sdp: "" });
  setLocalDescription = () => Promise.resolve();
  setRemoteDescription = () => Promise.resolve();
  close = () => undefined;
}

const reply: JoinReply = {
  sessionId: "S_1", resumeKey: "k", participantId: "bob", iceServers: [], resumed: false,
  room: { room: "demo", sequence: 5, participants: [], transcription: { enabled: false, engine: "auto", language: "en" } },
};
const alice = { id: "alice", canPublish: true, joinedAt: "2026-01-01T00:00:00Z", tracks: [] };

beforeEach(() => void vi.stubGlobal("RTCPeerConnection", FakePeerConnection));

describe("Room.join", () => {
  it("keeps events that overtake the reply", async () => {
    hub.join = () => {
      hub.handlers?.roomEvent({ type: "participantJoined", sequence: 6, participant: alice } satisfies RoomEvent);
      return Promise.resolve(reply);
    };
    const room = await Room.join({ url: "http://test", token: "t" });
    expect(room.participants.map((p) => p.id)).toEqual(["alice"]);
  });

  it("tells why the session was closed", async () => {
    hub.join = () => Promise.resolve(reply);
    const room = await Room.join({ url: "http://test", token: "t" });
    const reasons: string[] = [];
    room.on("closed", ({ reason }) => reasons.push(reason));
    hub.handlers?.sessionEvent({ type: "closed", reason: "removed" });
    expect(reasons).toEqual(["removed"]);
    expect(room.state).toBe("closed");
  });
});
