import type { Caption } from "../sdk";
import { h } from "./dom";

/** The running transcript beside the tiles. Finals are read out by screen readers; interims are not, they would stutter. */
export class TranscriptPanel {
  readonly element: HTMLElement;
  readonly #list = h("ol", { class: "lines" });
  readonly #announcer = h("div", { class: "visually-hidden", "aria-live": "polite", "aria-atomic": "false", id: "caption-announcer" });
  readonly #notice = h("p", { class: "engine-notice", id: "transcription-notice", hidden: true });
  readonly #lines = new Map<string, HTMLElement>();
  readonly #nameOf: (participant: string) => string;

  constructor(nameOf: (participant: string) => string, room: string) {
    this.#nameOf = nameOf;
    const link = (format: string) =>
      h("a", { href: `/v1/rooms/${encodeURIComponent(room)}/transcript?format=${format}`, download: `${room}.${format}`, "data-format": format }, format.toUpperCase());
    this.element = h(
      "aside",
      { class: "transcript", "aria-label": "Transcript" },
      h("header", {}, h("h2", {}, "Transcript"), h("nav", { class: "downloads", "aria-label": "Download the transcript" }, link("vtt"), link("srt"), link("txt"))),
      this.#notice,
      this.#list,
      h("p", { class: "empty" }, "What people say appears here while transcription is on."),
      this.#announcer,
    );
  }

  /** Lets the download links carry the token (they are fetched with it, not linked). */
  onDownload(handler: (format: string) => void): void {
    for (const link of this.element.querySelectorAll<HTMLAnchorElement>("a[data-format]"))
      link.addEventListener("click", (event) => {
        event.preventDefault();
        handler(link.dataset["format"] ?? "vtt");
      });
  }

  /** A line about how captions are made, e.g. that a simpler engine runs. */
  setNotice(notice: string | undefined): void {
    this.#notice.textContent = notice ?? "";
    this.#notice.hidden = !notice;
  }

  show(caption: Caption): void {
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 60;
    let line = this.#lines.get(caption.segment);
    if (!line) {
      const time = caption.ntp ? new Date(caption.ntp.start) : new Date();
      line = h(
        "li",
        { "data-segment": caption.segment },
        h("div", { class: "who" }, h("b", {}, this.#nameOf(caption.participant)), h("time", { datetime: time.toISOString() }, time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" }))),
        h("p", {}),
      );
      this.#lines.set(caption.segment, line);
      this.#list.append(line);
      if (this.#lines.size > 500) this.#dropOldest();
    }
    line.classList.toggle("interim", !caption.final);
    const text = line.querySelector("p") as HTMLElement;
    const stable = caption.final ? caption.visibleText.length : Math.min(caption.stable, caption.visibleText.length);
    text.replaceChildren(caption.visibleText.slice(0, stable), h("span", { class: "unstable" }, caption.visibleText.slice(stable)));
    this.element.classList.add("has-lines");
    if (atEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** Takes a line away that will never be finished. */
  remove(segment: string): void {
    this.#lines.get(segment)?.remove();
    this.#lines.delete(segment);
  }

  /** Reads a finished sentence out. */
  announce(caption: Caption): void {
    this.#announcer.append(h("p", {}, `${this.#nameOf(caption.participant)}: ${caption.text}`));
    while (this.#announcer.childElementCount > 5) this.#announcer.firstElementChild?.remove();
  }

  #dropOldest(): void {
    const [segment, line] = this.#lines.entries().next().value ?? [];
    if (segment === undefined) return;
    this.#lines.delete(segment);
    line?.remove();
  }
}
