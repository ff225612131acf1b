import { describe, expect, it } from "vitest";
import type { ParticipantInfo, RoomEvent } from "../src/sdk/protocol";
import { Roster } from "../src/sdk/roster";

const alice: ParticipantInfo = { id: "alice", canPublish: true, joinedAt: "2026-01-01T00:00:00Z", tracks: [] };
const off = { enabled: false, engine: "auto", language: "en" };
const track = { id: "TR_1", participant: "alice", kind: "audio", source: "microphone", muted: false, node: "n1" } as const;

function roster(): Roster {
  const r = new Roster();
  r.reset({ room: "demo", sequence: 5, participants: [alice], transcription: off });
  return r;
}

describe("Roster", () => {
  it("follows numbered events", () => {
    const r = roster();
    expect(r.apply({ type: "trackPublished", sequence: 6, track })).toBe("applied");
    expect(r.apply({ type: "trackMuted", sequence: 7, trackId: "TR_1", participantId: "alice", muted: true })).toBe("applied");
    expect(r.track("TR_1")?.muted).toBe(true);
    r.apply({ type: "participantLeft", sequence: 8, participantId: "alice", reason: "left" });
    expect(r.participants).toEqual([]);
  });

  it("reports a gap and does not apply what comes after it", () => {
    const r = roster();
    const late: RoomEvent = { type: "participantLeft", sequence: 8, participantId: "alice", reason: "left" };
    expect(r.apply(late)).toBe("gap");
    expect(r.participants).toHaveLength(1);
  });

  it("ignores what it has seen", () => {
    const r = roster();
    expect(r.apply({ type: "roomClosed", sequence: 5, reason: "x" })).toBe("old");
    expect(r.participants).toHaveLength(1);
  });

  it("does not share its tracks with the snapshot it was given", () => {
    const r = roster();
    r.apply({ type: "trackPublished", sequence: 6, track });
    expect(alice.tracks).toHaveLength(0);
  });
});
