// Everything is drawn in the picture's own colour values, as the Python renderer blends: no conversion to linear light.
export const PLAIN_VERTEX = `
varying vec2 vUv;
void main() { vUv = uv; gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0); }`;

export const PLAIN_FRAGMENT = `
uniform sampler2D map; varying vec2 vUv;
void main() { gl_FragColor = texture2D(map, vUv); }`;

export const OPENING_VERTEX = `
attribute vec2 walls; varying vec2 vAt; varying vec2 vWalls;
void main() { vAt = position.xy; vWalls = walls; gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0); }`;

export const COLOUR_FRAGMENT = `
uniform vec4 colour;
void main() { gl_FragColor = colour; }`;

// edge: metres over which the border of an opening fades where the canvas does not smooth edges itself; else zero.
const SMOOTH = `
float smoothEdge(vec2 walls, float edge) { return edge > 0.0 ? clamp(min(walls.x, walls.y) / edge + 0.3, 0.0, 1.0) : 1.0; }`;

// The eyeball between the lids (Eye.draw): white, iris moved by the gaze, and the photo's own edge while lids have not moved.
// detail: left half iris less white, right half the edge, as differences about one half; its alpha: what the iris hides.
export const EYE_FRAGMENT = SMOOTH + `
uniform sampler2D white; uniform sampler2D detail; uniform mat3 toEye; uniform vec2 gaze; uniform vec2 texels;
uniform float still; uniform float looking; uniform float fade; uniform float edge; varying vec2 vAt; varying vec2 vWalls;
const float ZERO = 128.0 / 255.0;
vec4 half_(vec2 uv, float side) {
  vec2 inner = clamp(uv, 0.5 / texels, 1.0 - 0.5 / texels);
  return texture2D(detail, vec2(0.5 * (inner.x + side), inner.y));
}
void main() {
  vec2 uv = (toEye * vec3(vAt, 1.0)).xy;
  vec2 moved = uv - gaze;
  vec2 inside = step(vec2(0.0), moved) * step(moved, vec2(1.0));
  vec3 iris = (half_(moved, 0.0).rgb - ZERO) * 2.0 * inside.x * inside.y;
  vec4 rim = half_(uv, 1.0);
  vec3 ball = texture2D(white, uv).rgb + iris + (rim.rgb - ZERO) * 2.0 * still * (1.0 - looking * rim.a);
  gl_FragColor = vec4(clamp(ball, 0.0, 1.0), fade * smoothEdge(vWalls, edge));
}`;

// What lies behind the lips (Mouth.draw). vWalls: how far the upper and the lower lip are; lips shade what lies close behind them.
export const MOUTH_FRAGMENT = SMOOTH + `
uniform sampler2D layer0; uniform sampler2D layer1; uniform sampler2D layer2; uniform sampler2D layer3;
uniform mat3 toLayer[4]; uniform vec3 shade[4]; uniform vec3 colour; uniform float reach; uniform float softness;
uniform float teeth; uniform float fade; uniform float photo; uniform float edge; varying vec2 vAt; varying vec2 vWalls;
float below(float x) { return 0.5 + 0.5 * tanh(0.7978845608 * (x + 0.044715 * x * x * x)); }
vec3 over(vec3 base, sampler2D layer, mat3 place, vec3 shading, float inward, float shown) {
  vec2 uv = (place * vec3(vAt, 1.0)).xy;
  vec2 inside = step(vec2(0.0), uv) * step(uv, vec2(1.0));
  vec4 drawn = texture2D(layer, uv);
  drawn.a *= inside.x * inside.y * shown;
  return mix(base, drawn.rgb * clamp(inward * shading.x + shading.y, shading.z, 1.0), drawn.a);
}
void main() {
  float inward = clamp(below(vWalls.x / softness) + below(vWalls.y / softness) - 1.0, 0.0, 1.0);
  float deep = (teeth - vAt.y - 0.10 * reach) / (0.16 * reach);
  vec3 inside = colour * (1.0 - 0.78 * exp(-deep * deep));
  inside = over(inside, layer0, toLayer[0], shade[0], inward, 1.0);
  inside = over(inside, layer1, toLayer[1], shade[1], inward, 1.0);
  inside = over(inside, layer2, toLayer[2], shade[2], inward, 1.0);
  inside = over(inside, layer3, toLayer[3], shade[3], inward, photo);
  gl_FragColor = vec4(inside, fade * smoothEdge(vWalls, edge));
}`;

// Polygons of one colour each. glTF has corners' colours in linear light; they are shown as they were chosen.
export const CORNERS_VERTEX = `
attribute vec4 color; varying vec3 vColour;
void main() {
  vColour = mix(color.rgb * 12.92, 1.055 * pow(color.rgb, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, color.rgb));
  gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
}`;

export const CORNERS_FRAGMENT = `
uniform float fade; varying vec3 vColour;
void main() { gl_FragColor = vec4(vColour, fade); }`;

export const CHEEK_FRAGMENT = `
uniform sampler2D map; uniform float strength; varying vec2 vUv;
void main() { vec4 blush = texture2D(map, vUv); gl_FragColor = vec4(blush.rgb, blush.a * strength); }`;
