// VRM files: loaded only where one is used.
import type { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { type VRM, VRMLoaderPlugin, VRMUtils } from "@pixiv/three-vrm";
import { ModelFace } from "./model";

export async function loadVrm(loader: GLTFLoader, data: ArrayBuffer): Promise<ModelFace> {
  loader.register((parser) => new VRMLoaderPlugin(parser));
  const gltf = await loader.parseAsync(data, ""), vrm = gltf.userData.vrm as VRM | undefined;
  if (!vrm) throw new Error("this VRM file cannot be read");
  VRMUtils.rotateVRM0(vrm); // older files look the other way
  vrm.scene.traverse((o) => { o.frustumCulled = false; });
  return new ModelFace(gltf, vrm);
}
