// A publisher (WHIP) and a viewer (WHEP) made of libwebrtc (@roamhq/wrtc), not of this project's code.
// usage: node whip-whep.mjs '{"url":"http://127.0.0.1:8080","room":"r","publisherToken":"…","viewerToken":"…","participant":"cam","seconds":6}'
// Prints one JSON object with what the viewer got; exits 1 with a message on stderr where a step was refused.
import wrtc from "@roamhq/wrtc";

const { RTCPeerConnection, nonstandard } = wrtc;
const { RTCAudioSource, RTCVideoSource, RTCAudioSink, RTCVideoSink, rgbaToI420 } = nonstandard;
const options = JSON.parse(process.argv[2]);
const deadline = setTimeout(() => fail("timed out"), (options.seconds + 25) * 1000);

function fail(message) {
  console.error(message);
  process.exit(1);
}

async function exchange(pc, path, token) {
  const offer = await pc.createOffer();
  await pc.setLocalDescription(offer);
  if (pc.iceGatheringState !== "complete")
    await new Promise((resolve) => {
      pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && resolve();
      setTimeout(resolve, 1500);
    });
  const response = await fetch(options.url + path, {
    method: "POST",
    headers: { "content-type": "application/sdp", authorization: `Bearer ${token}` },
    body: pc.localDescription.sdp,
  });
  const answer = await response.text();
  if (response.status !== 201) fail(`POST ${path}: ${response.status} ${answer}`);
  if (!response.headers.get("content-type")?.startsWith("application/sdp")) fail(`POST ${path}: content type ${response.headers.get("content-type")}`);
  if (!answer.includes("a=candidate:")) fail(`POST ${path}: the answer has no candidates`);
  await pc.setRemoteDescription({ type: "answer", sdp: answer });
  return new URL(response.headers.get("location"), options.url + path).href;
}

function connected(pc, name) {
  return new Promise((resolve, reject) => {
    const check = () => {
      if (pc.connectionState === "connected") resolve();
      else if (pc.connectionState === "failed") reject(new Error(`${name}: connection failed`));
    };
    pc.onconnectionstatechange = check;
    check();
  });
}

async function remove(url, token) {
  const response = await fetch(url, { method: "DELETE", headers: { authorization: `Bearer ${token}` } });
  return response.status;
}

// --- publisher: a 440 Hz tone and a moving picture
const publisher = new RTCPeerConnection();
const audioSource = new RTCAudioSource();
const videoSource = new RTCVideoSource();
const stream = new wrtc.MediaStream();
publisher.addTransceiver(audioSource.createTrack(), { direction: "sendonly", streams: [stream] });
publisher.addTransceiver(videoSource.createTrack(), { direction: "sendonly", streams: [stream] });

let phase = 0;
const audioTimer = setInterval(() => {
  const samples = new Int16Array(480);
  for (let i = 0; i < 480; i++) samples[i] = 12000 * Math.sin((phase += (2 * Math.PI * 440) / 48000));
  audioSource.onData({ samples, sampleRate: 48000, bitsPerSample: 16, channelCount: 1, numberOfFrames: 480 });
}, 10);

const width = 320;
const height = 240;
let picture = 0;
const videoTimer = setInterval(() => {
  const rgba = new Uint8ClampedArray(width * height * 4);
  picture++;
  for (let i = 0; i < width * height; i++) {
    rgba[4 * i] = (i + picture * 7) & 255;
    rgba[4 * i + 1] = (picture * 3) & 255;
    rgba[4 * i + 2] = (i >> 8) & 255;
    rgba[4 * i + 3] = 255;
  }
  const data = new Uint8ClampedArray((width * height * 3) / 2);
  rgbaToI420({ width, height, data: rgba }, { width, height, data });
  videoSource.onFrame({ width, height, data });
}, 33);

try {
  const whip = await exchange(publisher, `/v1/whip/${options.room}`, options.publisherToken);
  await connected(publisher, "WHIP");

  const viewer = new RTCPeerConnection();
  const received = { audioFrames: 0, audioPeak: 0, videoFrames: 0, width: 0, height: 0 };
  viewer.addTransceiver("audio", { direction: "recvonly" });
  viewer.addTransceiver("video", { direction: "recvonly" });
  viewer.ontrack = ({ track }) => {
    if (track.kind === "audio")
      new RTCAudioSink(track).ondata = ({ samples }) => {
        received.audioFrames++;
        for (const sample of samples) received.audioPeak = Math.max(received.audioPeak, Math.abs(sample));
      };
    else
      new RTCVideoSink(track).onframe = ({ frame }) => {
        received.videoFrames++;
        received.width = frame.width;
        received.height = frame.height;
      };
  };
  const path = options.participant ? `/v1/whep/${options.room}/${options.participant}` : `/v1/whep/${options.room}`;
  const whep = await exchange(viewer, path, options.viewerToken);
  await connected(viewer, "WHEP");
  await new Promise((resolve) => setTimeout(resolve, options.seconds * 1000));

  const whepDelete = await remove(whep, options.viewerToken);
  const whipDelete = await remove(whip, options.publisherToken);
  console.log(JSON.stringify({ ...received, whepDelete, whipDelete, whepGone: await remove(whep, options.viewerToken) }));
  viewer.close();
} catch (error) {
  fail(String(error.stack ?? error));
}
clearInterval(audioTimer);
clearInterval(videoTimer);
clearTimeout(deadline);
publisher.close();
process.exit(0);
