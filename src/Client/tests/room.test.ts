import { beforeEach, describe, expect, it, vi } from "vitest";
import type { JoinReply, RoomEvent } from "../src/sdk/protocol";
import { Room } from "../src/sdk/room";
import { FakePeerConnection, joinReply, net } from "./fakes";

vi.mock("../src/sdk/signaling", async () => ({ Signaling: (await import("./fakes")).FakeSignaling }));

const alice = { id: "alice", canPublish: true, joinedAt: "2026-01-01T00:00:00Z", tracks: [] };

beforeEach(() => {
  net.reset();
  vi.stubGlobal("RTCPeerConnection", FakePeerConnection);
  vi.stubGlobal("fetch", () => Promise.reject(new Error("no Director")));
});

const join = () => Room.join({ url: "http://test", token: "t" });

describe("Room.join", () => {
  it("keeps events that overtake the reply", async () => {
    net.onJoin = (_, hub) => {
      hub.handlers.roomEvent({ type: "participantJoined", sequence: 6, participant: alice } satisfies RoomEvent);
      return Promise.resolve(joinReply());
    };
    const room = await join();
    expect(room.participants.map((p) => p.id)).toEqual(["alice"]);
  });

  it("tells why the session was closed", async () => {
    const room = await join();
    const reasons: string[] = [];
    room.on("closed", ({ reason }) => reasons.push(reason));
    net.hub.handlers.sessionEvent({ type: "closed", reason: "removed" });
    expect(reasons).toEqual(["removed"]);
    expect(room.state).toBe("closed");
    expect(net.hub).toBeUndefined();
  });

  it("asks the Director for the hubs, and goes past one that is dead", async () => {
    const asked: unknown[] = [];
    vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
      asked.push([url, (init.headers as Record<string, string>)["authorization"]]);
      return Promise.resolve(new Response(JSON.stringify({ hubUrl: "http://a/rtc", hubUrls: ["http://a/rtc", "http://b/rtc"] })));
    });
    net.dead.add("http://a/rtc");
    const room = await Room.join({ url: "http://test", token: "t", region: "eu west" });
    expect(asked).toEqual([["http://test/v1/join?region=eu%20west", "Bearer t"]]);
    expect(room.hubUrl).toBe("http://b/rtc");
    // Another origin: over WebSockets alone.
    expect(net.hub.webSocketOnly).toBe(true);
  });

  it("uses the hub of its own server where there is no Director", async () => {
    const room = await join();
    expect(room.hubUrl).toBe("http://test/rtc");
    expect(net.hub.webSocketOnly).toBe(false);
  });

  it("fails with the server's refusal", async () => {
    const { TranscribeError } = await import("../src/sdk/protocol");
    net.onJoin = () => Promise.reject<JoinReply>(new TranscribeError("token_expired", "Too old."));
    await expect(join()).rejects.toMatchObject({ code: "token_expired" });
    expect(net.hub).toBeUndefined();
  });
});
