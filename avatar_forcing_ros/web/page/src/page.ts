// The page: it shows the face, lets one hear it, and lets it see and hear who is before it.
import "./page.css";
import { loadFace, type Face } from "./face/face";
import { DIM } from "./face/rig";
import { drawnBySoftware, Stage } from "./face/stage";
import { Delay, ServerClock, wall } from "./live/clock";
import { type Config, type Control, Link, type Role } from "./live/link";
import { FLAG_NO_FACE, MotionBuffer, readPacket, writePacket } from "./live/motion";
import { Quality } from "./live/quality";
import { Sound } from "./live/sound";
import { Skew, VideoFace } from "./live/video";
import { openMedia, type MediaProblem } from "./media";
import { Recorder } from "./recording";
import { Captions, notice, OperatorCorner, Panel, signs, startCard, texts, theme } from "./ui";

const STATS_MS = 2000;

class Page {
  private readonly clock = new ServerClock();
  private readonly delay = new Delay();
  private readonly sound = new Sound(this.clock, this.delay);
  private readonly motion = new MotionBuffer();
  private readonly quality = new Quality();
  private readonly captions = new Captions();
  private readonly recorder = new Recorder();
  private readonly skew = new Skew();
  private readonly latent = new Float32Array(DIM);
  private readonly canvas = document.getElementById("face") as HTMLCanvasElement;
  private readonly video = new VideoFace(document.getElementById("video") as HTMLVideoElement, this.clock, this.delay, this.sound, this.skew);
  private stage?: Stage;
  private face?: Face;
  private link?: Link;
  private media?: MediaStream;
  private camera?: HTMLVideoElement;
  private corner?: OperatorCorner;
  private wantVideo = false;
  private state: Control = { type: "state", viewers: 0, live: "autonomous" };
  private connection = "connecting";
  private muted = { microphone: false, voice: false };
  private noFace = false;
  private kbps = 0;
  readonly errors: string[] = [];
  readonly sizes: number[] = []; // the shorter side of the drawing, as it changed

  constructor(private readonly config: Config, private role: Role, private readonly token: string) {
    if (config.rest) this.motion.rest = Float32Array.from(config.rest);
    this.state.face = config.name;
    document.title = texts.title;
    theme(localStorage.getItem("theme") ?? "auto");
    new Panel(() => this.panel(), {
      face: (name) => this.link?.send({ type: "set", face: name }), theme,
      microphone: (muted) => { this.muted.microphone = muted; this.media?.getAudioTracks().forEach((t) => { t.enabled = !muted; }); this.link?.send({ type: "mute", microphone: muted }); },
      voice: (muted) => { this.muted.voice = muted; this.sound.muted = muted; },
      captions: (on) => { this.captions.on = on; },
    });
    addEventListener("resize", () => this.resize());
    document.addEventListener("visibilitychange", () => this.quality.pause());
    setInterval(() => this.report(), STATS_MS);
  }

  fail(code: string, detail = "", seconds = 0): void {
    this.errors.push(code);
    this.errors.splice(0, this.errors.length - 50);
    notice(((texts.error as Record<string, string>)[code] ?? texts.error.server) + detail, seconds);
  }

  /** Asks, opens camera and microphone, and connects. */
  async begin(): Promise<void> {
    await this.openFace(this.config.name);
    requestAnimationFrame((now) => this.draw(now));
    const s = texts.start, records = [...(this.config.visitor_sees ? [this.config.visitor_sees] : []), ...(this.config.records ? [s.records] : [])];
    if (this.role === "viewer") await startCard(s.viewer, records, s.viewer_button);
    else while (!this.media) {
      const operator = this.role === "operator", why = operator ? s.operator_why : this.config.tracking === "page" ? s.visitor_why_page : s.visitor_why;
      const choice = await startCard(operator ? s.operator : s.visitor, [this.config.records ? why : `${why} ${s.keeps_nothing}`, ...records], operator ? s.operator_button : s.button, operator ? undefined : s.watch);
      if (choice === "watch") { this.role = "viewer"; notice(""); break; }
      try { this.media = await openMedia(this.role); notice(""); } catch (problem) { this.fail(problem as MediaProblem); }
    }
    await this.sound.start();
    void navigator.wakeLock?.request("screen").catch(() => undefined);
    this.connect();
  }

  private connect(): void {
    const link = this.link = new Link(this.role, this.config, this.token, this.clock, {
      state: (state, code, message) => this.connectionState(state, code, message),
      motion: (data) => this.takeMotion(data),
      sound: (data) => this.sound.take(data),
      control: (message) => this.take(message),
      track: (track) => this.takeTrack(track),
    }, () => this.media, () => this.wantVideo);
    if (this.media) {
      this.camera = Object.assign(document.createElement("video"), { srcObject: this.media, muted: true, playsInline: true });
      void this.camera.play();
    }
    if (this.role === "operator") this.corner = new OperatorCorner((live) => link.send({ type: "live", on: live }));
    this.signs();
    link.start();
    if (link.tracksInPage) void this.track(link);
  }

