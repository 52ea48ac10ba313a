// Runs on the audio thread: plays sound at its presentation time, and follows a drifting clock without a click.
// The main thread says which presentation time is due at which time of the audio clock, and sends sound as it comes.

declare const sampleRate: number;
declare const currentFrame: number;
declare class AudioWorkletProcessor { readonly port: MessagePort }
declare function registerProcessor(name: string, processor: unknown): void;

const SECONDS = 8; // of sound that is kept
const SNAP = 0.08; // s; farther off than this the position jumps, faded
const STEEPEST = 0.005; // of the speed; a change of pitch that nobody hears
const FADE = 240; // samples; 5 ms

type Message =
  | { type: "clock"; context: number; presentation: number }
  | { type: "sound"; time: number; samples: Float32Array; follows: boolean }
  | { type: "flush"; time: number };

class Player extends AudioWorkletProcessor {
  private readonly ring = new Float32Array(SECONDS * sampleRate);
  private readonly known = new Uint8Array(SECONDS * sampleRate);
  private base = 0; // presentation time of sample number zero
  private anchored = false;
  private end = -1; // sample number after the newest sound
  private next = -1; // where a sound that follows the last one begins
  private position = 0; // sample number, with a fraction
  private clock?: { context: number; presentation: number };
  private gain = 0;
  private blocks = 0;
  private played = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }: MessageEvent<Message>) => this.take(data);
  }

  private take(message: Message): void {
    if (message.type === "clock") {
      if (!this.anchored || Math.abs(message.presentation - this.base) > 3600) this.anchor(message.presentation);
      this.clock = message;
    } else if (message.type === "flush") {
      const from = Math.max(Math.ceil(this.number(message.time)), Math.ceil(this.position) + FADE);
      for (let i = from; i < this.end; i++) this.known[i % this.known.length] = 0;
      this.end = Math.min(this.end, from);
      this.next = -1;
    } else if (this.anchored) this.put(message);
  }

  private anchor(presentation: number): void {
    this.base = presentation - SECONDS;
    this.known.fill(0);
    this.position = this.number(presentation);
    this.end = this.next = -1;
    this.anchored = true;
  }

  private number(time: number): number { return (time - this.base) * sampleRate; }

  private put({ time, samples, follows }: Message & { type: "sound" }): void {
    let start = Math.round(this.number(time));
    if (follows && Math.abs(start - this.next) < 0.01 * sampleRate) start = this.next; // no seam from rounded times
    this.next = start + samples.length;
    const size = this.ring.length, first = Math.floor(this.position), tooFar = first + size - 4 * FADE;
    for (let i = 0; i < samples.length; i++) {
      const n = start + i;
      if (n < first || n >= tooFar) continue;
      this.ring[n % size] = samples[i];
      this.known[n % size] = 1;
    }
    this.end = Math.max(this.end, this.next);
  }

  process(_: Float32Array[][], [output]: Float32Array[][]): boolean {
    const out = output[0], size = this.ring.length;
    if (!this.clock || !this.anchored) return true;
    const due = this.number(this.clock.presentation + currentFrame / sampleRate - this.clock.context);
    let away = (due - this.position) / sampleRate, speed = 1;
    const silent = this.silent();
    if (Math.abs(away) > (silent ? 0.0002 : SNAP)) {
      if (silent || this.gain === 0) { this.forget(due); this.position = due; away = 0; this.gain = 0; }
    } else speed += Math.min(Math.max(away * 0.5, -STEEPEST), STEEPEST);
    const leaving = Math.abs(away) > SNAP; // fade out, then jump
    for (let i = 0; i < out.length; i++) {
      const n = Math.floor(this.position), f = this.position - n, a = n % size, b = (n + 1) % size;
      const here = n >= 0 && this.known[a] === 1, goal = here && !leaving ? 1 : 0;
      // A missing piece fades out from the last sample's neighbourhood and the next one fades in.
      this.gain += Math.min(Math.max(goal - this.gain, -1 / FADE), 1 / FADE);
      out[i] = n >= 0 ? this.gain * (this.ring[a] * (1 - f) + this.ring[b] * f) : 0;
      if (here) this.played++;
      const past = (n - 2 * FADE + size) % size;
      this.known[past] = 0;
      this.ring[past] = 0;
      this.position += speed;
    }
    for (let c = 1; c < output.length; c++) output[c].set(out);
    if (++this.blocks % 8 === 0) this.port.postMessage({
      context: (currentFrame + out.length) / sampleRate, presentation: this.base + this.position / sampleRate, away, played: this.played,
      ahead: Math.max(this.end - this.position, 0) / sampleRate,
    });
    return true;
  }

  private silent(): boolean { return this.gain === 0 && !(this.end > this.position && this.known[Math.floor(this.position + 1) % this.known.length]); }

  /** A jump leaves no sound behind that would be heard again when the ring comes round. */
  private forget(goal: number): void {
    const from = Math.floor(Math.min(this.position, goal)) - 2 * FADE, to = Math.min(Math.floor(Math.max(this.position, goal)), from + this.ring.length);
    if (goal > this.position) for (let n = Math.max(from, 0); n < to; n++) { this.known[n % this.known.length] = 0; this.ring[n % this.ring.length] = 0; }
  }
}

registerProcessor("player", Player);
