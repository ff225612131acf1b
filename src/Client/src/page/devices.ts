/** Local devices: asks, falls back, and explains refusals in words a person can act on. */

export interface DeviceChoice {
  microphone?: string;
  camera?: string;
}

const Key = "transcribe.devices";

export function savedDevices(): DeviceChoice {
  try {
    return JSON.parse(localStorage.getItem(Key) ?? "{}") as DeviceChoice;
  } catch {
    return {};
  }
}

export function saveDevices(choice: DeviceChoice): void {
  localStorage.setItem(Key, JSON.stringify(choice));
}

export async function openMicrophone(deviceId?: string): Promise<MediaStreamTrack> {
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: {
      ...(deviceId ? { deviceId: { ideal: deviceId } } : {}),
      echoCancellation: true,
      noiseSuppression: true,
      autoGainControl: true,
    },
  });
  return stream.getAudioTracks()[0] as MediaStreamTrack;
}

export async function openCamera(deviceId?: string): Promise<MediaStreamTrack> {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { ...(deviceId ? { deviceId: { ideal: deviceId } } : {}), width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } },
  });
  return stream.getVideoTracks()[0] as MediaStreamTrack;
}

export async function listDevices(kind: "audioinput" | "videoinput"): Promise<MediaDeviceInfo[]> {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((d) => d.kind === kind && d.deviceId !== "");
}

/** Why a device could not be opened, and what to do. */
export function explainDeviceError(error: unknown, device: "microphone" | "camera" | "screen"): string {
  const name = error instanceof DOMException ? error.name : "";
  switch (name) {
    case "NotAllowedError":
      return device === "screen" ? "Screen sharing was cancelled." : `The browser blocks the ${device}. Allow it beside the address bar, then try again.`;
    case "NotFoundError":
      return `No ${device} was found. Plug one in, then try again.`;
    case "NotReadableError":
      return `The ${device} is in use by another program. Close that program, then try again.`;
    default:
      return `The ${device} could not be opened${error instanceof Error ? `: ${error.message}` : "."}`;
  }
}
