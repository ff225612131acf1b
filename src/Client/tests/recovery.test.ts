import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { TranscribeError, type NegotiateReply, type ParticipantInfo, type SessionEvent } from "../src/sdk/protocol";
import { Room } from "../src/sdk/room";
import { delay } from "../src/sdk/timing";
import { FakePeerConnection, joinReply, net, snapshot } from "./fakes";

vi.mock("../src/sdk/signaling", async () => ({ Signaling: (await import("./fakes")).FakeSignaling }));

const [A, B] = ["http://a/rtc", "http://b/rtc"] as const;
const track = { id: "TR_a", participant: "alice", kind: "video", source: "camera", muted: false, node: "n1" } as const;
const alice: ParticipantInfo = { id: "alice", canPublish: true, joinedAt: "2026-01-01T00:00:00Z", tracks: [track] };

let log: string[];

async function join(): Promise<Room> {
  const room = await Room.join({ url: "http://test", token: "t", hubUrls: [A, B] });
  room.on("reconnecting", () => log.push("reconnecting"));
  room.on("reconnected", () => log.push("reconnected"));
  room.on("moved", ({ reason }) => log.push(`moved ${reason}`));
  room.on("trackSubscribed", ({ info }) => log.push(`+${info.id}`));
  room.on("trackUnsubscribed", ({ info }) => log.push(`-${info.id}`));
  room.on("closed", ({ reason }) => log.push(`closed ${reason}`));
  return room;
}

const tell = (event: SessionEvent) => net.hub.handlers.sessionEvent(event);
const wait = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const media = (kind: string) => ({ kind }) as MediaStreamTrack;
const lastOffer = () => net.offers.at(-1) as (typeof net.offers)[number];

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
  net.reset();
  net.room = snapshot(5, [alice]);
  log = [];
  vi.stubGlobal("RTCPeerConnection", FakePeerConnection);
  vi.stubGlobal("MediaStream", class {});
  vi.stubGlobal("fetch", () => Promise.reject(new Error("no Director")));
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("a moved session", () => {
  it("gets a new connection with the same tracks, and receives again", async () => {
    const room = await join();
    const microphone = await room.publish(media("audio"), { source: "microphone", name: "Headset" });
    await room.setMuted(microphone, true);
    await room.publish(media("video"), { source: "screen" });
    tell({ type: "assigned", assignments: [{ mid: "4", trackId: "TR_a", revision: 700 }] });
    const old = FakePeerConnection.last;

    net.trackPrefix = "TR_new";
    tell({ type: "moved", reason: "nodeLost" });
    await wait(50);
    expect(log).toEqual(["+TR_a", "reconnecting", "moved nodeLost", "-TR_a", "reconnected"]);
    expect(old.connectionState).toBe("closed");
    expect(FakePeerConnection.all).toHaveLength(2);
    expect(lastOffer().sdp).toBe("offer of 2");
    expect(lastOffer().tracks).toMatchObject([{ source: "microphone", name: "Headset", muted: true }, { source: "screen", muted: false }]);
    expect(microphone.trackId).toMatch(/^TR_new/);
    expect(FakePeerConnection.last.receivers).toHaveLength(8);

    // Revisions begin again with the new media session.
    tell({ type: "assigned", assignments: [{ mid: "5", trackId: "TR_a", revision: 1 }] });
    expect(log.at(-1)).toBe("+TR_a");
    expect(room.participants.map((p) => p.id)).toEqual(["alice"]);
    expect(net.joins).toHaveLength(1);
    expect(net.hubs).toHaveLength(1);
  });

  it("keeps the number of receivers it had", async () => {
    await join();
    tell({ type: "needsMedia", audio: 3, video: 0 });
    await wait(50);
    tell({ type: "moved", reason: "drain" });
    await wait(50);
    expect(FakePeerConnection.last.receivers).toHaveLength(11);
  });

  it("abandons the offer in flight and publishes its track on the new node", async () => {
    const room = await join();
    let answer: (reply: NegotiateReply) => void = () => undefined;
    net.onOffer = () => {
      net.onOffer = undefined;
      return new Promise((resolve) => (answer = resolve));
    };
    const publishing = room.publish(media("audio"), { source: "microphone" });
    await wait(10);
    tell({ type: "moved", reason: "nodeLost" });
    const publication = await publishing;
    answer({ sdp: "late", published: [], assignments: [{ mid: "4", trackId: "TR_a", revision: 1 }] });
    await wait(50);
    expect(publication.trackId).toBeDefined();
    expect(publication.transceiver).toBe(FakePeerConnection.last.transceivers.at(-1));
    expect(log).toEqual(["reconnecting", "moved nodeLost", "reconnected"]);
  });

  it("offers again, with longer and longer pauses, while the new node is not ready", async () => {
    await join();
    net.offers = [];
    net.onOffer = () => (net.offers.length <= 3 ? Promise.reject(new TranscribeError("unavailable", "Not yet.")) : undefined);
    tell({ type: "moved", reason: "moved" });
    await wait(50);
    expect(net.offers).toHaveLength(1);
    await wait(5000);
    expect(net.offers).toHaveLength(4);
    expect(log).toEqual(["reconnecting", "moved moved", "reconnected"]);
    expect(net.joins).toHaveLength(1);
  });

  it("tells the new node what it does not want to receive", async () => {
    const room = await join();
    await room.subscribe("TR_a", false);
    net.calls = [];
    tell({ type: "moved", reason: "drain" });
    await wait(50);
    expect(net.calls).toEqual(["subscribe TR_a false"]);
  });

  it("of somebody else leaves no open caption of the old track behind", async () => {
    const room = await join();
    const gone: string[] = [];
    room.captions.on("withdrawn", ({ segment }) => gone.push(segment));
    for (const id of ["TR_a", "TR_b"])
      room.captions.receive({
        v: 1, type: "caption", room: "demo", participant: "alice", track: id, segment: id, rev: 1, final: false, lang: "en", text: "hel", stable: 0,
        rtp: { ssrc: 1, clock: 48000, start: 0, end: 1 }, words: [], engine: "test",
      });
    net.hub.handlers.roomEvent({ type: "trackUnpublished", sequence: 6, trackId: "TR_a", participantId: "alice" });
    await wait(6000);
    expect(gone).toEqual(["TR_a"]);
    net.hub.handlers.roomEvent({ type: "trackPublished", sequence: 7, track: { ...track, id: "TR_b" } });
    net.hub.handlers.roomEvent({ type: "participantLeft", sequence: 8, participantId: "alice", reason: "left" });
    await wait(6000);
    expect(gone).toEqual(["TR_a", "TR_b"]);
  });

  it("keeps the captions", async () => {
    const room = await join();
    room.captions.receive({
      v: 1, type: "caption", room: "demo", participant: "alice", track: "TR_a", segment: "01", rev: 1, final: true, lang: "en", text: "hello", stable: 5,
      rtp: { ssrc: 1, clock: 48000, start: 0, end: 1 }, words: [], engine: "test",
    });
    tell({ type: "moved", reason: "nodeLost" });
    await wait(50);
    expect(room.captions.segments.map((s) => s.text)).toEqual(["hello"]);
  });
});

