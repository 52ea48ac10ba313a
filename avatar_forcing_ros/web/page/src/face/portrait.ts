// An animated photo, drawn from the file that motion/gltf/portrait.py writes, as motion/portrait draws it.
import * as THREE from "three";
import type { GLTF } from "three/addons/loaders/GLTFLoader.js";
import { at, breath, clamp, DIM, Idle, Latent, resolved, rotationOf, SIDES, smoothstep } from "./rig";
import { COLOUR_FRAGMENT, EYE_FRAGMENT, MOUTH_FRAGMENT, OPENING_VERTEX, PLAIN_FRAGMENT, PLAIN_VERTEX } from "./shaders";
import { box, Face, Picture, rawTexture, type View } from "./face";

interface EyeNumbers {
  node: string; lids: [number[], number[]]; middle: [number, number]; anchor: number[]; detail: number; look: number[];
  width: number; lid_edge: number; gap: number; lash: number[]; lash_width: number;
}
interface Layer { node: string; anchor: number[]; moves: boolean; shade: [number, number, number] }
interface Numbers {
  metres_per_unit: number; picture: Picture; face: [number, number, number, number];
  gain: number[]; knee: number[]; limit: number[]; low: number[]; turns: number; lowest_look: number; down: number[];
  breath: number; idle: Idle; lips: [number[], number[]]; eyes: Record<string, EyeNumbers>;
  mouth: { layers: Layer[]; colour: number[]; teeth: number[]; jaw_open: number[]; jaw_x: number[] };
}

/** The head's turning: rows of a 3x3 with its scale, and a shift. */
interface Pose { m: number[]; shift: number[] }

const STEPS = 4; // points put between two landmarks of a lid or lip

/** Weights (points x count) that put points on the Catmull-Rom curve through `count` points; the ends stay. */
function curveMatrix(count: number): Float64Array[] {
  const rows: Float64Array[] = [];
  for (let i = 0; i < count - 1; i++) for (let k = 0; k < STEPS; k++) {
    const t = k / STEPS, row = new Float64Array(count);
    const weights = [-t + 2 * t ** 2 - t ** 3, 2 - 5 * t ** 2 + 3 * t ** 3, t + 4 * t ** 2 - 3 * t ** 3, -(t ** 2) + t ** 3];
    weights.forEach((w, j) => { row[clamp(i + j - 1, 0, count - 1)] += w / 2; });
    rows.push(row);
  }
  const last = new Float64Array(count);
  last[count - 1] = 1;
  return [...rows, last];
}

/** A strip between two curves: vertices of the upper one, then of the lower one. */
class Strip {
  readonly geometry = new THREE.BufferGeometry();
  readonly positions: Float32Array;
  readonly walls: Float32Array;
  private readonly matrix: Float64Array[];
  readonly upper: Float64Array;
  readonly lower: Float64Array;

  constructor(readonly contours: [number[], number[]]) {
    this.matrix = curveMatrix(contours[0].length);
    const n = this.matrix.length, index: number[] = [];
    for (let i = 0; i + 1 < n; i++) index.push(i, n + i, i + 1, i + 1, n + i, n + i + 1);
    this.positions = new Float32Array(6 * n);
    this.walls = new Float32Array(4 * n);
    [this.upper, this.lower] = [new Float64Array(2 * n), new Float64Array(2 * n)];
    this.geometry.setIndex(index);
    this.geometry.setAttribute("position", new THREE.BufferAttribute(this.positions, 3));
    this.geometry.setAttribute("walls", new THREE.BufferAttribute(this.walls, 2));
  }

  /** Lays the curves through the posed vertices; the widest gap, in metres. */
  trace(posed: Float32Array): number {
    const n = this.matrix.length;
    let widest = -1;
    [this.upper, this.lower].forEach((curve, c) => this.matrix.forEach((row, i) => {
      let x = 0, y = 0;
      for (let k = 0; k < row.length; k++) if (row[k]) {
        const v = 3 * this.contours[c][k];
        x += row[k] * posed[v]; y += row[k] * posed[v + 1];
      }
      curve[2 * i] = x; curve[2 * i + 1] = y;
    }));
    for (let i = 0; i < n; i++) {
      const gap = this.upper[2 * i + 1] - this.lower[2 * i + 1];
      widest = Math.max(widest, gap);
      this.walls[2 * i + 1] = this.walls[2 * (n + i)] = Math.max(gap, 0);
    }
    return widest;
  }

