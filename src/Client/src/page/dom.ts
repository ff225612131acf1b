type Child = Node | string | undefined | false;

/** Creates an element: `h("button", { class: "primary", onclick: join }, "Join")`. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, unknown> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on") && typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, String(value));
  }
  for (const child of children) if (child !== undefined && child !== false) element.append(child);
  return element;
}

const Icons = {
  mic: "M12 15a3 3 0 0 0 3-3V6a3 3 0 1 0-6 0v6a3 3 0 0 0 3 3Zm6-3a6 6 0 0 1-12 0M12 18v3",
  micOff: "M4 4l16 16M9 9v3a3 3 0 0 0 4.6 2.5M15 11V6a3 3 0 0 0-5.8-1M18 12c0 .8-.2 1.6-.5 2.3M6 12a6 6 0 0 0 9 5.2M12 18v3",
  camera: "M4 7h10a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V9a2 2 0 0 1 2-2Zm12 4 5-3v8l-5-3",
  cameraOff: "M3 3l18 18M6 7H4a2 2 0 0 0-2 2v6a2 2 0 0 0 2 2h10a2 2 0 0 0 1.6-.8M10 7h4a2 2 0 0 1 2 2v2l5-3v8",
  screen: "M3 5h18v11H3zM8 20h8M12 16v4M12 13V8m0 0-2.5 2.5M12 8l2.5 2.5",
  captions: "M3 6h18v12H3zM10 10.5a2 2 0 1 0 0 3M17 10.5a2 2 0 1 0 0 3",
  transcript: "M5 4h14v16H5zM8 8h8M8 12h8M8 16h5",
  leave: "M3 13c5-5 13-5 18 0l-2.5 2.5-3.5-1.6V11a11 11 0 0 0-6 0v2.9l-3.5 1.6Z",
  ai: "M12 3l1.8 5.2L19 10l-5.2 1.8L12 17l-1.8-5.2L5 10l5.2-1.8ZM18.5 15l.8 2.2 2.2.8-2.2.8-.8 2.2-.8-2.2-2.2-.8 2.2-.8Z",
} as const;

export type IconName = keyof typeof Icons;

export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", Icons[name]);
  svg.append(path);
  return svg;
}

/** A short message at the bottom of the page, read out by screen readers. */
export function toast(message: string, kind: "info" | "error" = "info"): void {
  const region = document.getElementById("toasts") ?? document.body.appendChild(h("div", { id: "toasts", role: "status", "aria-live": "polite" }));
  const note = h("div", { class: `toast ${kind}` }, message);
  region.append(note);
  setTimeout(() => note.remove(), kind === "error" ? 8000 : 4000);
}
