// The rig: 32 coefficients, as avatar_forcing_ros/motion/rig.py defines them.
export const NAMES = [
  "headYaw", "headPitch", "headRoll", "headX", "headY", "headScale", "gazeX", "gazeY",
  "eyeBlinkLeft", "eyeBlinkRight", "eyeWideLeft", "eyeWideRight", "eyeSquintLeft", "eyeSquintRight",
  "browInnerUp", "browDownLeft", "browDownRight", "browOuterUpLeft", "browOuterUpRight",
  "jawOpen", "jawX", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
  "mouthStretchLeft", "mouthStretchRight", "mouthPucker", "mouthFunnel", "mouthPress", "mouthUpperUp", "mouthLowerDown",
] as const;
export type Name = (typeof NAMES)[number];
export const DIM = NAMES.length;
export const FRAME_RATE = 25;
export const at = Object.fromEntries(NAMES.map((name, i) => [name, i])) as Record<Name, number>;
export const SIDES = ["Right", "Left"] as const; // the person's own

export type Latent = Float32Array;

/** Numbers by which a face sways and breathes (motion/idle.py). */
export interface Idle {
  micro: [number, number, number, number][]; // coefficient, hertz, amplitude, phase
  breaths: [number, number];
  of_breath: [number, number][];
}

/** How full the chest is at a frame of the clock, 0 to 1. */
export function breath(idle: Idle, frame: number): number {
  const t = frame / FRAME_RATE;
  const phase = 2 * Math.PI * idle.breaths[0] * t + 0.8 * Math.sin(2 * Math.PI * idle.breaths[1] * t);
  return 0.5 - 0.5 * Math.cos(phase + 0.4 * Math.sin(phase));
}

/** Adds a slow sway of the head, and its part in the breath, in place. */
export function addMicroMotion(idle: Idle, frame: number, latent: Latent): void {
  const t = frame / FRAME_RATE;
  for (const [i, hertz, amplitude, phase] of idle.micro) latent[i] += amplitude * Math.sin(2 * Math.PI * hertz * t + phase);
  const full = breath(idle, frame);
  for (const [i, amount] of idle.of_breath) latent[i] += amount * full;
}

/** Rows of the rotation for yaw, pitch, roll: nod first, then turn, then tilt (motion/landmarks.py, rotation_of). */
export function rotationOf(yaw: number, pitch: number, roll: number): number[] {
  const [sy, sp, sr] = [yaw, pitch, roll].map(Math.sin), [cy, cp, cr] = [yaw, pitch, roll].map(Math.cos);
  // turn * nod
  const m = [cy, -sy * sp, sy * cp, 0, cp, sp, -sy, -cy * sp, cy * cp];
  // tilt * (turn * nod)
  return [
    cr * m[0] + sr * m[3], cr * m[1] + sr * m[4], cr * m[2] + sr * m[5],
    -sr * m[0] + cr * m[3], -sr * m[1] + cr * m[4], -sr * m[2] + cr * m[5],
    m[6], m[7], m[8],
  ];
}

export const clamp = (x: number, low: number, high: number) => Math.min(Math.max(x, low), high);
export const smoothstep = (x: number) => { const t = clamp(x, 0, 1); return t * t * (3 - 2 * t); };

/** A latent as a photo can show it (motion/portrait/limits.py): soft limits, and no combinations that break a face. */
export function resolved(motion: Latent, knee: number[], limit: number[], low: number[]): Latent {
  const out = new Float32Array(DIM);
  for (let i = 0; i < DIM; i++) {
    const x = Number.isFinite(motion[i]) ? motion[i] : 0, size = Math.abs(x), room = Math.max(limit[i] - knee[i], 1e-6);
    const soft = size > knee[i] ? limit[i] - room * Math.exp(-(size - knee[i]) / room) : size;
    out[i] = low[i] === 0 ? Math.max(Math.sign(x) * soft, 0) : Math.sign(x) * soft;
  }
  const v = Object.fromEntries(NAMES.map((name, i) => [name, out[i]])) as Record<Name, number>;
  const scale = (name: Name, share: number) => { out[at[name]] *= clamp(share, 0, 1); };
  const turn = Math.hypot(v.headYaw / limit[at.headYaw], v.headPitch / limit[at.headPitch]);
  if (turn > 1) { scale("headYaw", 1 / turn); scale("headPitch", 1 / turn); }
  for (const side of SIDES) {
    scale(`eyeWide${side}`, 1 - v[`eyeBlink${side}`]);
    scale(`eyeSquint${side}`, 1 - 0.5 * v[`eyeBlink${side}`]);
    const both = Math.min(v[`mouthSmile${side}`], v[`mouthFrown${side}`]);
    out[at[`mouthSmile${side}`]] -= both;
    out[at[`mouthFrown${side}`]] -= both;
  }
  const wide = Math.max(v.mouthSmileLeft, v.mouthSmileRight, v.mouthStretchLeft, v.mouthStretchRight);
  scale("mouthPucker", 1 - 0.5 * wide - 0.6 * v.jawOpen);
  scale("mouthFunnel", 1 - 0.5 * wide);
  scale("mouthPress", 1 - 3 * v.jawOpen);
  scale("mouthLowerDown", 1 - 0.6 * v.jawOpen);
  scale("mouthUpperUp", 1 - 0.4 * v.mouthFunnel);
  return out;
}
