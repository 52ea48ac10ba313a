// Finds and follows one face in a video: the models and the way of motion/tracking/video_mesh.py and detector.py.
import * as ort from "onnxruntime-web/wasm";
import type { Tables } from "./measures";

const MESH_SIDE = 192, DETECTOR_SIDE = 128, MARGIN = 1.5, LEAST_SCORE = 0.5, SAME_FACE = 0.3, LEAST_PRESENCE = 0.5, LID_POINTS = 16;
const GRIDS: [number, number][] = [[8, 2], [16, 6]]; // pixels between anchors, anchors at a place

interface Square { x: number; y: number; side: number; angle: number }
type Picture = ImageBitmap | VideoFrame;
const sizeOf = (p: Picture) => ("displayWidth" in p ? { width: p.displayWidth, height: p.displayHeight } : p);

const squareAround = (x0: number, y0: number, x1: number, y1: number, first: number[], second: number[]): Square =>
  ({ x: (x0 + x1) / 2, y: (y0 + y1) / 2, side: MARGIN * Math.max(x1 - x0, y1 - y0), angle: Math.atan2(second[1] - first[1], second[0] - first[0]) });

function canvas(side: number) { return new OffscreenCanvas(side, side).getContext("2d", { willReadFrequently: true })!; }

export class FaceFinder {
  private square?: Square;
  private readonly small = canvas(MESH_SIDE);
  private readonly wide = canvas(DETECTOR_SIDE);
  private readonly anchors: number[][] = [];
  light = 0; // mean brightness of the face's square, 0 to 255

  private constructor(private readonly mesh: ort.InferenceSession, private readonly detector: ort.InferenceSession, private readonly tables: Tables) {
    for (const [step, count] of GRIDS) {
      const cells = DETECTOR_SIDE / step;
      for (let y = 0; y < cells; y++) for (let x = 0; x < cells; x++) for (let k = 0; k < count; k++) this.anchors.push([(x + 0.5) / cells, (y + 0.5) / cells]);
    }
  }

  /** base: where the models lie. */
  static async open(base: string, tables: Tables): Promise<FaceFinder> {
    ort.env.wasm.wasmPaths = base;
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    const load = (name: string) => ort.InferenceSession.create(`${base}${name}.onnx`, { executionProviders: ["wasm"] });
    return new FaceFinder(await load("face_landmark_with_attention"), await load("face_detection_short_range"), tables);
  }