  show(upper = this.upper, lower = this.lower): void {
    const n = this.matrix.length;
    for (let i = 0; i < n; i++) {
      this.positions.set([upper[2 * i], upper[2 * i + 1], 0], 3 * i);
      this.positions.set([lower[2 * i], lower[2 * i + 1], 0], 3 * (n + i));
    }
    this.geometry.attributes.position.needsUpdate = this.geometry.attributes.walls.needsUpdate = true;
  }
}

/** A textured layer behind an opening: its rectangle at rest, and the point that tells where it goes. */
class Plane {
  private readonly inverse: number[]; // from metres at rest to the texture, as 2 rows of 3
  readonly map: THREE.Texture;
  constructor(mesh: THREE.Mesh, readonly anchor: number[]) {
    const p = mesh.geometry.attributes.position;
    const [x0, y0] = [p.getX(0), p.getY(0)], u = [p.getX(1) - x0, p.getY(1) - y0], v = [p.getX(2) - x0, p.getY(2) - y0];
    const d = u[0] * v[1] - u[1] * v[0], a = v[1] / d, b = -v[0] / d, e = -u[1] / d, f = u[0] / d;
    this.inverse = [a, b, -a * x0 - b * y0, e, f, -e * x0 - f * y0];
    this.map = rawTexture((mesh.material as THREE.MeshBasicMaterial).map!);
  }
  /** From a point of the picture, in metres, to the texture, when the anchor lies at `now`. */
  place(out: THREE.Matrix3, l: [number, number, number, number], now: number[]): void {
    const d = l[0] * l[3] - l[1] * l[2], [a, b, c, e] = [l[3] / d, -l[1] / d, -l[2] / d, l[0] / d];
    const x = this.anchor[0] - a * now[0] - b * now[1], y = this.anchor[1] - c * now[0] - e * now[1], i = this.inverse;
    out.set(
      i[0] * a + i[1] * c, i[0] * b + i[1] * e, i[0] * x + i[1] * y + i[2],
      i[3] * a + i[4] * c, i[3] * b + i[4] * e, i[3] * x + i[4] * y + i[5], 0, 0, 1);
  }
  vector(way: number[]): THREE.Vector2 { return new THREE.Vector2(this.inverse[0] * way[0] + this.inverse[1] * way[1], this.inverse[3] * way[0] + this.inverse[4] * way[1]); }
}

const opening = (fragmentShader: string, uniforms: Record<string, THREE.IUniform>) => new THREE.ShaderMaterial({
  vertexShader: OPENING_VERTEX, fragmentShader, uniforms, transparent: true, depthTest: false, depthWrite: false, side: THREE.DoubleSide,
});

export class Portrait implements Face {
  readonly scene = new THREE.Scene();
  readonly picture: Picture;
  readonly faceBox: [number, number, number, number];
  private readonly basis: (Float32Array | undefined)[] = [];
  private readonly rest: Float32Array;
  private readonly vertices: Float32Array;
  private readonly posed: Float32Array;
  private readonly follow: Float32Array;
  private readonly skin = new THREE.BufferGeometry();
  private readonly eyes: { numbers: EyeNumbers; strip: Strip; lash: Strip; plane: Plane; mesh: THREE.Mesh; line: THREE.Mesh }[] = [];
  private readonly lips: Strip;
  private readonly surroundings: THREE.Mesh;
  private readonly mouth: THREE.Mesh;
  private readonly layers: { numbers: Layer; plane: Plane }[];
  private motion = new Float32Array(DIM);
  private readonly edge = { value: 0 };
  /** Whether the canvas smooths edges; where it does not, the borders of eyes and mouth fade by themselves. */
  antialiased = true;

  static async from(gltf: GLTF, numbers: Numbers): Promise<Portrait> {
    const details = await Promise.all(SIDES.map((side) => gltf.parser.getDependency("texture", numbers.eyes[side].detail)));
    return new Portrait(gltf, numbers, details);
  }