  private async track(link: Link): Promise<void> {
    try {
      notice(texts.state.tracking);
      const { PageTracker } = await import("./tracking/tracker");
      const tracker = await PageTracker.open(this.camera!);
      notice("");
      let frame = 0;
      tracker.run((values, captureMs) => {
        if (this.noFace !== (values === undefined)) { this.noFace = !this.noFace; this.signs(); }
        if (this.clock.known) link.sendTracked(writePacket({ flags: values ? 0 : FLAG_NO_FACE, frame: frame++, time: wall(captureMs) + this.clock.offset, latents: values ? [values] : [] }));
      });
    } catch (error) { console.error(error); this.fail("no_tracking"); }
  }

  private connectionState(state: string, code?: string, message?: string): void {
    this.connection = state;
    if (state === "connected") {
      notice("");
      if (code === undefined) { this.motion.clear(); this.delay.reset(); this.sound.muted = this.muted.voice; }
    } else if (state === "connecting") { if (!this.errors.length) notice(texts.state.connecting); }
    else if (state === "lost") { this.video.stop(); this.canvas.hidden = false; this.fail(code ?? "no_server"); }
    else if (code === "taken") { this.fail("taken", "", 8); this.media?.getTracks().forEach((t) => t.stop()); this.media = this.camera = undefined; this.role = "viewer"; }
    else this.fail(code ?? "server", texts.error[code as never] ? "" : ` ${message ?? ""}`);
    this.signs();
  }

  private takeMotion(data: ArrayBuffer): void {
    const packet = readPacket(data);
    if (!packet) return;
    const now = performance.now(), earliest = this.motion.add(packet, this.sound.presentationAt(now));
    if (earliest !== undefined && this.clock.known) this.delay.arrived((performance.timeOrigin + now) / 1000 - this.clock.local(earliest));
  }

  private take(message: Control): void {
    if (message.type === "state") {
      this.state = { ...this.state, ...message };
      this.corner?.show(this.state.live === "operator", Boolean(this.state.visitor));
      this.signs();
    } else if (message.type === "caption") this.captions.add(String(message.text), Number(message.start), Number(message.duration));
    else if (message.type === "face") void this.openFace(String(message.name));
    else if (message.type === "video_clock") this.video.origin = Number(message.origin);
    else if (message.type === "error") this.fail(String(message.code), "", 8);
    else if (message.type === "full") this.fail("full");
  }

  private takeTrack(track: MediaStreamTrack): void {
    if (this.role === "operator") {
      if (track.kind === "video") this.corner!.video.srcObject = new MediaStream([track]);
      else void Object.assign(new Audio(), { srcObject: new MediaStream([track]) }).play();
    } else if (track.kind === "video") { this.video.onStart = () => { this.canvas.hidden = true; }; this.video.show(track); }
  }

  private async openFace(name: string): Promise<void> {
    if (this.config.face === "video") { this.askVideo(); return; }
    try {
      const response = await fetch(`/face.glb?name=${encodeURIComponent(name)}`, { headers: { Authorization: `Bearer ${this.token}` } });
      if (!response.ok) throw new Error(response.statusText);
      const face = await loadFace(await response.arrayBuffer());
      try { if (!this.stage) { const software = this.quality.software = drawnBySoftware(); this.stage = new Stage(this.canvas, false, face.antialiased === undefined || !software); } } catch {
        if (this.config.video_possible) { this.fail("no_webgl", "", 8); this.askVideo(); } else this.fail("no_webgl_no_video");
        return;
      }
      this.face = face;
      this.stage.show(face);
      this.resize();
    } catch (error) { console.error(error); this.fail("bad_face", (error as Error).message); }
  }

  private askVideo(): void {
    if (this.wantVideo || this.role === "operator") return; // an operator sees the visitor by video, the face as it is drawn
    this.wantVideo = true;
    if (this.link?.connected) { this.link.send({ type: "want_video", on: true }); this.link.renew(); }
  }

  private leaveVideo(): void {
    this.wantVideo = false;
    this.video.stop();
    this.canvas.hidden = false;
    this.link?.send({ type: "want_video", on: false });
  }

  private resize(): void {
    const [width, height] = this.quality.size({ width: innerWidth, height: innerHeight });
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.stage?.resize(width, height);
    this.sizes.push(Math.min(width, height));
    this.sizes.splice(0, this.sizes.length - 50);
  }

  private lastShown?: number; // presentation time of the picture that was drawn last
  private lastDraw = 0;
  private intervals: number[] = [];

