// From the points of a face mesh to the measures that the server's tracker goes on with (motion/tracking/landmarks.py).

export interface Tables {
  dim: number; rigid: number[]; shape: number[][]; weights: number[]; centre: number[]; groups: Record<string, number[]>;
  corners: [number, number, number]; eye_width: number; eye_distance: number; measures: string[]; crops: Record<"lips" | "eyeRight" | "eyeLeft", number[]>;
}
type Vector = [number, number, number];
export interface Pose { rotation: number[]; scale: number; offset: Vector; residual: number; angles: Vector }

/** The largest eigenvector (4) of a symmetric 4 x 4 matrix, by Jacobi's rotations. */
function principal(matrix: number[][]): number[] {
  const a = matrix.map((row) => [...row]), v = a.map((_, i) => a.map((_, k) => Number(i === k)));
  for (let sweep = 0; sweep < 12; sweep++) for (let p = 0; p < 3; p++) for (let q = p + 1; q < 4; q++) {
    if (Math.abs(a[p][q]) < 1e-14) continue;
    const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]), t = Math.sign(theta || 1) / (Math.abs(theta) + Math.hypot(theta, 1)), c = 1 / Math.hypot(t, 1), s = t * c;
    for (let k = 0; k < 4; k++) [a[k][p], a[k][q]] = [c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]];
    for (let k = 0; k < 4; k++) [a[p][k], a[q][k]] = [c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]];
    for (let k = 0; k < 4; k++) [v[k][p], v[k][q]] = [c * v[k][p] - s * v[k][q], s * v[k][p] + c * v[k][q]];
  }
  const best = [0, 1, 2, 3].reduce((b, i) => (a[i][i] > a[b][b] ? i : b), 0);
  return v.map((row) => row[best]);
}

/** The similarity that carries the rigid shape onto the points, in weighted least squares; by quaternions (Horn 1987). points: x right, y up, z near. */
export function fitPose(points: Float64Array, t: Tables): Pose {
  const seen = t.rigid.map((i) => [points[3 * i], points[3 * i + 1], points[3 * i + 2]]), n = seen.length;
  const mean = (list: number[][]) => [0, 1, 2].map((k) => list.reduce((sum, p, i) => sum + t.weights[i] * p[k], 0));
  const at = mean(seen), middle = mean(t.shape), s = [0, 1, 2].map(() => [0, 0, 0]);
  let spread = 0;
  for (let i = 0; i < n; i++) for (let k = 0; k < 3; k++) {
    const from = t.shape[i][k] - middle[k];
    spread += t.weights[i] * from * from;
    for (let j = 0; j < 3; j++) s[k][j] += t.weights[i] * from * (seen[i][j] - at[j]);
  }
  const [[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]] = s;
  const [w, x, y, z] = principal([
    [xx + yy + zz, yz - zy, zx - xz, xy - yx], [yz - zy, xx - yy - zz, xy + yx, zx + xz],
    [zx - xz, xy + yx, yy - xx - zz, yz + zy], [xy - yx, zx + xz, yz + zy, zz - xx - yy],
  ]);
  const r = [
    w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y), 2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x),
    2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z,
  ];
  let trace = 0;
  for (let k = 0; k < 3; k++) for (let j = 0; j < 3; j++) trace += r[3 * j + k] * s[k][j];
  const scale = Math.max(trace / spread, 1e-6), turned = (p: number[]) => [0, 1, 2].map((j) => r[3 * j] * p[0] + r[3 * j + 1] * p[1] + r[3 * j + 2] * p[2]);
  const carried = turned(middle), offset = at.map((v, j) => v - scale * carried[j]) as Vector;
  let error = 0;
  for (let i = 0; i < n; i++) {
    const goal = turned(t.shape[i]);
    for (let j = 0; j < 3; j++) error += t.weights[i] * ((seen[i][j] - offset[j]) / scale - goal[j]) ** 2;
  }
  const angles: Vector = [Math.atan2(-r[6], Math.hypot(r[0], r[3])), -Math.atan2(r[7], r[8]), Math.atan2(-r[3], r[0])];
  return { rotation: r, scale, offset, residual: Math.sqrt(error), angles };
}

/** The measures of a face in the order of `tables.measures`. */
export function measureFace(points: Float64Array, pose: Pose, t: Tables): number[] {
  const { rotation: r, scale, offset } = pose;
  const image = (name: string): Vector => {
    const group = t.groups[name];
    return [0, 1, 2].map((k) => group.reduce((sum, i) => sum + points[3 * i + k], 0) / group.length) as Vector;
  };
  const at = (name: string): Vector => {
    const p = image(name).map((v, k) => (v - offset[k]) / scale);
    return [0, 1, 2].map((k) => r[k] * p[0] + r[3 + k] * p[1] + r[6 + k] * p[2]) as Vector;
  };
  const limited = (a: number) => Math.min(Math.max(a, -t.corners[2]), t.corners[2]) * t.eye_distance;
  const base = at("noseBase"), turned = t.corners[0] * limited(pose.angles[0]), nodded = t.corners[1] * limited(pose.angles[1]), out: Record<string, number> = {};
  for (const [side, outward] of [["Right", -1], ["Left", 1]] as const) {
    const height = (at(`eyeOuter${side}`)[1] + at(`eyeInner${side}`)[1]) / 2, upper = at(`upperLid${side}`), lower = at(`lowerLid${side}`), corner = at(`corner${side}`);
    const start = image(`eyeOuter${side}`), end = image(`eyeInner${side}`), iris = image(`iris${side}`);
    const along = [0, 1].map((k) => (start[k] - end[k]) * outward), width = Math.max(Math.hypot(along[0], along[1]), 1e-6), shift = [0, 1].map((k) => iris[k] - (start[k] + end[k]) / 2);
    out[`lidGap${side}`] = Math.hypot(upper[1] - lower[1], upper[2] - lower[2]);
    out[`lowerLid${side}`] = lower[1] - height;
    for (const part of ["Inner", "Middle", "Outer"]) out[`brow${part}${side}`] = at(`brow${part}${side}`)[1] - height;
    out[`cornerOut${side}`] = outward * (corner[0] - base[0] + turned);
    out[`cornerUp${side}`] = corner[1] - base[1] + nodded;
    out[`irisOut${side}`] = (outward * (shift[0] * along[0] + shift[1] * along[1])) / width ** 2;
    out[`irisUp${side}`] = (along[0] * shift[1] - along[1] * shift[0]) / (width * scale * t.eye_width);
  }
  const upper = at("upperInner"), lower = at("lowerInner"), chin = at("chin"), a = at("eyeOuterLeft"), b = at("eyeOuterRight");
  Object.assign(out, {
    upperLip: upper[1] - base[1], lowerLip: lower[1] - base[1], upperRed: at("upperOuter")[1] - upper[1], lowerRed: lower[1] - at("lowerOuter")[1],
    chinUp: chin[1] - base[1], chinOut: chin[0] - base[0], eyeDistance: Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]),
  });
  return t.measures.map((name) => out[name]);
}

/** What is sent: the measures, then angles, centre and scale in widths of the picture, residual, and how well the face is seen. */
export function values(points: Float64Array, width: number, visible: number, t: Tables): number[] {
  const pose = fitPose(points, t), { rotation: r, scale, offset } = pose, c = t.centre;
  const centre = [0, 1].map((j) => scale * (r[3 * j] * c[0] + r[3 * j + 1] * c[1] + r[3 * j + 2] * c[2]) + offset[j]);
  return [...measureFace(points, pose, t), ...pose.angles, centre[0] / width, centre[1] / width, scale / width, pose.residual, visible];
}
