// Light around bright parts: what is brighter than the head, blurred, and added (ScreenFaceAvatar._glow).
import * as THREE from "three";

const SMALLER = 8;
const VERTEX = "varying vec2 vUv; void main() { vUv = uv; gl_Position = vec4(position.xy, 0.0, 1.0); }";
const FRAGMENT = `
uniform sampler2D map; uniform vec2 way; uniform float sigma; uniform vec3 dark; uniform float brightest; uniform float strength;
varying vec2 vUv;
void main() {
  vec3 sum = vec3(0.0); float total = 0.0;
  for (float i = -24.0; i <= 24.0; i += 1.0) {
    float share = exp(-0.5 * i * i / (sigma * sigma));
    vec3 seen = texture2D(map, vUv + i * way).rgb;
    sum += share * (brightest > 0.0 ? min(max(seen - dark, 0.0), brightest) : seen);
    total += share;
  }
  gl_FragColor = vec4(sum / total * strength, 1.0);
}`;
const COPY = "uniform sampler2D map; uniform float strength; varying vec2 vUv; void main() { gl_FragColor = vec4(texture2D(map, vUv).rgb * strength, 1.0); }";

export class Glow {
  private readonly small = [0, 1, 2].map(() => new THREE.WebGLRenderTarget(1, 1, { depthBuffer: true, stencilBuffer: true, samples: 4 }));
  private readonly camera = new THREE.Camera();
  private readonly scene = new THREE.Scene();
  private readonly blur: THREE.ShaderMaterial;
  private readonly add: THREE.ShaderMaterial;
  private readonly quad: THREE.Mesh;

  constructor(private readonly glow: [number, number, number], head: number[], private readonly unit: number) {
    const plain = { depthTest: false, depthWrite: false };
    this.blur = new THREE.ShaderMaterial({ vertexShader: VERTEX, fragmentShader: FRAGMENT, ...plain, uniforms: {
      map: { value: null }, way: { value: new THREE.Vector2() }, sigma: { value: 1 }, dark: { value: new THREE.Vector3(...head).divideScalar(255) }, brightest: { value: 0 }, strength: { value: 1 },
    } });
    this.add = new THREE.ShaderMaterial({ vertexShader: VERTEX, fragmentShader: COPY, ...plain, transparent: true, blending: THREE.CustomBlending,
      blendSrc: THREE.OneFactor, blendDst: THREE.OneFactor, uniforms: { map: { value: null }, strength: { value: glow[0] } } });
    this.quad = Object.assign(new THREE.Mesh(new THREE.PlaneGeometry(2, 2), this.blur), { frustumCulled: false });
    this.scene.add(this.quad);
  }

  draw(renderer: THREE.WebGLRenderer, scene: THREE.Scene, camera: THREE.OrthographicCamera): void {
    const size = renderer.getSize(new THREE.Vector2()), width = Math.max(Math.round(size.x / SMALLER), 4), height = Math.max(Math.round(size.y / SMALLER), 4);
    const [seen, across, both] = this.small, pixels = (size.x / (camera.right - camera.left)) * this.unit; // of a face unit
    for (const target of this.small) target.setSize(width, height);
    const pass = (material: THREE.ShaderMaterial, from: THREE.WebGLRenderTarget, to: THREE.WebGLRenderTarget | null) => {
      this.quad.material = material;
      material.uniforms.map.value = from.texture;
      renderer.setRenderTarget(to);
      renderer.render(this.scene, this.camera);
    };
    renderer.setRenderTarget(seen);
    renderer.render(scene, camera);
    const u = this.blur.uniforms;
    u.sigma.value = (this.glow[1] * pixels) / SMALLER + 0.5;
    u.way.value.set(1 / width, 0);
    u.brightest.value = this.glow[2] / 255;
    pass(this.blur, seen, across);
    u.way.value.set(0, 1 / height);
    u.brightest.value = 0;
    pass(this.blur, across, both);
    renderer.autoClear = false;
    pass(this.add, both, null);
    renderer.autoClear = true;
  }

  dispose(): void { this.small.forEach((t) => t.dispose()); this.blur.dispose(); this.add.dispose(); this.quad.geometry.dispose(); }
}
