// A drawn screen face, from the file that motion/gltf/screen.py writes, as motion/screen draws it.
import * as THREE from "three";
import type { GLTF } from "three/addons/loaders/GLTFLoader.js";
import { box, type Face, type Picture, rawTexture } from "./face";
import { Glow } from "./glow";
import { at, breath, clamp, DIM, type Idle, type Latent, type Name, rotationOf } from "./rig";
import { CHEEK_FRAGMENT, COLOUR_FRAGMENT, CORNERS_FRAGMENT, CORNERS_VERTEX, PLAIN_FRAGMENT, PLAIN_VERTEX } from "./shaders";

interface PartNumbers { node: string; part: string; role: "" | "clip" | "cheek" | "lip_line" | "upright" | "wrinkle"; clip: string; front: [number, number][] }
interface Numbers {
  metres_per_unit: number; face_unit: number; picture: Picture; face: [number, number, number, number]; low: number[]; high: number[];
  background: number[]; head: number[]; parts: PartNumbers[]; dome: number[]; lean: number; near: [number, number]; glow: [number, number, number]; parted: number;
  cheek: [number, number, number]; breath: number; idle: Idle;
}

/** Corners that coefficients move: at rest, and by each coefficient or product of some. */
class Moved {
  readonly positions: Float32Array;
  private readonly rest: Float32Array;
  private readonly targets: { of: number[]; way: Float32Array }[];
  constructor(source: THREE.BufferGeometry, names: Record<string, number>, front: [number, number][] = []) {
    this.rest = Float32Array.from(source.attributes.position.array);
    let k = 0;
    for (const [depth, count] of front) for (let i = 0; i < count; i++, k++) this.rest[3 * k + 2] -= depth; // that was for viewers without an order
    this.positions = new Float32Array(this.rest);
    this.targets = Object.entries(names).map(([name, i]) => ({
      of: name.split("*").map((n) => at[n as Name]), way: source.morphAttributes.position![i].array as Float32Array,
    }));
  }
  apply(latent: Latent): void {
    this.positions.set(this.rest);
    for (const { of, way } of this.targets) {
      const w = of.reduce((product, i) => product * latent[i], 1);
      if (w !== 0) for (let k = 0; k < way.length; k++) this.positions[k] += w * way[k];
    }
  }
}

interface Part { numbers: PartNumbers; moved: Moved; mesh: THREE.Mesh; material: THREE.ShaderMaterial }

export class ScreenFace implements Face {
  readonly scene = new THREE.Scene();
  readonly picture: Picture;
  private readonly parts: Part[] = [];
  private readonly skull: Moved;
  private readonly skullMesh: THREE.Mesh;
  private readonly glow?: Glow;
  private readonly value = new Float32Array(DIM);

  constructor(gltf: GLTF, private readonly numbers: Numbers) {
    this.picture = numbers.picture;
    const colour = { value: new THREE.Vector4(...numbers.background.map((c) => c / 255), 1) };
    this.scene.add(Object.assign(new THREE.Mesh(new THREE.PlaneGeometry(10, 10), new THREE.ShaderMaterial({
      vertexShader: PLAIN_VERTEX, fragmentShader: COLOUR_FRAGMENT, uniforms: { colour }, transparent: true, depthTest: false, depthWrite: false,
    })), { renderOrder: -1 }));
    const found = new Map<string, THREE.Mesh>();
    for (const scene of gltf.scenes) scene.traverse((o) => { if (o instanceof THREE.Mesh) found.set(o.name, o); });
    const skull = found.get("skull")!;
    this.skull = new Moved(skull.geometry, skull.morphTargetDictionary ?? {});
    this.skullMesh = this.add(this.skull, skull.geometry, 0, new THREE.ShaderMaterial({
      vertexShader: PLAIN_VERTEX, fragmentShader: PLAIN_FRAGMENT, uniforms: { map: { value: rawTexture((skull.material as THREE.MeshBasicMaterial).map!) } },
    }));
    const clips = new Map<string, number>();
    numbers.parts.forEach((part, i) => {
      const source = found.get(part.node)!, moved = new Moved(source.geometry, source.morphTargetDictionary ?? {}, part.front);
      const material = part.role === "cheek"
        ? new THREE.ShaderMaterial({ vertexShader: PLAIN_VERTEX, fragmentShader: CHEEK_FRAGMENT, uniforms: { map: { value: rawTexture((source.material as THREE.MeshBasicMaterial).map!) }, strength: { value: 1 } } })
        : new THREE.ShaderMaterial({ vertexShader: CORNERS_VERTEX, fragmentShader: CORNERS_FRAGMENT, uniforms: { fade: { value: 1 } } });
      if (part.role === "clip") {
        clips.set(part.part, clips.size + 1);
        Object.assign(material, { colorWrite: false, stencilWrite: true, stencilRef: clips.size, stencilZPass: THREE.ReplaceStencilOp });
      } else if (part.clip) Object.assign(material, { stencilWrite: true, stencilRef: clips.get(part.clip), stencilFunc: THREE.EqualStencilFunc });
      this.parts.push({ numbers: part, moved, material, mesh: this.add(moved, source.geometry, i + 1, material) });
    });
    if (numbers.glow[0] > 0) this.glow = new Glow(numbers.glow, numbers.head, numbers.face_unit);
  }

