// From the rig's coefficients to the names that other people's avatars have: ARKit's blend shapes, or VRM's expressions.
import { at, clamp, type Latent, type Name } from "./rig";

type Weight = (l: Latent) => number;
const of = (name: Name): Weight => (l) => l[at[name]];
const both = (name: string): Weight => (l) => 0.5 * (l[at[`${name}Left` as Name]] + l[at[`${name}Right` as Name]]);
const plus = (name: Name): Weight => (l) => Math.max(l[at[name]], 0), minus = (name: Name): Weight => (l) => Math.max(-l[at[name]], 0);

const SAME: Name[] = [
  "eyeBlinkLeft", "eyeBlinkRight", "eyeWideLeft", "eyeWideRight", "eyeSquintLeft", "eyeSquintRight", "browInnerUp", "browDownLeft", "browDownRight",
  "browOuterUpLeft", "browOuterUpRight", "jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthStretchLeft",
  "mouthStretchRight", "mouthPucker", "mouthFunnel",
];

/** ARKit's names. + of gazeX and jawX is toward image right, which is the person's left. */
export const ARKIT: Record<string, Weight> = {
  ...Object.fromEntries(SAME.map((name) => [name, of(name)])),
  jawLeft: plus("jawX"), jawRight: minus("jawX"),
  eyeLookOutLeft: plus("gazeX"), eyeLookInRight: plus("gazeX"), eyeLookInLeft: minus("gazeX"), eyeLookOutRight: minus("gazeX"),
  eyeLookUpLeft: plus("gazeY"), eyeLookUpRight: plus("gazeY"), eyeLookDownLeft: minus("gazeY"), eyeLookDownRight: minus("gazeY"),
  mouthPressLeft: of("mouthPress"), mouthPressRight: of("mouthPress"), mouthUpperUpLeft: of("mouthUpperUp"), mouthUpperUpRight: of("mouthUpperUp"),
  mouthLowerDownLeft: of("mouthLowerDown"), mouthLowerDownRight: of("mouthLowerDown"),
  cheekSquintLeft: (l) => 0.6 * l[at.mouthSmileLeft], cheekSquintRight: (l) => 0.6 * l[at.mouthSmileRight],
};

/** VRM's expressions, of avatars that have no more than these. */
export const VRM: Record<string, Weight> = {
  blinkLeft: of("eyeBlinkLeft"), blinkRight: of("eyeBlinkRight"),
  aa: (l) => clamp(1.4 * l[at.jawOpen], 0, 1), ou: of("mouthPucker"), oh: of("mouthFunnel"), ee: both("mouthStretch"),
  happy: (l) => 0.8 * both("mouthSmile")(l), sad: (l) => 0.8 * both("mouthFrown")(l), angry: (l) => 0.5 * both("browDown")(l), surprised: (l) => 0.6 * both("eyeWide")(l),
};

/** A name as its meaning: without what stands before the last dot, without case and underscores, _L and _R spelt out. */
export const plainName = (name: string) => name.slice(name.lastIndexOf(".") + 1).replace(/[_ ]l$/i, "left").replace(/[_ ]r$/i, "right").replace(/[_ ]/g, "").toLowerCase();

const KNOWN = new Map(Object.entries(ARKIT).map(([name, weight]) => [plainName(name), weight]));
export const arkitWeight = (name: string) => KNOWN.get(plainName(name));