  private draw(now: number): void {
    requestAnimationFrame((next) => this.draw(next));
    // What is drawn now is on the screen at the display's next turn.
    this.intervals = [...this.intervals.slice(-6), Math.min(now - this.lastDraw, 200)];
    this.lastDraw = now;
    const shown = now + [...this.intervals].sort((a, b) => a - b)[this.intervals.length >> 1];
    if (this.lastShown !== undefined && this.sound.speaking && this.sound.running) this.skew.add((this.sound.presentationAt(now) - this.lastShown) * 1000);
    this.lastShown = undefined;
    const presentation = this.sound.presentationAt(shown);
    if (!this.sound.running) this.delay.step(false);
    this.captions.show(presentation);
    this.recorder.heard(now, this.sound.speaking ? this.sound.level : 0);
    if (!this.face || !this.stage || !this.quality.due(now) || (this.video.running && !this.quality.trial(now))) return;
    this.motion.sample(presentation, this.latent);
    this.stage.draw(this.latent, this.motion.frameAt(presentation));
    if (!this.video.running) this.lastShown = presentation;
    if (this.recorder.on) this.recorder.drawn(shown, this.latent, () => this.stage!.thumbnail(), presentation);
    if (!this.link) { this.quality.pause(now); return; } // behind the start card nothing is measured
    const change = this.quality.drawn(now, { width: innerWidth, height: innerHeight });
    if (change === "video") { if (this.config.video_possible && this.link?.connected) this.askVideo(); } else if (change === "draw") this.leaveVideo(); else if (change) this.resize();
  }

  private signs(): void {
    const list: { text: string; quiet?: boolean }[] = [];
    if (this.media) list.push({ text: this.role === "viewer" ? "" : texts.state.live_camera });
    if (this.state.recording) list.push({ text: texts.state.recording });
    if (this.state.live === "operator") list.push({ text: texts.state.operator });
    if (this.noFace) list.push({ text: texts.state.no_face, quiet: true });
    signs(list.filter((s) => s.text));
  }

  private lastBytes = 0;
  private lastSent = 0;
  private upKbps = 0;
  private report(): void {
    if (!this.link?.connected) return;
    void this.link.traffic().then(({ received, sent }) => {
      this.kbps = Math.max(received - this.lastBytes, 0) / STATS_MS;
      this.upKbps = Math.max(sent - this.lastSent, 0) / STATS_MS;
      [this.lastBytes, this.lastSent] = [received, sent];
    });
    const { connected, connect_ms, errors, kbps, up_kbps, ...stats } = this.stats();
    this.link.send({ type: "stats", ...stats });
  }

  /** What the panel shows and the server is told. */
  stats() {
    const video = this.video.running, mode = video ? "video" : "model";
    return {
      fps: Math.round(10 * (video ? this.video.fps : this.quality.fps)) / 10, drawn: video ? this.video.size : [this.canvas.width, this.canvas.height],
      latency_ms: Math.round(1000 * this.delay.value), offset_ms: Math.round(1000 * this.delay.value), skew_ms: this.skew.summary(),
      late: this.motion.late + this.sound.late, lost: this.motion.lost, mode, rtt_ms: Math.round(1000 * this.clock.rtt),
      connected: this.link?.connected ?? false, connect_ms: this.link?.connectMs ?? NaN, errors: this.errors, kbps: Math.round(10 * this.kbps) / 10,
      up_kbps: Math.round(10 * this.upKbps) / 10,
    };
  }

  private panel() {
    const t = texts.panel, s = this.stats();
    return {
      rows: {
        [t.connection]: (t as Record<string, string>)[this.connection] ?? this.connection, [t.latency]: `${s.latency_ms} ms`, [t.round_trip]: Number.isFinite(s.rtt_ms) ? `${s.rtt_ms} ms` : "–",
        [t.fps]: s.fps.toFixed(0), [t.drawn]: `${s.drawn[0]} × ${s.drawn[1]}, ${s.mode === "video" ? t.video : t.motion}`,
        [t.live]: this.state.live === "operator" ? t.operator : t.autonomous, [t.viewers]: String(this.state.viewers ?? 0),
      },
      faces: this.config.faces, face: String(this.state.face), theme: localStorage.getItem("theme") ?? "auto",
      microphone: this.media ? this.muted.microphone : undefined, voice: this.muted.voice, captions: this.captions.on,
    };
  }

  record(seconds: number) { return this.recorder.run(seconds, this.camera); }
}

async function main(): Promise<void> {
  const address = new URL(location.href), token = address.searchParams.get("token") ?? sessionStorage.getItem("token") ?? "";
  sessionStorage.setItem("token", token);
  if (address.searchParams.has("token")) { address.searchParams.delete("token"); history.replaceState(null, "", address); } // it is not to be seen over a shoulder
  const role: Role = address.pathname.startsWith("/operator") ? "operator" : address.searchParams.has("view") ? "viewer" : "visitor";
  let config: Config | undefined;
  for (let wait = 500; !config; wait = Math.min(wait * 1.5, 4000)) {
    try {
      const response = await fetch("/config.json", { headers: { Authorization: `Bearer ${token}` } });
      if (response.ok) config = await response.json();
    } catch { /* asked again below */ }
    if (!config) { notice(texts.error.no_server); await new Promise((done) => setTimeout(done, wait)); } else notice("");
  }
  const page = new Page(config, role, token);
  (window as unknown as Record<string, unknown>).avatarKiosk = {
    stats: () => page.stats(), record: (seconds: number) => page.record(seconds), start: () => document.getElementById("begin")?.click(), errors: page.errors, sizes: page.sizes,
  };
  await page.begin();
}

void main();