describe("a lost signalling node", () => {
  it("is followed by the next one, where the session is resumed with its media untouched", async () => {
    const room = await join();
    net.hub.handlers.roomEvent({ type: "participantJoined", sequence: 6, participant: { ...alice, id: "carol", tracks: [] } });
    net.kill(A);
    expect(room.state).toBe("reconnecting");
    await wait(3000);
    expect(room.hubUrl).toBe(B);
    expect(net.joins.at(-1)).toMatchObject({ url: B, request: { resume: { sessionId: "S_1", resumeKey: "k", sequence: 6 } } });
    expect(log).toEqual(["reconnecting", "reconnected"]);
    expect(FakePeerConnection.all).toHaveLength(1);
    expect(FakePeerConnection.last.connectionState).toBe("connected");
    expect(net.offers).toHaveLength(1);
  });

  it("that is lost under an offer does not fail who publishes", async () => {
    const room = await join();
    net.onOffer = () => {
      net.onOffer = undefined;
      net.kill(A);
      return Promise.reject(new TranscribeError("unreachable", "Gone."));
    };
    const publishing = room.publish(media("audio"), { source: "microphone" });
    await wait(5000);
    expect((await publishing).trackId).toBeDefined();
    expect(room.hubUrl).toBe(B);
  });

  it("that only lost the connection is taken again", async () => {
    const room = await join();
    net.hub.break();
    await wait(1000);
    expect(room.hubUrl).toBe(A);
    expect(net.joins).toHaveLength(2);
  });

  it("is tried again in turn with the others until one lives", async () => {
    const room = await join();
    net.kill(A);
    net.kill(B);
    await wait(20_000);
    expect(room.state).toBe("reconnecting");
    net.dead.delete(A);
    await wait(10_000);
    expect(room.hubUrl).toBe(A);
  });

  it("is given up in the end", async () => {
    const room = await join();
    net.kill(A);
    net.kill(B);
    await wait(200_000);
    expect(room.state).toBe("closed");
    expect(log).toEqual(["reconnecting", "closed connectionLost"]);
  });

  it("comes too late for a resume: a new session with a new connection and the same tracks", async () => {
    const room = await join();
    await room.publish(media("audio"), { source: "microphone" });
    net.onJoin = () => Promise.resolve(joinReply({ sessionId: "S_2", resumed: false }));
    net.room = snapshot(2, [{ ...alice, id: "carol", tracks: [] }]);
    net.kill(A);
    await wait(3000);
    expect(log).toEqual(["reconnecting", "moved rejoined", "reconnected"]);
    expect(room.participants.map((p) => p.id)).toEqual(["carol"]);
    expect(lastOffer().tracks).toHaveLength(1);
    expect(lastOffer().sdp).toBe("offer of 2");
    net.hub.handlers.roomEvent({ type: "participantLeft", sequence: 3, participantId: "carol", reason: "left" });
    expect(room.participants).toEqual([]);
  });

  it("hears what it was told before the answer to join", async () => {
    await join();
    net.onJoin = (_, hub) => {
      hub.handlers.sessionEvent({ type: "moved", reason: "nodeLost" });
      return Promise.resolve(joinReply({ resumed: true }));
    };
    net.kill(A);
    await wait(3000);
    expect(log).toEqual(["reconnecting", "moved nodeLost", "reconnected"]);
  });

  it("closes the room where the server refuses it for good", async () => {
    await join();
    net.onJoin = () => Promise.reject(new TranscribeError("token_expired", "Too old."));
    net.kill(A);
    await wait(3000);
    expect(log).toEqual(["reconnecting", "closed token_expired"]);
  });
});

