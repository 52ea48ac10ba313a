// Latents as they arrive, out of order and some of them never, and the latent of any moment between them.
import { DIM, FRAME_RATE, type Latent } from "../face/rig";

const KEPT = 100; // frames
const HELD = 0.6; // s; after the last frame the face keeps its pose so long, then goes to rest
const RELAX = 1.2; // s; in which it does
const REJOIN = 0.06; // s; after a gap the face glides to where the motion is now
export const FLAG_NEW = 1, FLAG_OPERATOR = 2, FLAG_NO_FACE = 4;

export interface Packet { flags: number; frame: number; time: number; latents: Latent[] } // the newest frame first

const HALF = (() => { // all float16 values; browsers differ in knowing them
  const table = new Float32Array(65536);
  for (let h = 0; h < 65536; h++) {
    const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
    table[h] = sign * (exponent === 0 ? 2 ** -24 * fraction : exponent === 31 ? (fraction ? NaN : Infinity) : 2 ** (exponent - 15) * (1 + fraction / 1024));
  }
  return table;
})();

/** The float16 nearest to a number. */
export function toHalf(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0, size = Math.min(Math.abs(x), 65504);
  if (!(size > 0)) return sign;
  const exponent = Math.max(Math.floor(Math.log2(size)), -14), step = 2 ** (exponent - 10);
  const units = Math.round(size / step); // of the last place: 1024 to 2048 for normal numbers
  return sign | (units >= 1024 ? ((exponent + 15) << 10) + (units - 1024) : units);
}

/** Reads a packet of the protocol; undefined where it is none. */
export function readPacket(data: ArrayBuffer): Packet | undefined {
  const view = new DataView(data);
  if (data.byteLength < 16 || view.getUint8(0) !== 1) return undefined;
  const dim = view.getUint8(1), count = view.getUint8(2);
  if (dim !== DIM || data.byteLength < 16 + 2 * dim * count) return undefined;
  const latents = Array.from({ length: count }, (_, k) =>
    Float32Array.from({ length: dim }, (_, i) => { const x = HALF[view.getUint16(16 + 2 * (k * dim + i), true)]; return Number.isFinite(x) ? x : 0; }));
  return { flags: view.getUint8(3), frame: view.getUint32(4, true), time: view.getFloat64(8, true), latents };
}

/** A packet of latents, or of other values as long as each other. */
export function writePacket({ flags, frame, time, latents }: { flags: number; frame: number; time: number; latents: ArrayLike<number>[] }): ArrayBuffer {
  const dim = latents[0]?.length ?? DIM, data = new ArrayBuffer(16 + 2 * dim * latents.length), view = new DataView(data);
  [1, dim, latents.length, flags].forEach((x, i) => view.setUint8(i, x));
  view.setUint32(4, frame >>> 0, true);
  view.setFloat64(8, time, true);
  latents.forEach((latent, k) => { for (let i = 0; i < dim; i++) view.setUint16(16 + 2 * (k * dim + i), toHalf(latent[i]), true); });
  return data;
}

export class MotionBuffer {
  private frames: { frame: number; time: number; latent: Latent }[] = []; // by frame
  private shown = -Infinity;
  private held = false; // the last picture had no frame after it
  private sampled = -Infinity; // when that was
  private readonly away: Latent = new Float32Array(DIM); // from the motion, after a gap
  lost = 0; // frames that were due and never came
  late = 0; // frames that came when they had been due
  operator = false;
  rest: Latent = new Float32Array(DIM);

  clear(): void { this.frames = []; this.shown = -Infinity; this.held = false; this.away.fill(0); }

  /** due: the presentation time that is shown now. Returns the time of its earliest frame that was not known. */
  add(packet: Packet, due: number): number | undefined {
    if (packet.flags & FLAG_NEW) this.clear();
    this.operator = (packet.flags & FLAG_OPERATOR) !== 0;
    let earliest: number | undefined;
    packet.latents.forEach((latent, k) => {
      const frame = packet.frame - k, time = packet.time - k / FRAME_RATE;
      let i = this.frames.length;
      while (i > 0 && this.frames[i - 1].frame > frame) i--;
      if (i > 0 && this.frames[i - 1].frame === frame) return;
      if (frame <= this.shown) { if (time < due) this.late++; return; }
      this.frames.splice(i, 0, { frame, time, latent });
      earliest = Math.min(earliest ?? Infinity, time);
    });
    // Clocks that jumped back leave frames of a future that will not come.
    const last = this.frames.at(-1);
    if (last && packet.latents.length && last.time > packet.time + 5) this.frames = this.frames.filter((f) => f.frame <= packet.frame);
    this.frames.splice(0, Math.max(this.frames.length - KEPT, 0));
    return earliest;
  }

  /** The frame of the clock at a presentation time, with its fraction. */
  frameAt(time: number): number {
    const last = this.frames.at(-1);
    return last ? last.frame + (time - last.time) * FRAME_RATE : time * FRAME_RATE;
  }

  /** The latent at a presentation time, into `out`, which holds the one before. Between two frames it goes straight, over a lost one too. */
  sample(time: number, out: Latent): void {
    const before = Float32Array.from(out), waited = this.held, since = time - this.sampled;
    this.held = this.between(time, out);
    this.sampled = time;
    const resumes = waited && !this.held, fades = resumes ? 1 : Math.exp(-Math.max(since, 0) / REJOIN);
    for (let k = 0; k < DIM; k++) {
      this.away[k] = (resumes ? before[k] - out[k] : this.away[k]) * fades;
      out[k] += this.away[k];
    }
  }

  /** As `sample`, without the gliding. Whether the newest frame has passed. */
  private between(time: number, out: Latent): boolean {
    const { frames } = this;
    let i = frames.length - 1;
    while (i >= 0 && frames[i].time > time) i--;
    const before = frames[i], after = frames[i + 1];
    if (before && before.frame > this.shown) {
      if (this.shown > -Infinity) for (let f = this.shown + 1, k = 0; f < before.frame && k < 50; f++, k++) if (!frames.some((x) => x.frame === f)) this.lost++;
      this.shown = before.frame;
    }
    if (!before) { out.set(after ? after.latent : this.rest); return false; }
    if (after) {
      const share = Math.min(Math.max((time - before.time) / Math.max(after.time - before.time, 1e-3), 0), 1);
      for (let k = 0; k < DIM; k++) out[k] = before.latent[k] + share * (after.latent[k] - before.latent[k]);
    } else {
      const share = Math.min(Math.max((time - before.time - HELD) / RELAX, 0), 1), soft = share * share * (3 - 2 * share);
      for (let k = 0; k < DIM; k++) out[k] = before.latent[k] + soft * (this.rest[k] - before.latent[k]);
    }
    if (i > 3) frames.splice(0, i - 3);
    return after === undefined;
  }
}