  private constructor(gltf: GLTF, private readonly numbers: Numbers, details: THREE.Texture[]) {
    [this.picture, this.faceBox] = [numbers.picture, numbers.face];
    const mesh = (name: string) => gltf.scene.getObjectByName(name) as THREE.Mesh;
    const person = mesh("person"), source = person.geometry;
    this.rest = source.attributes.position.array as Float32Array;
    for (const [name, i] of Object.entries(person.morphTargetDictionary!)) {
      const way = source.morphAttributes.position![i].array as Float32Array, index = at[name as keyof typeof at];
      if (index >= at.gazeX && way.some((x) => x !== 0)) this.basis[index] = way;
    }
    this.vertices = new Float32Array(this.rest);
    this.posed = new Float32Array(this.rest);
    const weights = source.attributes.skinWeight;
    this.follow = Float32Array.from({ length: weights.count }, (_, i) => weights.getX(i));
    const index = Array.from(source.index!.array);
    for (const [a, b] of [numbers.lips, ...SIDES.map((s) => numbers.eyes[s].lids)]) for (let k = 0; k + 1 < a.length; k++)
      for (const t of [[a[k], b[k], b[k + 1]], [a[k], b[k + 1], a[k + 1]]]) if (new Set(t).size === 3) index.push(...t);
    this.skin.setIndex(index);
    this.skin.setAttribute("position", new THREE.BufferAttribute(this.posed, 3));
    this.skin.setAttribute("uv", source.attributes.uv);
    // What lies behind the background is not drawn where that is before it: without a GPU every layer costs as much as the face.
    [, this.surroundings] = ["background", "surroundings"].map((name, order) => this.add(this.plain(mesh(name), mesh(name).geometry, true), order));
    this.add(this.plain(person, this.skin, false), 2);
    SIDES.forEach((side, k) => this.addEye(mesh, numbers.eyes[side], rawTexture(details[k]), 3 + 2 * k));
    this.lips = new Strip(numbers.lips);
    this.layers = numbers.mouth.layers.map((layer) => ({ numbers: layer, plane: new Plane(mesh(layer.node), layer.anchor) }));
    const maps = [0, 1, 2, 3].map((i) => (this.layers[i] ?? this.layers[0]).plane.map);
    this.mouth = new THREE.Mesh(this.lips.geometry, opening(MOUTH_FRAGMENT, {
      layer0: { value: maps[0] }, layer1: { value: maps[1] }, layer2: { value: maps[2] }, layer3: { value: maps[3] },
      toLayer: { value: [0, 1, 2, 3].map(() => new THREE.Matrix3()) },
      shade: { value: [0, 1, 2, 3].map((i) => new THREE.Vector3(...(this.layers[i] ?? this.layers[0]).numbers.shade)) },
      colour: { value: new THREE.Vector3(...numbers.mouth.colour).divideScalar(255) },
      reach: { value: 1 }, softness: { value: 1 }, teeth: { value: 0 }, fade: { value: 1 }, edge: this.edge, photo: { value: this.layers.length > 3 ? 1 : 0 },
    }));
    this.add(this.mouth, 7);
  }

  private add(mesh: THREE.Mesh, order: number): THREE.Mesh {
    mesh.renderOrder = order;
    mesh.frustumCulled = false;
    this.scene.add(mesh);
    return mesh;
  }

  private plain(from: THREE.Mesh, geometry: THREE.BufferGeometry, opaque: boolean): THREE.Mesh {
    const map = rawTexture((from.material as THREE.MeshBasicMaterial).map!);
    return new THREE.Mesh(geometry, new THREE.ShaderMaterial({
      vertexShader: PLAIN_VERTEX, fragmentShader: PLAIN_FRAGMENT, uniforms: { map: { value: map } }, transparent: !opaque, side: THREE.DoubleSide,
    }));
  }

  viewed(view: View): void {
    const { left, top, side } = this.picture, most = 1e-4 * side;
    this.surroundings.visible = view.left < left - most || view.right > left + side + most || view.top > top + most || view.bottom < top - side - most;
  }

