// The canvas: what part of the face's picture it shows, and how it is drawn.
import * as THREE from "three";
import type { Face, Picture, View } from "./face";
import { clamp, type Latent } from "./rig";

const TIGHTEST = 0.8, LOWEST = 0.9; // of the picture's side: a narrow screen shows so much of its width, a wide one of its height

/** What a screen of this aspect (width over height) shows of a picture: left, right, bottom, top in metres. */
export function framed({ left, top, side }: Picture, aspect: number): View {
  const height = aspect >= 1 ? Math.max(1 / aspect, LOWEST) : Math.max(aspect, TIGHTEST) / aspect;
  const width = height * aspect;
  // On a high screen the shoulders stand on its lower border; on a wide one the eyes stay where they are.
  const upper = height > 1 ? 1 - height : (1 - height) * 0.25;
  return { left: left + side * (0.5 - width / 2), right: left + side * (0.5 + width / 2), top: top - side * upper, bottom: top - side * (upper + height) };
}

/** Whether WebGL is drawn by the processor here: smooth edges cost half of the speed then. */
export function drawnBySoftware(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2"), info = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = info ? String(gl!.getParameter(info.UNMASKED_RENDERER_WEBGL)) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software|basic render/i.test(name);
}

export class Stage {
  readonly renderer: THREE.WebGLRenderer;
  private readonly camera = new THREE.OrthographicCamera();
  private pixel = 1;
  private face?: Face;

  /** canvas: where the face appears. exact: square pictures as the Python renderer makes them, for tests. */
  constructor(readonly canvas: HTMLCanvasElement, private readonly exact = false, private readonly antialias = true) {
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias, alpha: false, powerPreference: "high-performance", stencil: true });
    this.camera.position.z = 5;
    this.camera.near = 0.01;
    this.camera.far = 20;
  }

  show(face: Face): void {
    this.face?.dispose();
    this.face = face;
    if (face.antialiased !== undefined) face.antialiased = this.antialias;
    this.resize(this.canvas.width, this.canvas.height);
  }

  /** width, height: of the drawing in pixels; the page may stretch it over the screen. */
  resize(width: number, height: number): void {
    this.renderer.setPixelRatio(1);
    this.renderer.setSize(width, height, false);
    if (!this.face) return;
    const aspect = this.exact ? 1 : width / height, view = this.face.framed?.(aspect) ?? framed(this.face.picture, aspect);
    this.face.viewed?.(view);
    Object.assign(this.camera, view);
    this.camera.updateProjectionMatrix();
    this.pixel = (view.right - view.left) / width;
    const own = this.face.camera;
    if (own instanceof THREE.PerspectiveCamera) { own.aspect = width / height; own.updateProjectionMatrix(); }
  }

  draw(latent: Latent, frame: number | null): void {
    if (!this.face) return;
    this.face.update(latent, frame, this.pixel);
    this.renderer.render(this.face.scene, this.face.camera ?? this.camera);
    this.face.after?.(this.renderer, this.camera);
  }

  /** Where the face at rest is on the canvas, pixels from its upper left corner. */
  faceBox(): { left: number; top: number; right: number; bottom: number } {
    const { min, max } = this.face!.bounds, { width, height } = this.canvas, c = this.camera;
    const x = (v: number) => ((v - c.left) / (c.right - c.left)) * width, y = (v: number) => ((c.top - v) / (c.top - c.bottom)) * height;
    return { left: x(min.x), top: y(max.y), right: x(max.x), bottom: y(min.y) };
  }

  /** Mean grey, 0 to 255, of 8 x 8 parts of the face's box as just drawn; call it right after draw. */
  thumbnail(): number[] {
    const gl = this.renderer.getContext(), box = this.faceBox(), out: number[] = [];
    const [left, right] = [box.left, box.right].map((v) => Math.round(clamp(v, 0, this.canvas.width))), [top, bottom] = [box.top, box.bottom].map((v) => Math.round(clamp(v, 0, this.canvas.height)));
    const width = Math.max(right - left, 1), height = Math.max(bottom - top, 1), pixels = new Uint8Array(4 * width * height);
    gl.readPixels(left, this.canvas.height - bottom, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    const x = (k: number) => Math.round((width * k) / 8), y = (k: number) => Math.round((height * k) / 8);
    for (let j = 0; j < 8; j++) for (let i = 0; i < 8; i++) {
      let sum = 0, count = 0;
      for (let v = y(j); v < y(j + 1); v += 2) for (let u = x(i); u < x(i + 1); u += 2) {
        const k = 4 * ((height - 1 - v) * width + u);
        sum += pixels[k] + pixels[k + 1] + pixels[k + 2]; count += 3;
      }
      out.push(count ? Math.round((10 * sum) / count) / 10 : 0);
    }
    return out;
  }
}