describe("a signalling node that asks to go elsewhere", () => {
  const goAway = (...hubUrls: string[]) => net.hub.handlers.goAway({ hubUrls });

  it("is left for another one, with the session and its media, and nothing is said", async () => {
    const room = await join();
    tell({ type: "assigned", assignments: [{ mid: "4", trackId: "TR_a", revision: 1 }] });
    log = [];
    const old = net.hub;
    // The node that takes the session over has the former one forget it, before its answer is there.
    net.onJoin = async () => {
      old.break();
      await delay(200);
      return joinReply({ resumed: true });
    };
    goAway(B);
    await wait(1000);
    expect(log).toEqual([]);
    expect(room.state).toBe("connected");
    expect(room.hubUrl).toBe(B);
    expect(old.connected).toBe(false);
    expect(net.joins.at(-1)?.request.resume).toEqual({ sessionId: "S_1", resumeKey: "k", sequence: 5 });
    expect(FakePeerConnection.all).toHaveLength(1);
    expect(room.subscriptions).toHaveLength(1);
  });

  it("is stayed with where nobody else takes the client, and lost like any other later", async () => {
    const room = await join();
    net.dead.add(B);
    goAway(B);
    await wait(1000);
    expect(log).toEqual([]);
    expect(room.hubUrl).toBe(A);
    net.dead.delete(B);
    net.kill(A);
    await wait(3000);
    expect(log).toEqual(["reconnecting", "reconnected"]);
    expect(room.hubUrl).toBe(B);
  });

  it("is tried again with the next one where the first does not answer", async () => {
    const room = await join();
    net.dead.add("http://c/rtc");
    goAway("http://c/rtc", B);
    await wait(1000);
    expect(log).toEqual([]);
    expect(room.hubUrl).toBe(B);
  });

  it("does not lose what is asked meanwhile", async () => {
    const room = await join();
    const microphone = await room.publish(media("audio"), { source: "microphone" });
    const old = net.hub;
    old.setMuted = async () => {
      await delay(100);
      throw new TranscribeError("unreachable", "The connection was closed.");
    };
    net.onJoin = async () => {
      old.break();
      await delay(500);
      return joinReply({ resumed: true });
    };
    goAway(B);
    const muting = room.setMuted(microphone, true);
    await wait(1000);
    await muting;
    expect(net.calls).toEqual([`setMuted ${microphone.trackId} true`]);
    expect(log).toEqual([]);
  });

  it("that has lost the session meanwhile costs the media session, not the call", async () => {
    await join();
    net.onJoin = (request) => (request.resume ? Promise.resolve(joinReply({ sessionId: "S_2", resumed: false })) : undefined);
    goAway(B);
    await wait(1000);
    expect(log).toEqual(["reconnecting", "moved rejoined", "reconnected"]);
  });
});

