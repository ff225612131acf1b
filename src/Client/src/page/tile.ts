import type { Caption, ParticipantInfo, Subscription } from "../sdk";
import { h, icon } from "./dom";

/** How long a finished caption stays over the tile. */
const CaptionLingerMs = 4000;

/** One participant (or one shared screen) in the grid: picture, name, state, captions. */
export class Tile {
  readonly element: HTMLElement;
  readonly #video = h("video", { autoplay: true, playsinline: true });
  readonly #audio = h("audio", { autoplay: true });
  readonly #label = h("span", { class: "label" });
  readonly #muted = h("span", { class: "muted", title: "Muted" });
  readonly #avatar = h("div", { class: "avatar", "aria-hidden": "true" });
  readonly #caption = h("p", { class: "caption" });
  #segment: string | undefined;
  #lingering: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly id: string,
    options: { local: boolean; screen?: boolean },
  ) {
    this.#muted.append(icon("micOff"));
    this.#video.muted = true;
    this.element = h(
      "article",
      { class: `tile${options.local ? " local" : ""}${options.screen ? " screen" : ""}`, "data-tile": id },
      this.#avatar,
      this.#video,
      this.#audio,
      this.#caption,
      h("div", { class: "plate" }, this.#muted, this.#label),
    );
    this.showCamera(undefined);
    this.setMuted(false);
  }

  describe(participant: Pick<ParticipantInfo, "id" | "name">, suffix = ""): void {
    const name = participant.name || participant.id;
    this.#label.textContent = name + suffix;
    this.element.setAttribute("aria-label", name + suffix);
    this.#avatar.textContent = name
      .split(/\s+/)
      .slice(0, 2)
      .map((word) => word[0]?.toUpperCase() ?? "")
      .join("");
    const hue = [...participant.id].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % 360, 7);
    this.#avatar.style.background = `hsl(${hue} 45% 38%)`;
  }

  /** Whether the picture is the last one of a connection that is gone. */
  get stale(): boolean {
    return this.element.classList.contains("stale");
  }

  setStale(stale: boolean): void {
    const shows = stale && !this.#video.hidden;
    this.element.classList.toggle("stale", shows);
    // A paused video keeps its last picture when its track ends; a playing one turns black.
    if (shows) this.#video.pause();
  }

  showCamera(track: MediaStreamTrack | undefined): void {
    const paused = this.stale;
    this.setStale(false);
    this.#video.srcObject = track ? new MediaStream([track]) : null;
    if (track && paused) this.#video.play().catch((error) => console.warn("A picture cannot be played", error));
    this.#video.hidden = !track;
    this.#avatar.hidden = !!track;
  }

  /** Hides the picture without letting go of the track, while its publisher has muted it. */
  setCameraMuted(muted: boolean): void {
    this.#video.hidden = muted || !this.#video.srcObject;
    this.#avatar.hidden = !this.#video.hidden;
  }

  playAudio(subscription: Subscription | undefined): void {
    this.#audio.srcObject = subscription ? new MediaStream([subscription.mediaTrack]) : null;
    // Where the browser blocks sound before a gesture, the next click or key starts it.
    if (subscription) this.#audio.play().catch(() => this.#playOnGesture());
  }

  #playOnGesture(): void {
    const play = () => void this.#audio.play().catch((error) => console.warn("Sound is blocked", error));
    addEventListener("pointerdown", play, { once: true });
    addEventListener("keydown", play, { once: true });
  }

  setMuted(muted: boolean): void {
    this.#muted.hidden = !muted;
  }

  setSpeaking(speaking: boolean): void {
    this.element.classList.toggle("speaking", speaking);
  }

  showCaption(caption: Caption): void {
    clearTimeout(this.#lingering);
    this.#segment = caption.segment;
    this.#caption.textContent = tail(caption.visibleText);
    this.#caption.classList.toggle("interim", !caption.final);
    this.#lingering = setTimeout(() => this.clearCaption(), caption.final ? CaptionLingerMs : 2 * CaptionLingerMs);
  }

  /** Takes the caption away where it is this segment's. */
  withdrawCaption(segment: string): void {
    if (this.#segment === segment) this.clearCaption();
  }

  clearCaption(): void {
    clearTimeout(this.#lingering);
    this.#segment = undefined;
    this.#caption.textContent = "";
  }

  remove(): void {
    this.clearCaption();
    this.#video.srcObject = null;
    this.#audio.srcObject = null;
    this.element.remove();
  }
}

/** The last two lines' worth of a long caption, cut between words. */
function tail(text: string, limit = 110): string {
  if (text.length <= limit) return text;
  const cut = text.slice(-limit);
  return "… " + cut.slice(cut.indexOf(" ") + 1);
}
