// The avatar's voice: decoded, put on the audio clock, and heard.
import type { Delay, ServerClock } from "./clock";

const OPUS = 1, BEGINS = 1, FLUSH = 2;
const RATE = 48_000;

export interface Heard { context: number; presentation: number; away: number; played: number; ahead: number }

export const canOpus = () => "AudioDecoder" in globalThis;

export class Sound {
  private context?: AudioContext;
  private node?: AudioWorkletNode;
  private gain?: GainNode;
  private decoder?: AudioDecoder;
  private sequence = -1;
  private follows = false;
  private heard?: Heard;
  private lastSpoken = -Infinity; // performance ms
  private timer = 0;
  level = 0;
  late = 0;

  constructor(private readonly clock: ServerClock, private readonly delay: Delay) {}

  /** Call it from a click or a key: browsers ask for one before they make a sound. */
  async start(): Promise<void> {
    if (!this.context) {
      this.context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
      await this.context.audioWorklet.addModule("worklet.js");
      this.node = new AudioWorkletNode(this.context, "player", { numberOfInputs: 0, outputChannelCount: [2] });
      this.node.port.onmessage = ({ data }) => { this.heard = data; };
      this.gain = new GainNode(this.context);
      this.node.connect(this.gain).connect(this.context.destination);
      this.timer = window.setInterval(() => this.tick(), 50);
    }
    await this.context.resume();
  }

  stop(): void { clearInterval(this.timer); void this.context?.close(); this.context = undefined; this.decoder = undefined; }

  set muted(on: boolean) { this.gain?.gain.setTargetAtTime(on ? 0 : 1, this.context!.currentTime, 0.01); }
  get running(): boolean { return this.context?.state === "running"; }
  get speaking(): boolean { return performance.now() - this.lastSpoken < 400; }

  /** The presentation time that is heard when the page's clock shows this (performance ms); by the wall clock where nothing can be heard. */
  presentationAt(ms: number): number {
    const output = this.output();
    if (output && this.heard && this.speaking) {
      return this.heard.presentation + (output.context + (ms - output.ms) / 1000 - this.heard.context);
    }
    return this.due(ms);
  }

  /** The presentation time that should be heard and seen at a moment. */
  due(ms: number): number { return (performance.timeOrigin + ms) / 1000 + this.clock.offset - this.delay.value; }

  /** How far sound is behind (+) its due time, s. */
  get away(): number { return this.heard?.away ?? 0; }

  /** Which time of the audio clock leaves the loudspeaker at which time of the page. */
  private output(): { context: number; ms: number } | undefined {
    if (!this.context || this.context.state !== "running") return undefined;
    const stamp = this.context.getOutputTimestamp?.();
    if (stamp?.performanceTime && stamp.contextTime) return { context: stamp.contextTime, ms: stamp.performanceTime };
    return { context: this.context.currentTime - (this.context.outputLatency || this.context.baseLatency || 0), ms: performance.now() };
  }

  private tick(): void {
    this.delay.step(this.speaking);
    const output = this.output();
    if (output && this.clock.known) this.node!.port.postMessage({ type: "clock", context: output.context, presentation: this.due(output.ms) });
  }

  /** A message of the channel `sound`. */
  take(data: ArrayBuffer): void {
    if (data.byteLength < 20) return;
    const view = new DataView(data);
    if (view.getUint8(0) !== 1) return;
    const codec = view.getUint8(1), flags = view.getUint16(2, true), sequence = view.getUint32(4, true), time = view.getFloat64(8, true), rate = view.getUint32(16, true);
    if (flags & FLUSH) { this.node?.port.postMessage({ type: "flush", time }); this.sequence = -1; }
    if (data.byteLength === 20) return;
    if (sequence <= this.sequence && this.sequence - sequence < 1000) return; // it came too late to be of use
    this.follows = sequence === this.sequence + 1 && !(flags & BEGINS);
    this.sequence = sequence;
    const late = (performance.timeOrigin + performance.now()) / 1000 - this.clock.local(time);
    if (this.clock.known) this.delay.arrived(late);
    if (late > this.delay.value + 0.02) this.late++;
    if (codec === OPUS) this.decode(new Uint8Array(data, 20), time);
    else {
      const pcm = new Int16Array(data.slice(20, 20 + ((data.byteLength - 20) & ~1)));
      this.play(resampled(Float32Array.from(pcm, (x) => x / 32768), rate), time, this.follows);
    }
  }

  private decode(data: Uint8Array<ArrayBuffer>, time: number): void {
    if (!this.decoder || this.decoder.state === "closed") {
      this.decoder = new AudioDecoder({
        output: (frame) => {
          const samples = new Float32Array(frame.numberOfFrames);
          frame.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
          this.play(resampled(samples, frame.sampleRate), frame.timestamp / 1e6, true);
          frame.close();
        },
        error: () => { this.decoder = undefined; },
      });
      this.decoder.configure({ codec: "opus", sampleRate: RATE, numberOfChannels: 1 });
    }
    this.decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: Math.round(time * 1e6), data }));
  }

  private play(samples: Float32Array, time: number, follows: boolean): void {
    let sum = 0;
    for (const x of samples) sum += x * x;
    this.level = Math.sqrt(sum / Math.max(samples.length, 1));
    this.lastSpoken = performance.now();
    this.node?.port.postMessage({ type: "sound", time, samples, follows }, [samples.buffer]);
  }
}

function resampled(samples: Float32Array, rate: number): Float32Array {
  if (rate === RATE || !rate) return samples;
  const out = new Float32Array(Math.round((samples.length * RATE) / rate));
  for (let i = 0; i < out.length; i++) {
    const x = Math.min((i * rate) / RATE, samples.length - 1), n = Math.floor(x), f = x - n;
    out[i] = samples[n] * (1 - f) + samples[Math.min(n + 1, samples.length - 1)] * f;
  }
  return out;
}