describe("lost media", () => {
  it("is asked for by an ICE restart, and comes back", async () => {
    await join();
    FakePeerConnection.connects = false;
    const pc = FakePeerConnection.last;
    pc.become("disconnected");
    await wait(2900);
    expect(log).toEqual([]);
    await wait(300);
    expect(pc.offers.at(-1)).toEqual({ iceRestart: true });
    expect(log).toEqual(["reconnecting"]);
    pc.become("connected");
    await wait(500);
    expect(log).toEqual(["reconnecting", "reconnected"]);
    expect(net.joins).toHaveLength(1);
  });

  it("that comes back by itself is no trouble", async () => {
    await join();
    FakePeerConnection.last.become("disconnected");
    await wait(1500);
    FakePeerConnection.last.become("connected");
    await wait(10_000);
    expect(log).toEqual([]);
    expect(net.offers).toHaveLength(1);
  });

  it("that the server knows nothing of waits for it to say moved", async () => {
    await join();
    net.onOffer = () => Promise.reject(new TranscribeError("session_not_found", "Gone."));
    FakePeerConnection.last.become("failed");
    await wait(2000);
    net.onOffer = undefined;
    tell({ type: "moved", reason: "nodeLost" });
    await wait(1000);
    expect(log).toEqual(["reconnecting", "moved nodeLost", "reconnected"]);
    expect(net.joins).toHaveLength(1);
  });

  it("that nobody explains is joined anew", async () => {
    await join();
    net.onOffer = () => (net.offers.length === 2 ? Promise.reject(new TranscribeError("session_not_found", "Gone.")) : undefined);
    FakePeerConnection.last.become("failed");
    await wait(10_000);
    expect(log).toEqual(["reconnecting", "moved rejoined", "reconnected"]);
    expect(net.calls).toEqual(["leave"]);
    expect(net.joins.at(-1)?.request.resume).toBeUndefined();
  });

  it.each(["failed", "timeout", "nodeShutdown", "nodeLost"])("with a session closed as %s is joined anew", async (reason) => {
    await join();
    tell({ type: "closed", reason });
    await wait(2000);
    expect(log).toEqual(["reconnecting", "moved rejoined", "reconnected"]);
  });

  it("that never comes, new session after new session, ends the call", async () => {
    await join();
    FakePeerConnection.connects = false;
    FakePeerConnection.last.become("failed");
    await wait(400_000);
    expect(log.at(-1)).toBe("closed failed");
  });
});

describe("what else the server says", () => {
  it("replaces the room when it begins again, and counts from there", async () => {
    const room = await join();
    tell({ type: "assigned", assignments: [{ mid: "4", trackId: "TR_a", revision: 1 }] });
    net.hub.handlers.roomReset(snapshot(1, [{ ...alice, id: "carol", tracks: [] }]));
    net.hub.handlers.roomEvent({ type: "participantJoined", sequence: 2, participant: { ...alice, id: "dave", tracks: [] } });
    expect(room.participants.map((p) => p.id)).toEqual(["carol", "dave"]);
    expect(log).toEqual(["+TR_a", "-TR_a"]);
  });

  it("does not end the call where the room was empty for a moment", async () => {
    const room = await join();
    net.hub.handlers.roomEvent({ type: "roomClosed", sequence: 6, reason: "empty" });
    net.hub.handlers.roomEvent({ type: "participantJoined", sequence: 1, participant: { ...alice, tracks: [] } });
    expect(room.participants.map((p) => p.id)).toEqual(["alice"]);
    net.hub.handlers.roomEvent({ type: "roomClosed", sequence: 2, reason: "closed" });
    expect(log).toEqual(["closed closed"]);
  });

  it("is ignored where it is not known", async () => {
    const room = await join();
    net.hub.handlers.sessionEvent({ type: "levitated" } as unknown as SessionEvent);
    net.hub.handlers.roomEvent({ type: "doorPainted", sequence: 6 } as never);
    net.hub.handlers.roomEvent({ type: "participantLeft", sequence: 7, participantId: "alice", reason: "left" });
    expect(room.participants).toEqual([]);
    expect(room.state).toBe("connected");
  });
});
