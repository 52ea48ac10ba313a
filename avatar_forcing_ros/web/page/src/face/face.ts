// What all faces have in common, and how a file becomes one.
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import type { Latent } from "./rig";
import { Portrait } from "./portrait";
import { ScreenFace } from "./screen";

/** Where the picture that the Python renderer makes lies, in metres. */
export interface Picture { left: number; top: number; side: number }

/** What a screen shows, in metres. */
export interface View { left: number; right: number; bottom: number; top: number }

export interface Face {
  readonly scene: THREE.Scene;
  readonly picture: Picture;
  readonly bounds: THREE.Box2;
  antialiased?: boolean; // told by the stage, where a face has its own way without
  camera?: THREE.Camera; // where a face brings its own view
  /** Shows a latent. frame: of the clock, for the breath; null: none. pixel: metres that one pixel of the screen shows. */
  update(latent: Latent, frame: number | null, pixel: number): void;
  /** What a screen of this aspect shows, where a face has its own mind about it. */
  framed?(aspect: number): View;
  /** The screen shows this part from now on. */
  viewed?(view: View): void;
  /** What is drawn over the finished picture. */
  after?(renderer: THREE.WebGLRenderer, camera: THREE.Camera): void;
  dispose(): void;
}

export const box = ([x0, y0, x1, y1]: [number, number, number, number]) =>
  new THREE.Box2(new THREE.Vector2(Math.min(x0, x1), Math.min(y0, y1)), new THREE.Vector2(Math.max(x0, x1), Math.max(y0, y1)));

/** A texture whose values reach the screen as they are. */
export function rawTexture(texture: THREE.Texture): THREE.Texture {
  texture.colorSpace = THREE.NoColorSpace;
  texture.minFilter = texture.magFilter = THREE.LinearFilter;
  texture.generateMipmaps = false;
  texture.wrapS = texture.wrapT = THREE.ClampToEdgeWrapping;
  texture.needsUpdate = true;
  return texture;
}

/** The JSON part of a binary glTF file. Throws an Error where it is none. */
function header(data: ArrayBuffer): { extensionsUsed?: string[] } {
  const view = new DataView(data);
  if (data.byteLength < 20 || view.getUint32(0, true) !== 0x46546c67) throw new Error("this file is no GLB or VRM");
  return JSON.parse(new TextDecoder().decode(new Uint8Array(data, 20, view.getUint32(12, true))));
}

/** Loads a face: one of ours, or an avatar with ARKit's blend shapes or VRM's expressions. Throws an Error that says what is wrong. */
export async function loadFace(data: ArrayBuffer): Promise<Face> {
  const loader = new GLTFLoader(), used = header(data).extensionsUsed ?? [];
  if (used.some((name) => name === "VRM" || name === "VRMC_vrm")) return (await import("./vrm")).loadVrm(loader, data);
  const gltf = await loader.parseAsync(data, "");
  const numbers = (gltf.scene.userData as { avatar_forcing?: { kind: string } }).avatar_forcing;
  if (numbers?.kind === "portrait") return Portrait.from(gltf, numbers as never);
  if (numbers?.kind === "screen") return new ScreenFace(gltf, numbers as never);
  return new (await import("./model")).ModelFace(gltf);
}
