// One clock for sound and picture: presentation times of the server, in the page's own time, and how much later we show them.

const KEPT_MS = 60_000; // of measurements of the server's clock
const WINDOW_MS = 10_000; // of arrivals that the buffer is made for
const MARGIN = 0.006; // s; from arrival to where it can be shown or heard
const LATE_SHARE = 0.02; // of arrivals may be too late
const SLOW = 0.004, QUICK = 0.25; // s per s; how fast the delay changes while something is spoken, and while not
const LARGEST = 2.0; // s

/** Seconds of the page's wall clock: the same as the stamps of its RTCP reports. */
export const wall = (performanceMs = performance.now()) => (performance.timeOrigin + performanceMs) / 1000;

/** The server's clock, from pings: of those of the last minute the quickest tells most. */
export class ServerClock {
  private samples: { at: number; rtt: number; offset: number }[] = [];
  offset = 0; // server minus page, s
  rtt = NaN;
  get known(): boolean { return this.samples.length > 0; }

  reset(): void { this.samples = []; }

  /** sent, arrived: the page's wall clock; server: what the answer says. */
  add(sent: number, server: number, arrived: number): void {
    const rtt = arrived - sent, now = performance.now();
    if (!(rtt >= 0 && rtt < 5) || !Number.isFinite(server)) return;
    this.samples = this.samples.filter((s) => now - s.at < KEPT_MS).slice(-60);
    const offset = server - (sent + arrived) / 2;
    if (Math.abs(offset - this.offset) > 1 + rtt) this.samples = []; // a server that was started again, or simulated time that jumped
    this.samples.push({ at: now, rtt, offset });
    this.rtt = rtt;
    // Older ones count less: two clocks drift apart by some 50 microseconds a second.
    const best = this.samples.reduce((a, b) => (b.rtt + 1e-7 * (now - b.at) < a.rtt + 1e-7 * (now - a.at) ? b : a));
    this.offset = best.offset;
  }

  /** A presentation time in the page's wall clock, s. */
  local(presentation: number): number { return presentation - this.offset; }
}

/** How much later than their presentation times things are shown: as little as arrivals allow. */
export class Delay {
  private arrivals: { at: number; late: number }[] = [];
  private wanted = 0.05;
  private last = performance.now();
  value = 0.05; // s
  settled = false;
  followsVideo = false;

  reset(): void { this.arrivals = []; this.settled = false; }

  /** late: s between when something was due without any delay, and when it was here. */
  arrived(late: number): void {
    const now = performance.now();
    if (this.followsVideo || Math.abs(late) > LARGEST) return;
    this.arrivals.push({ at: now, late });
    while (this.arrivals.length > 1500 || now - this.arrivals[0].at > WINDOW_MS) this.arrivals.shift();
    const sorted = this.arrivals.map((a) => a.late).sort((a, b) => a - b);
    this.wanted = Math.min(sorted[Math.max(Math.ceil(sorted.length * (1 - LATE_SHARE)) - 1, 0)] + MARGIN, LARGEST);
  }

  /** A video is shown when the browser shows it: sound waits for it. */
  follow(late: number): void {
    this.wanted += 0.1 * (Math.min(Math.max(late, 0), LARGEST) - this.wanted);
    this.settled = true;
  }

  /** Moves toward what is wanted; call it often. */
  step(speaking: boolean): number {
    const now = performance.now(), elapsed = Math.min((now - this.last) / 1000, 1), away = this.wanted - this.value;
    this.last = now;
    if (!this.settled && this.arrivals.length > 3) { this.value = this.wanted; this.settled = true; return this.value; }
    const most = (speaking ? SLOW : QUICK) * elapsed;
    if (Math.abs(away) > 0.002) this.value += Math.min(Math.max(away, -most), most);
    return this.value;
  }
}