  private add(moved: Moved, source: THREE.BufferGeometry, order: number, material: THREE.ShaderMaterial): THREE.Mesh {
    const geometry = new THREE.BufferGeometry();
    geometry.setIndex(source.index);
    geometry.setAttribute("position", new THREE.BufferAttribute(moved.positions, 3));
    for (const name of ["uv", "color"]) if (source.attributes[name]) geometry.setAttribute(name, source.attributes[name]);
    Object.assign(material, { transparent: true, depthTest: false, depthWrite: false, side: THREE.DoubleSide });
    const mesh = Object.assign(new THREE.Mesh(geometry, material), { renderOrder: order, frustumCulled: false });
    this.scene.add(mesh);
    return mesh;
  }

  get bounds() { return box(this.numbers.face); }

  /** The shorter side of a screen shows the picture, the longer one more of its background. */
  framed(aspect: number) {
    const { left, top, side } = this.picture, width = side * Math.max(aspect, 1), height = side * Math.max(1 / aspect, 1), x = left + side / 2, y = top - side / 2;
    return { left: x - width / 2, right: x + width / 2, bottom: y - height / 2, top: y + height / 2 };
  }

  update(latent: Latent, frame: number | null, pixel: number): void {
    const { numbers, value } = this;
    for (let i = 0; i < DIM; i++) value[i] = clamp(Number.isFinite(latent[i]) ? latent[i] : 0, numbers.low[i], numbers.high[i]);
    const lift = frame === null ? 0 : numbers.breath * breath(numbers.idle, frame);
    const scale = Math.exp(value[at.headScale]), m = rotationOf(value[at.headYaw], value[at.headPitch], value[at.headRoll]);
    const x = value[at.headX] * numbers.metres_per_unit, y = value[at.headY] * numbers.metres_per_unit + lift, unit = numbers.face_unit, [more, from] = numbers.near;
    const turned = (p: ArrayLike<number>, k: number): [number, number] => {
      const near = scale * (1 + more * ((m[6] * p[k] + m[7] * p[k + 1] + m[8] * p[k + 2]) / unit - from));
      return [x + (m[0] * p[k] + m[1] * p[k + 1] + m[2] * p[k + 2]) * near, y + (m[3] * p[k] + m[4] * p[k + 1] + m[5] * p[k + 2]) * near];
    };
    for (const { numbers: part, moved, mesh } of this.parts) {
      moved.apply(value);
      const p = moved.positions;
      if (part.role === "upright") this.lookStraight(p, part.front[0][1], scale, turned);
      else for (let k = 0; k < p.length; k += 3) { [p[k], p[k + 1]] = turned(p, k); p[k + 2] = 0; }
      mesh.geometry.attributes.position.needsUpdate = true;
    }
    this.tilt(scale, m, x, y);
    this.fade(pixel, scale);
  }

