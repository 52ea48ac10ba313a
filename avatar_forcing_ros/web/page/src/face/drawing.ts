// A face alone, for pages of others and for tests: `const face = await openFace(canvas, bytes); face.draw(latent)`.
import { loadFace } from "./face";
import { NAMES, type Latent } from "./rig";
import { Stage } from "./stage";

export { NAMES };

export async function openFace(canvas: HTMLCanvasElement, data: ArrayBuffer, exact = false, antialias = true) {
  const stage = new Stage(canvas, exact, antialias), face = await loadFace(data);
  stage.show(face);
  return {
    /** latent: 32 numbers in the order of NAMES. frame: of the 25 Hz clock, for the breath; null: none. */
    draw: (latent: Latent | number[], frame: number | null = null) => stage.draw(Float32Array.from(latent), frame),
    resize: (width: number, height: number) => stage.resize(width, height),
    stage,
  };
}

(globalThis as unknown as Record<string, unknown>).avatarFace = { openFace, NAMES };