  private addEye(mesh: (name: string) => THREE.Mesh, numbers: EyeNumbers, detail: THREE.Texture, order: number): void {
    const strip = new Strip(numbers.lids), lash = new Strip(numbers.lids), plane = new Plane(mesh(numbers.node), numbers.anchor);
    const size = detail.image as { width: number; height: number };
    const ball = new THREE.Mesh(strip.geometry, opening(EYE_FRAGMENT, {
      white: { value: plane.map }, detail: { value: detail }, toEye: { value: new THREE.Matrix3() }, gaze: { value: new THREE.Vector2() },
      texels: { value: new THREE.Vector2(size.width / 2, size.height) }, still: { value: 1 }, looking: { value: 0 }, fade: { value: 1 }, edge: this.edge,
    }));
    const line = new THREE.Mesh(lash.geometry, opening(COLOUR_FRAGMENT, { colour: { value: new THREE.Vector4(...numbers.lash.map((c) => c / 255), 0) } }));
    this.add(ball, order);
    this.add(line, order + 1);
    this.eyes.push({ numbers, strip, lash, plane, mesh: ball, line });
  }

  update(latent: Latent, frame: number | null, pixel: number): void {
    const { numbers } = this, asked = resolved(latent, numbers.knee, numbers.limit, numbers.low);
    for (let i = 0; i < DIM; i++) this.motion[i] = asked[i] * numbers.gain[i];
    this.edge.value = this.antialiased ? 0 : pixel;
    this.express(asked);
    const pose = this.turn(frame === null ? 0 : breath(numbers.idle, frame) * numbers.breath);
    for (const eye of this.eyes) this.drawEye(eye, pose, pixel);
    this.drawMouth(pose, pixel);
    this.skin.attributes.position.needsUpdate = true;
  }

  private express(asked: Latent): void {
    const { vertices, numbers } = this;
    vertices.set(this.rest);
    this.basis.forEach((way, i) => {
      // Gains lie in the basis; lids that follow an eye that looks down stop before they shut.
      const w = i === at.gazeY ? Math.max(this.motion[i], numbers.lowest_look) / numbers.gain[i] : asked[i];
      if (way && w !== 0) for (let k = 0; k < way.length; k++) vertices[k] += w * way[k];
    });
    this.apart(numbers.lips, 0.5);
    for (const side of SIDES) this.apart(numbers.eyes[side].lids, 1);
  }

  /** Summed coefficients push neither an upper lid below the lower one nor the lips through one another. */
  private apart([upper, lower]: [number[], number[]], share: number): void {
    const { vertices: v, numbers: { down } } = this;
    for (let k = 0; k < upper.length; k++) {
      const a = 3 * upper[k], b = 3 * lower[k];
      const crossed = Math.min((v[b] - v[a]) * down[0] + (v[b + 1] - v[a + 1]) * down[1] + (v[b + 2] - v[a + 2]) * down[2], 0);
      if (crossed < 0) for (let i = 0; i < 3; i++) { v[a + i] += crossed * down[i] * share; v[b + i] -= crossed * down[i] * (1 - share); }
    }
  }

  private turn(lift: number): Pose {
    const { motion, vertices: v, posed, follow, numbers } = this, scale = Math.exp(motion[at.headScale]), unit = numbers.metres_per_unit;
    const m = rotationOf(motion[at.headYaw] * numbers.turns, motion[at.headPitch], motion[at.headRoll]).map((x) => x * scale);
    const shift = [motion[at.headX] * unit, motion[at.headY] * unit, 0];
    for (let i = 0, k = 0; i < follow.length; i++, k += 3) {
      const [x, y, z] = [v[k], v[k + 1], v[k + 2]], f = follow[i];
      posed[k] = x + (m[0] * x + m[1] * y + m[2] * z + shift[0] - x) * f;
      posed[k + 1] = y + (m[3] * x + m[4] * y + m[5] * z + shift[1] - y) * f + lift * (1 - f);
      posed[k + 2] = z + (m[6] * x + m[7] * y + m[8] * z - z) * f;
    }
    return { m, shift };
  }

