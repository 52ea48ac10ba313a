// For `kiosk --check`: what the page showed, saw and played, all on performance.now() in ms.
import type { Latent } from "./face/rig";

const SIDE = 8;

export interface Record_ {
  face: [number, number[], number[], number][]; // when shown, latent, grey of 8 x 8 parts of the face's box, its presentation time in s
  camera: [number, number[]][]; // when captured, grey of 8 x 8 parts
  sound: [number, number][]; // when heard, level
}

export class Recorder {
  private record?: Record_;
  get on(): boolean { return this.record !== undefined; }

  async run(seconds: number, camera: HTMLVideoElement | undefined): Promise<Record_> {
    const record: Record_ = { face: [], camera: [], sound: [] };
    this.record = record;
    const small = new OffscreenCanvas(SIDE, SIDE).getContext("2d", { willReadFrequently: true })!;
    let going = true;
    const look = (_: number, frame: VideoFrameCallbackMetadata) => {
      if (!going || !camera) return;
      small.drawImage(camera, 0, 0, SIDE, SIDE);
      const { data } = small.getImageData(0, 0, SIDE, SIDE), grey = Array.from({ length: SIDE * SIDE }, (_, i) => Math.round((data[4 * i] + data[4 * i + 1] + data[4 * i + 2]) / 3));
      record.camera.push([frame.captureTime ?? frame.presentationTime, grey]);
      camera.requestVideoFrameCallback(look);
    };
    camera?.requestVideoFrameCallback(look);
    await new Promise((done) => setTimeout(done, 1000 * seconds));
    going = false;
    this.record = undefined;
    return record;
  }

  drawn(shownMs: number, latent: Latent, grey: () => number[], presentation: number): void {
    this.record?.face.push([shownMs, Array.from(latent, (x) => Math.round(x * 1e4) / 1e4), grey(), presentation]);
  }
  heard(ms: number, level: number): void { this.record?.sound.push([ms, level]); }
}
