import type { ParticipantInfo, RoomEvent, RoomSnapshot, TrackInfo, TranscriptionState } from "./protocol";

/** What became of a room event given to {@link Roster.apply}. */
export type Applied = "applied" | "old" | "gap";

/** The room as its numbered events describe it. A gap in the numbers asks for a resync. */
export class Roster {
  #participants = new Map<string, ParticipantInfo>();
  #sequence = 0;
  transcription: TranscriptionState = { enabled: false, engine: "auto", language: "en" };

  get sequence(): number {
    return this.#sequence;
  }

  get participants(): ParticipantInfo[] {
    return [...this.#participants.values()];
  }

  participant(id: string): ParticipantInfo | undefined {
    return this.#participants.get(id);
  }

  track(id: string): TrackInfo | undefined {
    for (const participant of this.#participants.values()) {
      const track = participant.tracks.find((t) => t.id === id);
      if (track) return track;
    }
    return undefined;
  }

  reset(snapshot: RoomSnapshot): void {
    this.#participants = new Map(snapshot.participants.map((p) => [p.id, { ...p, tracks: [...p.tracks] }]));
    this.#sequence = snapshot.sequence;
    this.transcription = snapshot.transcription;
  }

  apply(event: RoomEvent): Applied {
    if (event.sequence <= this.#sequence) return "old";
    if (event.sequence > this.#sequence + 1) return "gap";
    this.#sequence = event.sequence;
    switch (event.type) {
      case "participantJoined":
        this.#participants.set(event.participant.id, { ...event.participant, tracks: [...event.participant.tracks] });
        break;
      case "participantLeft":
        this.#participants.delete(event.participantId);
        break;
      case "trackPublished":
        this.#editTracks(event.track.participant, (tracks) => [...tracks.filter((t) => t.id !== event.track.id), event.track]);
        break;
      case "trackUnpublished":
        this.#editTracks(event.participantId, (tracks) => tracks.filter((t) => t.id !== event.trackId));
        break;
      case "trackMuted":
        this.#editTracks(event.participantId, (tracks) =>
          tracks.map((t) => (t.id === event.trackId ? { ...t, muted: event.muted } : t)),
        );
        break;
      case "transcription":
        this.transcription = event.transcription;
        break;
      case "roomClosed":
        // Whoever stays sees it begin again at 1.
        this.#participants.clear();
        this.#sequence = 0;
        break;
    }
    return "applied";
  }

  #editTracks(participantId: string, edit: (tracks: TrackInfo[]) => TrackInfo[]): void {
    const participant = this.#participants.get(participantId);
    if (participant) this.#participants.set(participantId, { ...participant, tracks: edit(participant.tracks) });
  }
}