  /** The mesh (478 x 3) of the face followed: pixels, x right, y up, z near; undefined where there is none. */
  async look(picture: Picture): Promise<Float64Array | undefined> {
    this.square ??= await this.detect(picture);
    if (!this.square) return undefined;
    const points = await this.measure(picture, this.square);
    if (!points) { this.square = undefined; return undefined; }
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = 0; i < points.length; i += 3) { x0 = Math.min(x0, points[i]); x1 = Math.max(x1, points[i]); y0 = Math.min(y0, -points[i + 1]); y1 = Math.max(y1, -points[i + 1]); }
    this.square = squareAround(x0, y0, x1, y1, [points[3 * 33], -points[3 * 33 + 1]], [points[3 * 263], -points[3 * 263 + 1]]);
    return points;
  }

  private pixels(context: OffscreenCanvasRenderingContext2D, side: number, scale: number, shift: number): ort.Tensor {
    const { data } = context.getImageData(0, 0, side, side), values = new Float32Array(3 * side * side);
    for (let i = 0, k = 0; i < data.length; i += 4) for (let c = 0; c < 3; c++) values[k++] = data[i + c] * scale + shift;
    return new ort.Tensor("float32", values, [1, side, side, 3]);
  }

  private async measure(picture: Picture, { x, y, side, angle }: Square): Promise<Float64Array | undefined> {
    const { small, tables } = this, c = Math.cos(angle), s = Math.sin(angle), zoom = MESH_SIDE / side;
    small.setTransform(1, 0, 0, 1, 0, 0);
    small.fillRect(0, 0, MESH_SIDE, MESH_SIDE);
    small.setTransform(c * zoom, -s * zoom, s * zoom, c * zoom, MESH_SIDE / 2 - zoom * (c * x + s * y), MESH_SIDE / 2 - zoom * (c * y - s * x));
    small.drawImage(picture, 0, 0);
    const image = this.pixels(small, MESH_SIDE, 1 / 255, 0), seen = image.data as Float32Array;
    let sum = 0;
    for (let i = 0; i < seen.length; i += 31) sum += seen[i];
    this.light = (255 * sum * 31) / seen.length;
    const found = await this.mesh.run({ [this.mesh.inputNames[0]]: image }), of = (name: string) => found[name].data as Float32Array;
    if (1 / (1 + Math.exp(-of("conv_faceflag")[0])) <= LEAST_PRESENCE) return undefined;
    const raw = new Float64Array(3 * 478);
    raw.set(of("output_mesh_identity"));
    const refine = (indices: number[], values: Float32Array) => indices.forEach((p, i) => { raw[3 * p] = values[2 * i]; raw[3 * p + 1] = values[2 * i + 1]; });
    refine(tables.crops.lips, of("output_lips"));
    for (const [first, crop, eye, iris] of [[468, "eyeRight", "output_left_eye", "output_left_iris"], [473, "eyeLeft", "output_right_eye", "output_right_iris"]] as const) {
      const indices = tables.crops[crop], own = [0, 1, 2, 3, 4].map((i) => first + i), depth = indices.slice(0, LID_POINTS).reduce((sum, i) => sum + raw[3 * i + 2], 0) / LID_POINTS;
      refine(indices, of(eye));
      refine(own, of(iris));
      for (const i of own) raw[3 * i + 2] = depth;
    }
    const out = new Float64Array(raw.length), turn = side / MESH_SIDE;
    for (let i = 0; i < raw.length; i += 3) {
      const u = (raw[i] + 0.5) * turn - side / 2, v = (raw[i + 1] + 0.5) * turn - side / 2;
      out[i] = c * u - s * v + x; out[i + 1] = -(s * u + c * v + y); out[i + 2] = -raw[i + 2] * turn;
    }
    return out;
  }


  private async detect(picture: Picture): Promise<Square | undefined> {
    const { wide } = this, { width, height } = sizeOf(picture), whole = Math.max(width, height), left = (width - whole) / 2, top = (height - whole) / 2, zoom = DETECTOR_SIDE / whole;
    wide.setTransform(1, 0, 0, 1, 0, 0);
    wide.fillRect(0, 0, DETECTOR_SIDE, DETECTOR_SIDE);
    wide.setTransform(zoom, 0, 0, zoom, -left * zoom, -top * zoom);
    wide.drawImage(picture, 0, 0);
    const found = await this.detector.run({ [this.detector.inputNames[0]]: this.pixels(wide, DETECTOR_SIDE, 2 / 255, -1) });
    const scores = found.classificators.data as Float32Array, values = found.regressors.data as Float32Array, score = (i: number) => 1 / (1 + Math.exp(-scores[i]));
    const boxes: { at: number[]; score: number }[] = []; // centre, extent, two eyes; 0 to 1
    for (let i = 0; i < scores.length; i++) if (score(i) >= LEAST_SCORE) {
      const [ax, ay] = this.anchors[i], v = Array.from(values.subarray(16 * i, 16 * i + 8), (x) => x / DETECTOR_SIDE);
      boxes.push({ at: [v[0] + ax, v[1] + ay, v[2], v[3], v[4] + ax, v[5] + ay, v[6] + ax, v[7] + ay], score: score(i) });
    }
    if (!boxes.length) return undefined;
    boxes.sort((a, b) => b.at[2] * b.score - a.at[2] * a.score); // the largest of the sure ones
    const same = boxes.filter((b) => overlap(boxes[0].at, b.at) > SAME_FACE), total = same.reduce((sum, b) => sum + b.score, 0);
    const a = boxes[0].at.map((_, k) => same.reduce((sum, b) => sum + (b.score / total) * b.at[k], 0));
    const px = (u: number) => u * whole + left, py = (v: number) => v * whole + top;
    return squareAround(px(a[0] - a[2] / 2), py(a[1] - a[3] / 2), px(a[0] + a[2] / 2), py(a[1] + a[3] / 2), [px(a[4]), py(a[5])], [px(a[6]), py(a[7])]);
  }
}

function overlap(a: number[], b: number[]): number {
  const common = [0, 1].map((k) => Math.max(Math.min(a[k] + a[k + 2] / 2, b[k] + b[k + 2] / 2) - Math.max(a[k] - a[k + 2] / 2, b[k] - b[k + 2] / 2), 0)), both = common[0] * common[1];
  return both / Math.max(a[2] * a[3] + b[2] * b[3] - both, 1e-12);
}
