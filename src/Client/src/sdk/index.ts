/**
 * Transcribe in the browser: join a room, publish and receive tracks, read captions in step with the voice.
 *
 * ```ts
 * const room = await join({ token });
 * await room.publish(microphone, { source: "microphone" });
 * room.on("trackSubscribed", ({ mediaTrack }) => show(mediaTrack));
 * room.captions.on("caption", ({ participant, visibleText }) => write(participant, visibleText));
 * ```
 *
 * Lost nodes and connections are repaired without being asked: `reconnecting` and `reconnected` say when, `moved` when
 * media was set up anew on another node.
 */
import { Room, type JoinOptions } from "./room";

export const join = (options: JoinOptions): Promise<Room> => Room.join(options);

export { Room, type JoinOptions, type RoomEvents, type RoomState, type Subscription } from "./room";
export { CaptionFeed, type Caption, type CaptionEvents, type WithdrawnCaption } from "./captions";
export { PlayoutClock, rtpDelta, type PlayoutSample } from "./rtp-time";
export { TranscribeError, type CaptionMessage, type ParticipantInfo, type Speaker, type TrackInfo, type TranscriptionState } from "./protocol";
export { LocalPublication } from "./media-session";
