import { join, TranscribeError } from "../sdk";
import { obtainToken, readClaims } from "./access";
import { explainDeviceError, listDevices, openCamera, openMicrophone, savedDevices, saveDevices } from "./devices";
import { h, toast } from "./dom";
import { LevelMeter } from "./level-meter";
import { Meeting } from "./meeting";

/** The first screen: name, room, devices with a preview. */
export function showLobby(app: HTMLElement, notice?: string): void {
  const query = new URLSearchParams(location.search);
  const tokenRoom = readClaims(new URLSearchParams(location.hash.slice(1)).get("token") ?? "").room;
  const devices = savedDevices();
  let microphone: MediaStreamTrack | undefined;
  let camera: MediaStreamTrack | undefined;

  const name = h("input", { id: "name", name: "name", autocomplete: "name", required: true, maxlength: 64, placeholder: "Your name" });
  name.value = query.get("name") ?? localStorage.getItem("transcribe.name") ?? "";
  const room = h("input", { id: "room", name: "room", required: true, maxlength: 64, pattern: "[A-Za-z0-9_.\\-]+", title: "Letters, digits, dots, dashes and underscores", placeholder: "Room" });
  const linked = /^\/r\/([^/]+)$/.exec(location.pathname)?.[1];
  room.value = tokenRoom ?? (linked ? decodeURIComponent(linked) : undefined) ?? query.get("room") ?? localStorage.getItem("transcribe.room") ?? "demo";
  room.readOnly = tokenRoom !== undefined;
  const microphones = h("select", { id: "microphone" });
  const cameras = h("select", { id: "camera" });
  const useMicrophone = h("input", { type: "checkbox", id: "use-microphone", checked: true });
  const useCamera = h("input", { type: "checkbox", id: "use-camera", checked: true });
  const preview = h("video", { class: "preview", autoplay: true, muted: true, playsinline: true, "aria-label": "Preview of your camera" });
  preview.muted = true;
  const meter = new LevelMeter();
  const submit = h("button", { class: "primary", type: "submit", id: "join" }, "Join the meeting");

  const form = h(
    "form",
    { class: "lobby-form", onsubmit: (event: Event) => { event.preventDefault(); void enter(); } },
    h("h1", {}, "Transcribe"),
    h("p", { class: "lead" }, "Meetings with live captions, in step with the voice."),
    notice ? h("p", { class: "notice", role: "alert" }, notice) : undefined,
    h("label", { for: "name" }, "Name"),
    name,
    h("label", { for: "room" }, "Room"),
    room,
    h("div", { class: "device-row" }, useMicrophone, h("label", { for: "microphone" }, "Microphone"), microphones),
    h("div", { class: "device-row" }, useCamera, h("label", { for: "camera" }, "Camera"), cameras),
    submit,
  );
  app.replaceChildren(h("div", { class: "lobby" }, form, h("div", { class: "preview-box" }, preview, meter.element)));
  name.focus();

  microphones.addEventListener("change", () => void refresh("microphone"));
  cameras.addEventListener("change", () => void refresh("camera"));
  useMicrophone.addEventListener("change", () => void refresh("microphone"));
  useCamera.addEventListener("change", () => void refresh("camera"));
  void refresh("microphone").then(() => refresh("camera"));

  async function refresh(device: "microphone" | "camera"): Promise<void> {
    const [enabled, select] = device === "microphone" ? [useMicrophone, microphones] : [useCamera, cameras];
    const wanted = select.value || devices[device];
    if (device === "microphone") {
      microphone?.stop();
      microphone = undefined;
    } else {
      camera?.stop();
      camera = undefined;
    }
    if (enabled.checked) {
      try {
        if (!navigator.mediaDevices) throw new Error("this page is not served over https or from localhost");
        if (device === "microphone") microphone = await openMicrophone(wanted);
        else camera = await openCamera(wanted);
      } catch (error) {
        enabled.checked = false;
        toast(explainDeviceError(error, device), "error");
      }
    }
    if (device === "microphone") meter.watch(microphone);
    else preview.srcObject = camera ? new MediaStream([camera]) : null;
    await fill(select, device === "microphone" ? "audioinput" : "videoinput", wanted);
  }

  async function fill(select: HTMLSelectElement, kind: "audioinput" | "videoinput", chosen?: string): Promise<void> {
    if (!navigator.mediaDevices) return;
    const found = await listDevices(kind);
    select.replaceChildren(...found.map((d) => h("option", { value: d.deviceId }, d.label || "Default")));
    select.disabled = found.length === 0;
    if (chosen && found.some((d) => d.deviceId === chosen)) select.value = chosen;
  }

  async function enter(): Promise<void> {
    if (!form.reportValidity()) return;
    submit.disabled = true;
    submit.textContent = "Joining…";
    try {
      const token = await obtainToken(room.value.trim(), name.value.trim());
      localStorage.setItem("transcribe.name", name.value.trim());
      localStorage.setItem("transcribe.room", room.value.trim());
      saveDevices({ microphone: microphones.value, camera: cameras.value });
      const region = query.get("region");
      const joined = await join({ token, name: name.value.trim(), ...(region ? { region } : {}) });
      meter.close();
      const meeting = new Meeting(app, joined, {
        admin: readClaims(token).admin === true,
        canPublish: readClaims(token).publish !== false,
        devices: savedDevices(),
        onClosed: (reason) => showLobby(app, reason),
      });
      await meeting.start(microphone, camera);
    } catch (error) {
      submit.disabled = false;
      submit.textContent = "Join the meeting";
      toast(error instanceof TranscribeError ? error.message : `Could not join: ${String(error)}`, "error");
    }
  }
}