  /** An iris goes with the head and is narrower where that turns; it is not tilted, nor is the light in it. first: corners of its edge. */
  private lookStraight(p: Float32Array, first: number, scale: number, turned: (p: number[], k: number) => [number, number]): void {
    const middle = [0, 0, 0], { face_unit: unit, dome } = this.numbers;
    let radius = 0;
    for (let k = 0; k < 3 * first; k++) middle[k % 3] += p[k] / first;
    for (let k = 0; k < 3 * first; k += 3) radius = Math.max(radius, p[k] - middle[0]);
    const depth = (x: number) => unit * (dome[0] * Math.sqrt(Math.max(1 - (x / unit / dome[1]) ** 2 - (middle[1] / unit / dome[2]) ** 2, 0)) + dome[3]);
    const [x, y] = turned([middle[0], middle[1], depth(middle[0])], 0), [u, v] = turned([middle[0] + radius, middle[1], depth(middle[0] + radius)], 0);
    const narrow = Math.min(Math.hypot(u - x, v - y) / (radius * scale), 1);
    for (let k = 0; k < p.length; k += 3) {
      [p[k], p[k + 1], p[k + 2]] = [x + (p[k] - middle[0]) * scale * narrow, y + (p[k + 1] - middle[1]) * scale, 0];
    }
  }

  /** The head's picture tilts and moves with the face, and leans a little with its turn. */
  private tilt(scale: number, m: number[], x: number, y: number): void {
    const { skull, numbers: { lean }, value } = this, p = skull.positions, roll = value[at.headRoll], [c, s] = [Math.cos(roll), Math.sin(roll)];
    skull.apply(value);
    for (let k = 0; k < p.length; k += 3) {
      const u = (c * p[k] + s * p[k + 1] + lean * m[2]) * scale, v = (-s * p[k] + c * p[k + 1] + lean * m[5]) * scale;
      p[k] = x + u; p[k + 1] = y + v; p[k + 2] = 0;
    }
    this.skullMesh.geometry.attributes.position.needsUpdate = true;
  }

  private fade(pixel: number, scale: number): void {
    const { numbers, value } = this, open = new Map<string, number>();
    for (const { numbers: part, moved, mesh, material } of this.parts) {
      if (part.role === "clip") {
        const n = moved.positions.length / 3;
        let widest = 0;
        for (let i = 0; i < n / 2; i++) widest = Math.max(widest, Math.hypot(moved.positions[3 * i] - moved.positions[3 * (n - 1 - i)], moved.positions[3 * i + 1] - moved.positions[3 * (n - 1 - i) + 1]));
        open.set(part.part, widest);
      } else if (part.clip) mesh.visible = open.get(part.clip)! > 0.3 * pixel;
      if (part.role === "lip_line") { material.uniforms.fade.value = 1 - clamp(open.get(part.part)! / scale / numbers.parted, 0, 1); mesh.visible = material.uniforms.fade.value > 0; }
      if (part.role === "wrinkle") { // disgust: the lip rises, the brows sink
        const wrinkled = Math.min(1.5 * value[at.mouthUpperUp], 0.8 * (value[at.browDownLeft] + value[at.browDownRight]), 1);
        mesh.visible = wrinkled > 0.1;
        material.uniforms.fade.value = wrinkled;
      }
      if (part.role === "cheek") {
        const side = part.part.replace("cheek", "") as "Left" | "Right", raised = 0.5 * (value[at[`mouthSmile${side}`]] + value[at[`eyeSquint${side}`]]);
        material.uniforms.strength.value = (numbers.cheek[0] + numbers.cheek[1] * raised) * (1 - numbers.cheek[2] * value[at[`mouthFrown${side}`]]);
      }
    }
  }

  /** Light that bright parts shed around them. */
  after(renderer: THREE.WebGLRenderer, camera: THREE.Camera): void { this.glow?.draw(renderer, this.scene, camera as THREE.OrthographicCamera); }

  dispose(): void {
    this.glow?.dispose();
    this.scene.traverse((o) => { if (o instanceof THREE.Mesh) { o.geometry.dispose(); (o.material as THREE.Material).dispose(); } });
  }
}
