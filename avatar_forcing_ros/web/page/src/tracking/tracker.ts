// The page's side of tracking: it hands camera pictures to the worker, one at a time, and passes on what was measured.

const LEAST_MS = 33; // between two pictures
const NO_CAPTURE_MS = 30; // how old a picture is where the browser does not say

export class PageTracker {
  private busy = false;
  private last = -Infinity;
  private captured = 0;
  private take?: (values: number[] | undefined, captureMs: number) => void;

  /** Throws an Error where faces cannot be measured here. */
  static open(video: HTMLVideoElement): Promise<PageTracker> {
    const worker = new Worker("/worker.js", { type: "module" });
    return new Promise((done, fail) => {
      worker.onerror = (event) => fail(new Error(event.message));
      worker.onmessage = ({ data }) => (data.ready ? done(new PageTracker(worker, video)) : fail(new Error(data.error)));
      worker.postMessage({ base: new URL("/tracking/", location.href).href });
    });
  }

  private constructor(private readonly worker: Worker, private readonly video: HTMLVideoElement) {
    worker.onmessage = ({ data }) => {
      this.busy = false;
      if (data.error) console.error(data.error);
      else this.take?.(data.values, this.captured);
    };
  }

  /** take: gets the values, or undefined where no face is seen, and when the picture was taken (performance.now, ms). */
  run(take: (values: number[] | undefined, captureMs: number) => void): void {
    this.take = take;
    this.video.requestVideoFrameCallback((now, frame) => void this.look(now, frame));
  }

  private async look(now: number, frame: VideoFrameCallbackMetadata): Promise<void> {
    this.video.requestVideoFrameCallback((next, f) => void this.look(next, f));
    if (this.busy || now - this.last < LEAST_MS) return;
    this.busy = true;
    this.last = now;
    this.captured = frame.captureTime ?? now - NO_CAPTURE_MS;
    try {
      const picture = await createImageBitmap(this.video);
      this.worker.postMessage({ picture }, [picture]);
    } catch { this.busy = false; } // a camera that is just being opened or closed
  }
}
