// Avatars of others: GLB files with ARKit's blend shapes, and VRM.
import * as THREE from "three";
import type { GLTF } from "three/addons/loaders/GLTFLoader.js";
import type { VRM as Vrm } from "@pixiv/three-vrm";
import { box, type Face, type Picture } from "./face";
import { arkitWeight, VRM } from "./names";
import { at, type Latent, rotationOf } from "./rig";

const METRES = 0.09; // what the rig calls D
const ROOM = 1.5; // of the head's height is shown around it
const HEAD_M = 0.26, UNDER_HEAD_M = 0.02; // an adult's head, where a file tells only the bone below it
const FEWEST = 3; // shapes by which a mesh is a face
const GAZE_DEGREES = 25; // of an eye turned to gazeX 1
const NECK = 0.35; // of the head's turn that the neck makes

type Set = (latent: Latent) => void;

export class ModelFace implements Face {
  readonly scene = new THREE.Scene();
  readonly picture: Picture;
  readonly bounds: THREE.Box2;
  private readonly sets: Set[] = [];
  private readonly bones: { bone: THREE.Object3D; rest: THREE.Quaternion; share: number }[] = [];
  private readonly root: THREE.Object3D;
  private readonly restAt = new THREE.Vector3();
  private readonly matrix = new THREE.Matrix4();
  private readonly turn = new THREE.Quaternion();
  private last = 0;

  /** Throws an Error where the file has no face that moves. */
  constructor(gltf: GLTF, private readonly vrm?: Vrm) {
    this.root = gltf.scene;
    const meshes: THREE.Mesh[] = [];
    gltf.scene.traverse((o) => { if (o instanceof THREE.Mesh && o.morphTargetDictionary) meshes.push(o); });
    for (const mesh of meshes) for (const [name, i] of Object.entries(mesh.morphTargetDictionary!)) {
      const weight = arkitWeight(name);
      if (weight) this.sets.push((latent) => { mesh.morphTargetInfluences![i] = weight(latent); });
    }
    const moved = meshes.filter((m) => Object.keys(m.morphTargetDictionary!).filter(arkitWeight).length >= FEWEST);
    const expressions = vrm?.expressionManager;
    if (expressions) {
      let own = 0;
      for (const name of Object.keys(expressions.expressionMap)) {
        const weight = arkitWeight(name);
        if (weight) { own++; this.sets.push((latent) => expressions.setValue(name, weight(latent))); }
      }
      if (own < FEWEST && this.sets.length < FEWEST) for (const [name, weight] of Object.entries(VRM)) if (expressions.expressionMap[name]) this.sets.push((latent) => expressions.setValue(name, weight(latent)));
    }
    if (!this.sets.length) throw new Error("it has no shapes with ARKit's or VRM's names");
    this.findBones(gltf);
    this.light();
    [this.picture, this.bounds] = this.view(moved);
    this.scene.add(gltf.scene);
    this.restAt.copy(this.root.position);
  }

  private findBones(gltf: GLTF): void {
    const add = (bone: THREE.Object3D | null | undefined, share: number) => { if (bone) this.bones.push({ bone, rest: bone.quaternion.clone(), share }); };
    const human = this.vrm?.humanoid, neck = human?.getNormalizedBoneNode("neck" as never), head = human?.getNormalizedBoneNode("head" as never);
    const named = (pattern: RegExp) => { let found: THREE.Object3D | undefined; gltf.scene.traverse((o) => { if (!found && !(o instanceof THREE.Mesh) && pattern.test(o.name)) found = o; }); return found; };
    const other = head ?? named(/(^|[_:.])head$/i), under = neck ?? named(/(^|[_:.])neck$/i);
    add(under, other ? NECK : 1);
    add(other, under ? 1 - NECK : 1);
    if (!this.bones.length) add(this.root, 1);
  }

  private light(): void {
    const sun = new THREE.DirectionalLight(0xffffff, 2.0);
    sun.position.set(0.4, 1.2, 2);
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0x9aa4ad, 1.6), sun);
    const dark = getComputedStyle(document.documentElement).colorScheme.startsWith("dark");
    this.scene.background = new THREE.Color(dark ? 0x1a222a : 0xdfe5ea);
  }

  private view(moved: THREE.Mesh[]): [Picture, THREE.Box2] {
    this.root.updateMatrixWorld(true);
    const whole = new THREE.Box3(), head = this.vrm?.humanoid?.getRawBoneNode("head" as never);
    if (head) {
      const p = head.getWorldPosition(new THREE.Vector3());
      whole.setFromCenterAndSize(new THREE.Vector3(p.x, p.y - UNDER_HEAD_M + HEAD_M / 2, p.z), new THREE.Vector3(0.75 * HEAD_M, HEAD_M, HEAD_M));
    } else for (const mesh of moved) whole.expandByObject(mesh);
    const size = whole.getSize(new THREE.Vector3()), middle = whole.getCenter(new THREE.Vector3()), side = ROOM * Math.max(size.x, size.y);
    this.root.position.z -= middle.z; // the camera looks at it from a fixed distance
    return [{ left: middle.x - side / 2, top: middle.y + side / 2, side }, box([whole.min.x, whole.min.y, whole.max.x, whole.max.y])];
  }

  update(latent: Latent, _frame: number | null, _pixel: number): void {
    for (const set of this.sets) set(latent);
    const m = rotationOf(latent[at.headYaw], latent[at.headPitch], latent[at.headRoll]);
    this.matrix.set(m[0], m[1], m[2], 0, m[3], m[4], m[5], 0, m[6], m[7], m[8], 0, 0, 0, 0, 1);
    this.turn.setFromRotationMatrix(this.matrix);
    for (const { bone, rest, share } of this.bones) bone.quaternion.identity().slerp(this.turn, share).multiply(rest);
    this.root.position.set(this.restAt.x + METRES * latent[at.headX], this.restAt.y + METRES * latent[at.headY], this.restAt.z);
    const look = this.vrm?.lookAt;
    if (look) { look.yaw = GAZE_DEGREES * latent[at.gazeX]; look.pitch = -0.6 * GAZE_DEGREES * latent[at.gazeY]; }
    const now = performance.now() / 1000;
    this.vrm?.update(Math.min(now - this.last, 0.1));
    this.last = now;
  }

  dispose(): void {
    this.scene.traverse((o) => { if (o instanceof THREE.Mesh) { o.geometry.dispose(); for (const m of [o.material].flat()) m.dispose(); } });
  }
}
