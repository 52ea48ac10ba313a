// A face that comes as video, and how far sound and picture are apart.
import type { Delay, ServerClock } from "./clock";
import type { Sound } from "./sound";

const KEPT = 1500; // measurements

/** Milliseconds by which the picture that is shown is behind the sound that is heard. */
export class Skew {
  private list: number[] = [];
  add(ms: number): void { if (Math.abs(ms) < 2000) { this.list.push(Math.abs(ms)); if (this.list.length > KEPT) this.list.shift(); } }
  summary(): { p50: number; p95: number } | null {
    if (!this.list.length) return null;
    const sorted = [...this.list].sort((a, b) => a - b), at = (share: number) => Math.round(10 * sorted[Math.min(Math.floor(share * sorted.length), sorted.length - 1)]) / 10;
    return { p50: at(0.5), p95: at(0.95) };
  }
}

export class VideoFace {
  private times: number[] = [];
  /** Whether pictures come; until then, and when they stop, the page draws. */
  running = false;
  onStart?: () => void;
  /** The server's word: rtpTimestamp = (presentation * 90000 + origin) modulo 2^32. */
  origin?: number;

  constructor(
    private readonly element: HTMLVideoElement, private readonly clock: ServerClock, private readonly delay: Delay, private readonly sound: Sound, private readonly skew: Skew,
  ) {}

  get size(): [number, number] { return [this.element.videoWidth, this.element.videoHeight]; }
  get fps(): number { const t = this.times; return t.length > 1 ? ((t.length - 1) * 1000) / (t[t.length - 1] - t[0]) : 0; }

  show(track: MediaStreamTrack): void {
    this.element.srcObject = new MediaStream([track]);
    this.element.hidden = false; // behind the canvas until its first picture is there
    void this.element.play();
    this.element.requestVideoFrameCallback((now, frame) => this.shown(track, now, frame));
  }

  stop(): void {
    this.running = this.delay.followsVideo = false;
    this.element.hidden = true;
    this.element.srcObject = null;
  }

  private shown(track: MediaStreamTrack, now: number, frame: VideoFrameCallbackMetadata): void {
    if (track.readyState === "ended" || this.element.hidden) return;
    if (!this.running) { this.running = this.delay.followsVideo = true; this.onStart?.(); }
    this.element.requestVideoFrameCallback((next, f) => this.shown(track, next, f));
    this.times.push(now);
    while (now - this.times[0] > 2000) this.times.shift();
    if (this.origin === undefined || frame.rtpTimestamp === undefined || !this.clock.known) return;
    const when = (performance.timeOrigin + frame.expectedDisplayTime) / 1000, round = 2 ** 32 / 90_000;
    const due = when + this.clock.offset, phase = ((((frame.rtpTimestamp - this.origin) % 2 ** 32) + 2 ** 32) % 2 ** 32) / 90_000;
    const presentation = phase + Math.round((due - phase) / round) * round;
    this.delay.follow(due - presentation);
    if (this.sound.speaking) this.skew.add((this.sound.presentationAt(frame.expectedDisplayTime) - presentation) * 1000);
  }
}
