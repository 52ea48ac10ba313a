// Measures faces beside the page, so that drawing does not wait: pictures in, values out.
import { type Tables, values } from "./measures";
import { FaceFinder } from "./mesh";

let finder: FaceFinder, tables: Tables;
const falling = (x: number, start: number, end: number) => { const t = Math.min(Math.max((x - start) / (end - start), 0), 1); return 1 - t * t * (3 - 2 * t); };

/** 0 to 1: the face is inside the picture, large enough and lit (tracker.py, _visibility). */
function visibility(points: Float64Array, width: number, height: number, light: number): number {
  let inside = 0, low = Infinity, high = -Infinity;
  for (let i = 0; i < points.length; i += 3) {
    const x = points[i], y = -points[i + 1];
    if (x > 0 && x < width && y > 0 && y < height) inside += 3 / points.length;
    low = Math.min(low, x); high = Math.max(high, x);
  }
  return (1 - falling(inside, 0.6, 0.95)) * (1 - falling(high - low, 16, 40)) * (1 - falling(light, 8, 25));
}

onmessage = async ({ data }: MessageEvent<{ base?: string; picture?: ImageBitmap; token?: string }>) => {
  try {
    if (data.base) {
      const response = await fetch(`${data.base}tables.json`);
      if (!response.ok) throw new Error((await response.json().catch(() => ({}))).message ?? response.statusText);
      tables = await response.json();
      finder = await FaceFinder.open(data.base, tables);
      postMessage({ ready: true });
    } else if (data.picture) {
      const { picture } = data, { width, height } = picture, points = await finder.look(picture);
      picture.close();
      postMessage({ values: points && values(points, width, visibility(points, width, height, finder.light), tables) });
    }
  } catch (error) { postMessage({ error: String(error) }); }
};
