import type { Caption, LocalPublication, Room, Speaker, Subscription, TrackInfo } from "../sdk";
import { explainDeviceError, openCamera, openMicrophone, type DeviceChoice } from "./devices";
import { h, icon, toast, type IconName } from "./dom";
import { Tile } from "./tile";
import { TranscriptPanel } from "./transcript-panel";

export interface MeetingOptions {
  admin: boolean;
  canPublish: boolean;
  devices: DeviceChoice;
  onClosed: (notice: string | undefined) => void;
}

const CloseReasons: Record<string, string | undefined> = {
  left: undefined,
  duplicateIdentity: "You joined from another window, so this one left.",
  removed: "You were removed from the meeting.",
  roomClosed: "The meeting was ended.",
  connectionLost: "The connection was lost. Check your network, then join again.",
  failed: "No sound or picture could get through. Check your network, then join again.",
  token_expired: "Your access has expired. Ask for a new link, then join again.",
};

type ControlName = "microphone" | "camera" | "screen" | "captions" | "transcription" | "transcript";

const Shortcuts: Record<string, ControlName | undefined> = { m: "microphone", v: "camera", s: "screen", c: "captions", t: "transcript" };

/** The meeting: tiles, captions, transcript, controls. */
export class Meeting {
  readonly #room: Room;
  readonly #options: MeetingOptions;
  readonly #tiles = new Map<string, Tile>();
  readonly #grid = h("section", { class: "grid", "aria-label": "Participants" });
  readonly #transcript: TranscriptPanel;
  readonly #badge = h("span", { class: "badge", id: "transcription-badge", role: "status" });
  readonly #count = h("span", { class: "count", id: "participant-count" });
  readonly #status = h("span", { class: "status", id: "connection-status", role: "status", hidden: true });
  readonly #root: HTMLElement;
  readonly #buttons: Record<ControlName, HTMLButtonElement>;
  readonly #onKey = (event: KeyboardEvent) => this.#handleKey(event);
  #statusTimer: ReturnType<typeof setTimeout> | undefined;
  #captionsShown = true;
  #microphone: LocalPublication | undefined;
  #camera: LocalPublication | undefined;
  #screen: LocalPublication | undefined;

