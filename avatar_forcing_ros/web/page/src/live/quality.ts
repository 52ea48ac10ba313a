// How large the face is drawn: as large as the screen, or as this machine can draw it 20 times a second; else it comes as video.

const LEAST_FPS = 20, PLENTY_FPS = 45;
const SOFTWARE_FPS = 30, SOFTWARE_PLENTY_FPS = 27; // a processor that draws has a graph to run, too
const SMALLEST = 256; // pixels of the shorter side
const LARGEST = 1600;
const LOOK_MS = 2000, PATIENCE = 2, AGAIN_MS = 30_000;
const TRIAL_MS = 60_000, RAREST_TRIAL_MS = 960_000; // from video to a try of drawing; twice as long after each that fails

export class Quality {
  private times: number[] = []; // performance ms of drawn frames
  private scale = 1;
  private slow = 0;
  private lookedAt = performance.now();
  private raisedAt = -Infinity;
  private trialAt?: number; // while video is shown
  private trialMs = TRIAL_MS;
  private lastDue = -Infinity;
  fps = 0;

  /** The processor draws: it does so on every other turn of the display. */
  software = false;

  /** Whether it is time for another picture. */
  due(now: number): boolean {
    if (this.software && now - this.lastDue < 750 / SOFTWARE_FPS) return false;
    this.lastDue = now;
    return true;
  }

  /** While video is shown: whether to draw behind it, to see if this machine can by now. */
  trial(now: number): boolean {
    this.trialAt ??= now + this.trialMs;
    if (now >= this.trialAt) return true;
    this.pause(now);
    return false;
  }

  /** Notes a drawn frame. Returns "smaller", "larger", "video" or, at the end of a trial, "draw" where something should change. */
  drawn(now: number, css: { width: number; height: number }): "smaller" | "larger" | "video" | "draw" | undefined {
    this.times.push(now);
    while (now - this.times[0] > LOOK_MS) this.times.shift();
    const span = now - this.times[0];
    if (span > 500) this.fps = ((this.times.length - 1) * 1000) / span;
    if (now - this.lookedAt < LOOK_MS) return undefined;
    this.lookedAt = now;
    if (document.hidden) return undefined;
    if (this.trialAt !== undefined) return this.judge(now);
    const [width, height] = this.size(css);
    if (this.fps < LEAST_FPS) {
      if (Math.min(width, height) <= SMALLEST) return ++this.slow >= PATIENCE ? "video" : undefined;
      this.scale *= Math.max(Math.sqrt(this.fps / (1.3 * LEAST_FPS)), 0.5);
      this.raisedAt = now;
      return "smaller";
    }
    this.slow = 0;
    if (this.fps > (this.software ? SOFTWARE_PLENTY_FPS : PLENTY_FPS) && this.scale < 1 && now - this.raisedAt > AGAIN_MS) {
      this.scale = Math.min(this.scale * 1.25, 1);
      this.raisedAt = now;
      return "larger";
    }
    return undefined;
  }

  private judge(now: number): "draw" | undefined {
    if (this.fps >= 1.2 * LEAST_FPS) {
      this.trialAt = undefined;
      this.slow = 0;
      return "draw";
    }
    this.trialMs = Math.min(2 * this.trialMs, RAREST_TRIAL_MS);
    this.trialAt = now + this.trialMs;
    return undefined;
  }

  pause(now = performance.now()): void { this.times = []; this.lookedAt = now; }

  /** The drawing's size in pixels for a place of this size on the page. */
  size({ width, height }: { width: number; height: number }): [number, number] {
    const dense = Math.min(devicePixelRatio || 1, 2) * this.scale, short = Math.min(width, height) * dense;
    const factor = dense * Math.min(1, LARGEST / Math.max(short, 1)) * Math.max(1, SMALLEST / Math.max(short, 1));
    return [Math.max(Math.round(width * factor), 1), Math.max(Math.round(height * factor), 1)];
  }
}