  private drawEye({ numbers, strip, lash, plane, mesh, line }: Portrait["eyes"][number], pose: Pose, pixel: number): void {
    const widest = strip.trace(this.posed), u = (mesh.material as THREE.ShaderMaterial).uniforms, [gx, gy] = [this.motion[at.gazeX], this.motion[at.gazeY]];
    mesh.visible = widest > 0.25 * pixel;
    strip.show();
    u.fade.value = Math.min(widest / pixel - 0.25, 1);
    const look = [gx * numbers.look[0] + gy * numbers.look[2], gx * numbers.look[1] + gy * numbers.look[3]];
    plane.place(u.toEye.value, linear(pose), placed(numbers.anchor, pose));
    u.gaze.value.copy(plane.vector(look));
    u.looking.value = Math.min(1, Math.hypot(look[0], look[1]) / (0.08 * numbers.width));
    const moved = Math.max(...numbers.middle.map((i) => Math.hypot(...[0, 1, 2].map((k) => this.vertices[3 * i + k] - this.rest[3 * i + k]))));
    u.still.value = 1 - smoothstep(moved / numbers.lid_edge);
    // The line that closed lids make: lashes that stood apart do not meet by themselves.
    const share = 0.6 * clamp((1 - widest / numbers.gap - 0.55) / 0.4, 0, 1), n = strip.upper.length / 2;
    line.visible = share > 0;
    if (share === 0) return;
    const above = new Float64Array(2 * n), below = new Float64Array(2 * n);
    for (let i = 0; i < n; i++) {
      const half = 0.5 * numbers.lash_width * Math.sqrt(Math.sin((Math.PI * i) / (n - 1)));
      const x = (strip.upper[2 * i] + strip.lower[2 * i]) / 2, y = (strip.upper[2 * i + 1] + strip.lower[2 * i + 1]) / 2;
      [above[2 * i], above[2 * i + 1], below[2 * i], below[2 * i + 1]] = [x, y + half, x, y - half];
    }
    lash.show(above, below);
    (line.material as THREE.ShaderMaterial).uniforms.colour.value.w = share;
  }

  private drawMouth(pose: Pose, pixel: number): void {
    const { numbers: { mouth, metres_per_unit: unit }, motion } = this, u = (this.mouth.material as THREE.ShaderMaterial).uniforms, l = linear(pose);
    const widest = this.lips.trace(this.posed);
    this.mouth.visible = widest > 0.25 * pixel;
    if (!this.mouth.visible) return;
    this.lips.show();
    u.fade.value = Math.min(widest / pixel - 0.25, 1);
    u.reach.value = unit * Math.sqrt(Math.abs(l[0] * l[3] - l[1] * l[2]) * turnedArea(mouth));
    u.softness.value = Math.max(0.8 * pixel, 0.035 * u.reach.value);
    u.teeth.value = placed(mouth.teeth, pose)[1];
    for (const [i, { numbers, plane }] of this.layers.entries()) {
      const jaw = numbers.moves ? [0, 1, 2].map((k) => numbers.anchor[k] + motion[at.jawOpen] * mouth.jaw_open[k] + motion[at.jawX] * mouth.jaw_x[k]) : numbers.anchor;
      plane.place(u.toLayer.value[i], l, placed(jaw, pose));
    }
  }

  /** The box of the face at rest in metres: left, bottom, right, top. */
  get bounds() { return box(this.faceBox); }

  dispose(): void {
    this.scene.traverse((o) => { if (o instanceof THREE.Mesh) { o.geometry.dispose(); const m = o.material as THREE.ShaderMaterial; for (const u of Object.values(m.uniforms)) if (u.value instanceof THREE.Texture) u.value.dispose(); m.dispose(); } });
  }
}

const linear = ({ m }: Pose): [number, number, number, number] => [m[0], m[1], m[3], m[4]];
const placed = (p: number[], { m, shift }: Pose) => [m[0] * p[0] + m[1] * p[1] + m[2] * p[2] + shift[0], m[3] * p[0] + m[4] * p[1] + m[5] * p[2] + shift[1]];
/** How much of a plane across the face the picture shows: of a face that looks aside, less. */
const turnedArea = ({ jaw_open: d, jaw_x: r }: Numbers["mouth"]) => Math.abs(r[0] * d[1] - r[1] * d[0]) / (Math.hypot(...r) * Math.hypot(...d));
