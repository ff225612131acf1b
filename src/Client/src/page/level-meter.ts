import { h } from "./dom";

/** A bar that moves with a microphone, so that people see it works before they join. */
export class LevelMeter {
  readonly element = h("div", { class: "meter", role: "img", "aria-label": "Microphone level" }, h("div", {}));
  #context: AudioContext | undefined;
  #source: MediaStreamAudioSourceNode | undefined;
  #frame = 0;

  watch(track: MediaStreamTrack | undefined): void {
    cancelAnimationFrame(this.#frame);
    this.#source?.disconnect();
    this.#source = undefined;
    const bar = this.element.firstElementChild as HTMLElement;
    bar.style.width = "0";
    if (!track) return;
    this.#context ??= new AudioContext();
    const analyser = new AnalyserNode(this.#context, { fftSize: 512 });
    this.#source = this.#context.createMediaStreamSource(new MediaStream([track]));
    this.#source.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const draw = () => {
      analyser.getFloatTimeDomainData(samples);
      const rms = Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
      bar.style.width = `${Math.min(100, Math.max(0, 100 + 20 * Math.log10(rms + 1e-6) * 1.6))}%`;
      this.#frame = requestAnimationFrame(draw);
    };
    draw();
  }

  close(): void {
    this.watch(undefined);
    void this.#context?.close();
    this.#context = undefined;
  }
}