  constructor(app: HTMLElement, room: Room, options: MeetingOptions) {
    this.#room = room;
    this.#options = options;
    this.#transcript = new TranscriptPanel((id) => this.#nameOf(id), room.name);
    this.#transcript.onDownload((format) => void this.#download(format));
    this.#buttons = {
      microphone: this.#button("microphone", "micOff", "Unmute (m)", () => this.#toggleMicrophone()),
      camera: this.#button("camera", "cameraOff", "Start camera (v)", () => this.#toggleCamera()),
      screen: this.#button("screen", "screen", "Share screen (s)", () => this.#toggleScreen()),
      captions: this.#button("captions", "captions", "Hide captions (c)", () => this.#toggleCaptions()),
      transcript: this.#button("transcript", "transcript", "Transcript panel (t)", () => this.#togglePanel()),
      transcription: this.#button("transcription", "ai", "Start transcription", () => this.#toggleTranscription()),
    };
    this.#buttons.captions.setAttribute("aria-pressed", "true");
    this.#buttons.transcript.setAttribute("aria-pressed", "true");
    for (const key of ["microphone", "camera", "screen"] as const) this.#buttons[key].hidden = !options.canPublish;
    this.#buttons.transcription.hidden = !options.admin;
    const leave = h("button", { class: "control leave", type: "button", id: "leave", title: "Leave", "aria-label": "Leave", onclick: () => void room.leave() }, icon("leave"));
    this.#root = h(
      "div",
      { class: "meeting" },
      h("header", { class: "topbar" }, h("h1", {}, room.name), this.#count, this.#status, this.#badge),
      h("div", { class: "stage" }, this.#grid, this.#transcript.element),
      h(
        "footer",
        { class: "controls", role: "toolbar", "aria-label": "Meeting controls" },
        this.#buttons.microphone,
        this.#buttons.camera,
        this.#buttons.screen,
        this.#buttons.captions,
        this.#buttons.transcript,
        this.#buttons.transcription,
        leave,
      ),
    );
    app.replaceChildren(this.#root);
    document.addEventListener("keydown", this.#onKey);

    room.on("changed", () => this.#renderRoster());
    room.on("trackSubscribed", (s) => this.#show(s));
    room.on("trackUnsubscribed", (s) => this.#hide(s));
    room.on("trackMuted", ({ trackId, muted }) => this.#onMuted(trackId, muted));
    room.on("transcription", () => this.#renderTranscription());
    room.on("speakers", (speakers) => this.#renderSpeakers(speakers));
    room.on("reconnecting", () => this.#renderStatus("Reconnecting…"));
    room.on("reconnected", () => this.#onReconnected());
    room.on("closed", ({ reason }) => this.#close(reason));
    room.captions.on("caption", (caption) => this.#showCaption(caption));
    room.captions.on("final", (caption) => this.#transcript.announce(caption));
    room.captions.on("withdrawn", ({ segment, participant }) => {
      this.#transcript.remove(segment);
      this.#tiles.get(participant)?.withdrawCaption(segment);
    });
    // For tests and the curious: the SDK's room, from the console.
    (window as unknown as { transcribeRoom?: Room }).transcribeRoom = room;
    this.#renderRoster();
    this.#renderTranscription();
    for (const subscription of room.subscriptions) this.#show(subscription);
  }

  /** Publishes what the lobby opened. */
  async start(microphone: MediaStreamTrack | undefined, camera: MediaStreamTrack | undefined): Promise<void> {
    if (this.#options.canPublish) {
      if (microphone) this.#microphone = await this.#room.publish(microphone, { source: "microphone" });
      if (camera) {
        this.#tile(this.#room.localParticipantId).showCamera(camera);
        this.#camera = await this.#room.publish(camera, { source: "camera" });
      }
    } else {
      microphone?.stop();
      camera?.stop();
    }
    this.#renderControls();
  }

  #close(reason: string): void {
    document.removeEventListener("keydown", this.#onKey);
    clearTimeout(this.#statusTimer);
    for (const publication of [this.#microphone, this.#camera, this.#screen]) publication?.track?.stop();
    for (const tile of this.#tiles.values()) tile.remove();
    this.#options.onClosed(reason in CloseReasons ? CloseReasons[reason] : `The meeting was closed (${reason}).`);
  }

  #tile(id: string, screen = false): Tile {
    const key = screen ? `${id}:screen` : id;
    let tile = this.#tiles.get(key);
    if (!tile) {
      tile = new Tile(key, { local: id === this.#room.localParticipantId, screen });
      this.#tiles.set(key, tile);
      if (screen) this.#grid.prepend(tile.element);
      else this.#grid.append(tile.element);
    }
    return tile;
  }

  #nameOf(id: string): string {
    return this.#room.participants.find((p) => p.id === id)?.name || id;
  }

  #renderRoster(): void {
    const wanted = new Set<string>();
    for (const participant of this.#room.participants) {
      const local = participant.id === this.#room.localParticipantId;
      wanted.add(participant.id);
      const tile = this.#tile(participant.id);
      tile.describe(participant, local ? " (you)" : "");
      const microphone = participant.tracks.find((t) => t.source === "microphone" || (t.kind === "audio" && t.source === "unknown"));
      tile.setMuted(!microphone || microphone.muted);
      if (participant.tracks.some((t) => t.source === "screen")) {
        wanted.add(`${participant.id}:screen`);
        this.#tile(participant.id, true).describe(participant, "’s screen");
      }
    }
    for (const [key, tile] of this.#tiles) {
      if (wanted.has(key)) continue;
      tile.remove();
      this.#tiles.delete(key);
    }
    const count = this.#room.participants.length;
    this.#count.textContent = count === 1 ? "1 participant" : `${count} participants`;
    this.#grid.style.setProperty("--tiles", String(Math.max(1, this.#tiles.size)));
    this.#grid.dataset["tiles"] = String(this.#tiles.size);
  }

  #renderTranscription(): void {
    const { enabled, activeEngine, notice } = this.#room.transcription;
    this.#badge.hidden = !enabled;
    this.#badge.replaceChildren(h("i", { "aria-hidden": "true" }), "Transcription is on", activeEngine ? h("small", {}, activeEngine) : "");
    this.#badge.title = notice ?? "What is said in this meeting is being written down.";
    this.#transcript.setNotice(enabled ? notice : undefined);
    const button = this.#buttons.transcription;
    setPressed(button, enabled, enabled ? "Stop transcription" : "Start transcription");
    if (!enabled) for (const tile of this.#tiles.values()) tile.clearCaption();
  }

  #renderSpeakers(speakers: Speaker[]): void {
    const speaking = new Set(speakers.map((s) => s.participantId));
    for (const [id, tile] of this.#tiles) tile.setSpeaking(speaking.has(id));
  }

  #renderControls(): void {
    const microphoneOn = !!this.#microphone && !this.#microphone.muted;
    swap(this.#buttons.microphone, microphoneOn ? "mic" : "micOff", microphoneOn, microphoneOn ? "Mute (m)" : "Unmute (m)");
    const cameraOn = !!this.#camera && !this.#camera.muted;
    swap(this.#buttons.camera, cameraOn ? "camera" : "cameraOff", cameraOn, cameraOn ? "Stop camera (v)" : "Start camera (v)");
    setPressed(this.#buttons.screen, !!this.#screen, this.#screen ? "Stop sharing (s)" : "Share screen (s)");
  }

  #show(subscription: Subscription): void {
    const { info, mediaTrack } = subscription;
    if (info.kind === "audio") {
      this.#tile(info.participant).playAudio(subscription);
      return;
    }
    const tile = this.#tile(info.participant, info.source === "screen");
    tile.showCamera(mediaTrack);
    tile.setCameraMuted(info.muted);
  }

  #hide({ info }: Subscription): void {
    const tile = this.#tiles.get(info.source === "screen" ? `${info.participant}:screen` : info.participant);
    if (info.kind === "audio") tile?.playAudio(undefined);
    // The last picture stays while the connection is repaired: the next one is a moment away.
    else if (this.#room.state === "reconnecting") tile?.setStale(true);
    else tile?.showCamera(undefined);
  }

  #renderStatus(text: string, healed = false): void {
    clearTimeout(this.#statusTimer);
    this.#status.hidden = text === "";
    this.#status.classList.toggle("healed", healed);
    this.#status.replaceChildren(h("i", { "aria-hidden": "true" }), text);
  }

  #onReconnected(): void {
    this.#renderStatus("Connected again", true);
    this.#statusTimer = setTimeout(() => {
      this.#renderStatus("");
      this.#dropStale();
    }, 3000);
  }

  /** Pictures that did not come back are gone. */
  #dropStale(): void {
    if (this.#room.state !== "connected") return;
    for (const tile of this.#tiles.values()) if (tile.stale) tile.showCamera(undefined);
  }

  #onMuted(trackId: string, muted: boolean): void {
    const track = this.#room.participants.flatMap((p): TrackInfo[] => p.tracks).find((t) => t.id === trackId);
    if (track?.kind === "video") this.#tiles.get(track.participant)?.setCameraMuted(muted);
  }

  #showCaption(caption: Caption): void {
    this.#transcript.show(caption);
    if (this.#captionsShown) this.#tiles.get(caption.participant)?.showCaption(caption);
  }

  async #toggleMicrophone(): Promise<void> {
    if (!this.#microphone) {
      const track = await this.#open("microphone", () => openMicrophone(this.#options.devices.microphone));
      if (track) this.#microphone = await this.#room.publish(track, { source: "microphone" });
    } else {
      const muted = !this.#microphone.muted;
      if (this.#microphone.track) this.#microphone.track.enabled = !muted;
      await this.#room.setMuted(this.#microphone, muted);
    }
    this.#renderControls();
  }

  async #toggleCamera(): Promise<void> {
    const self = this.#tile(this.#room.localParticipantId);
    if (this.#camera && !this.#camera.muted) {
      // The device is let go, so that its light goes out.
      this.#camera.track?.stop();
      await this.#camera.replaceTrack(null);
      self.showCamera(undefined);
      await this.#room.setMuted(this.#camera, true);
    } else {
      const track = await this.#open("camera", () => openCamera(this.#options.devices.camera));
      if (!track) return;
      self.showCamera(track);
      if (this.#camera) {
        await this.#camera.replaceTrack(track);
        await this.#room.setMuted(this.#camera, false);
      } else this.#camera = await this.#room.publish(track, { source: "camera" });
    }
    this.#renderControls();
  }

  async #toggleScreen(): Promise<void> {
    if (this.#screen) {
      const publication = this.#screen;
      this.#screen = undefined;
      publication.track?.stop();
      await this.#room.unpublish(publication);
    } else {
      const track = await this.#open("screen", async () => (await navigator.mediaDevices.getDisplayMedia({ video: true })).getVideoTracks()[0] as MediaStreamTrack);
      if (!track) return;
      track.contentHint = "detail";
      track.addEventListener("ended", () => this.#screen && void this.#toggleScreen());
      this.#screen = await this.#room.publish(track, { source: "screen" });
      this.#tile(this.#room.localParticipantId, true).showCamera(track);
    }
    this.#renderControls();
  }

  #toggleCaptions(): void {
    this.#captionsShown = !this.#captionsShown;
    setPressed(this.#buttons.captions, this.#captionsShown, this.#captionsShown ? "Hide captions (c)" : "Show captions (c)");
    if (!this.#captionsShown) for (const tile of this.#tiles.values()) tile.clearCaption();
  }

  #togglePanel(): void {
    const hidden = this.#root.classList.toggle("no-transcript");
    setPressed(this.#buttons.transcript, !hidden, "Transcript panel (t)");
  }

  async #toggleTranscription(): Promise<void> {
    await this.#room.setTranscription({ enabled: !this.#room.transcription.enabled });
  }

  async #download(format: string): Promise<void> {
    try {
      const blob = await this.#room.fetchTranscript(format as "vtt");
      const url = URL.createObjectURL(blob);
      h("a", { href: url, download: `${this.#room.name}.${format}` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), "error");
    }
  }

  async #open(device: "microphone" | "camera" | "screen", open: () => Promise<MediaStreamTrack>): Promise<MediaStreamTrack | undefined> {
    try {
      return await open();
    } catch (error) {
      toast(explainDeviceError(error, device), "error");
      return undefined;
    }
  }

  #button(id: string, image: IconName, label: string, action: () => void | Promise<void>): HTMLButtonElement {
    const button = h("button", { class: "control", type: "button", id: `toggle-${id}`, title: label, "aria-label": label, "aria-pressed": "false" }, icon(image));
    button.addEventListener("click", () => {
      button.disabled = true;
      Promise.resolve(action())
        .catch((error) => toast(error instanceof Error ? error.message : String(error), "error"))
        .finally(() => (button.disabled = false));
    });
    return button;
  }

  #handleKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return;
    const name = Shortcuts[event.key.toLowerCase()];
    if (name) this.#buttons[name].click();
  }
}

function setPressed(button: HTMLButtonElement, pressed: boolean, label: string): void {
  button.setAttribute("aria-pressed", String(pressed));
  button.setAttribute("aria-label", label);
  button.title = label;
}

function swap(button: HTMLButtonElement, image: IconName, pressed: boolean, label: string): void {
  button.replaceChildren(icon(image));
  setPressed(button, pressed, label);
}
