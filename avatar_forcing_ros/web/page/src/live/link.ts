// The connection to the server: made, kept, and made again.
import { canOpus } from "./sound";
import { ServerClock, wall } from "./clock";

export type Role = "visitor" | "viewer" | "operator";
export interface Config {
  protocol: number; face: "model" | "video"; name: string; faces: string[]; tracking: "server" | "page"; ice_servers: RTCIceServer[];
  token_needed: boolean; records: boolean; rest?: number[]; video_possible: boolean; visitor_sees?: string;
}
export interface Control { type: string; [key: string]: unknown }
export type State = "connecting" | "connected" | "lost" | "refused";

export interface Listener {
  state(state: State, code?: string, message?: string): void;
  motion(data: ArrayBuffer): void;
  sound(data: ArrayBuffer): void;
  control(message: Control): void;
  track(track: MediaStreamTrack): void;
}

const PING_MS = 2000, FIRST_PINGS = 5, SILENCE_MS = 5000, GATHER_MS = 1000, LONGEST_WAIT_MS = 5000, CONNECT_MS = 8000;
const FINAL = new Set(["token", "origin", "bad", "too_large", "not_secure", "operator_taken"]); // trying again would not help

export class Link {
  private pc?: RTCPeerConnection;
  private channels: Record<string, RTCDataChannel> = {};
  private session?: string;
  private closed = true;
  private attempt = 0;
  private retry = 0;
  private pinger = 0;
  private lastPong = 0;
  private began = 0;
  role: Role;
  connectMs = NaN;

  constructor(
    role: Role, private readonly config: Config, private readonly token: string, readonly clock: ServerClock, private readonly listener: Listener,
    private readonly media: () => MediaStream | undefined, private readonly video: () => boolean,
  ) { this.role = role; }

  get connected(): boolean { return this.channels.control?.readyState === "open"; }
  get tracksInPage(): boolean { return this.role === "operator" || (this.role === "visitor" && this.config.tracking === "page"); }

  start(): void { this.closed = false; this.began = performance.now(); void this.connect(); }

  /** Ends it; nothing connects again. */
  stop(): void {
    this.send({ type: "bye" });
    this.closed = true;
    this.drop();
  }

  /** Connects anew, as when the page wants video instead of motion. */
  renew(): void { this.drop(); void this.connect(); }

  send(message: Control): void { if (this.connected) this.channels.control.send(JSON.stringify(message)); }
  sendTracked(data: ArrayBuffer): void {
    const channel = this.channels.tracked;
    if (channel?.readyState === "open" && channel.bufferedAmount < 2000) channel.send(data); // what waits longer is of no use
  }

  private async connect(): Promise<void> {
    const attempt = ++this.attempt;
    clearTimeout(this.retry);
    this.listener.state("connecting");
    try {
      const pc = this.pc = new RTCPeerConnection({ iceServers: this.config.ice_servers, bundlePolicy: "max-bundle" });
      pc.onconnectionstatechange = () => {
        if (attempt !== this.attempt) return;
        if (pc.connectionState === "failed" || pc.connectionState === "closed") this.again();
      };
      pc.ontrack = ({ track, receiver }) => {
        if ("jitterBufferTarget" in receiver) (receiver as { jitterBufferTarget: number }).jitterBufferTarget = 0;
        this.listener.track(track);
      };
      this.open(pc, attempt);
      this.offerMedia(pc);
      await pc.setLocalDescription(await pc.createOffer());
      await gathered(pc);
      const answer = await this.ask(pc.localDescription!);
      if (attempt !== this.attempt || this.closed) return;
      this.session = answer.session;
      this.role = answer.role;
      await pc.setRemoteDescription({ type: answer.type, sdp: answer.sdp });
      setTimeout(() => { if (attempt === this.attempt && !this.connected && !this.closed) this.again(); }, CONNECT_MS);
    } catch (error) {
      if (attempt !== this.attempt || this.closed) return;
      const refusal = error instanceof Refusal ? error : undefined;
      if (refusal?.code === "taken" && this.role === "visitor") { this.role = "viewer"; this.listener.state("refused", "taken"); this.renew(); return; }
      if (refusal && FINAL.has(refusal.code)) { this.closed = true; this.drop(); this.listener.state("refused", refusal.code, refusal.message); return; }
      this.again(refusal?.code);
    }
  }

  private open(pc: RTCPeerConnection, attempt: number): void {
    const quick = { ordered: false, maxRetransmits: 0 };
    this.channels = {
      motion: pc.createDataChannel("motion", quick), sound: pc.createDataChannel("sound", { ordered: false, maxPacketLifeTime: 200 }),
      control: pc.createDataChannel("control"), ...(this.tracksInPage ? { tracked: pc.createDataChannel("tracked", quick) } : {}),
    };
    for (const channel of Object.values(this.channels)) channel.binaryType = "arraybuffer";
    this.channels.motion.onmessage = ({ data }) => this.listener.motion(data);
    this.channels.sound.onmessage = ({ data }) => this.listener.sound(data);
    const { control } = this.channels;
    control.onopen = () => {
      if (attempt !== this.attempt) return;
      this.retryWait = 500;
      if (Number.isNaN(this.connectMs)) this.connectMs = performance.now() - this.began;
      this.send({ type: "hello", protocol: 1, role: this.role, user_agent: navigator.userAgent });
      this.ping(attempt);
      this.listener.state("connected");
    };
    control.onclose = () => { if (attempt === this.attempt && !this.closed) this.again(); };
    control.onmessage = ({ data }) => this.take(data);
  }

  private offerMedia(pc: RTCPeerConnection): void {
    const tracks = this.role === "viewer" ? [] : this.media()?.getTracks() ?? [];
    for (const track of tracks) {
      if (track.kind === "video" && this.tracksInPage) continue; // no picture leaves the page
      const { sender } = pc.addTransceiver(track, { direction: "sendonly" });
      if (track.kind === "video") {
        const parameters = sender.getParameters();
        for (const encoding of parameters.encodings) encoding.maxBitrate = 800_000;
        void sender.setParameters({ ...parameters, degradationPreference: "maintain-framerate" } as RTCRtpSendParameters).catch(() => undefined);
      }
    }
    if (this.role === "operator") for (const kind of ["video", "audio"]) pc.addTransceiver(kind, { direction: "recvonly" });
    else if (this.video()) pc.addTransceiver("video", { direction: "recvonly" });
  }

  private async ask({ sdp, type }: RTCSessionDescription): Promise<{ sdp: string; type: RTCSdpType; session: string; role: Role }> {
    const body = { sdp, type, role: this.role, token: this.token, video: this.video(), sound: canOpus() ? "opus" : "pcm", session: this.session };
    const response = await fetch("/offer", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: AbortSignal.timeout(CONNECT_MS),
    });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Refusal(answer.error ?? "server", answer.message ?? "");
    return answer;
  }

  private take(data: string): void {
    let message: Control;
    try { message = JSON.parse(data); } catch { return; }
    if (message.type === "pong") {
      this.clock.add(Number(message.t), Number(message.server), wall());
      this.lastPong = performance.now();
    }
    this.listener.control(message);
  }

  private ping(attempt: number, count = 0): void {
    clearTimeout(this.pinger);
    if (attempt !== this.attempt || !this.connected) return;
    if (count === 0) this.lastPong = performance.now();
    if (performance.now() - this.lastPong > SILENCE_MS) { this.again(); return; }
    this.send({ type: "ping", t: wall(), ...(this.clock.known ? { offset: this.clock.offset } : {}) });
    this.pinger = window.setTimeout(() => this.ping(attempt, count + 1), count < FIRST_PINGS ? 60 : PING_MS);
  }

  private retryWait = 500;

  private again(code?: string): void {
    this.drop();
    if (this.closed) return;
    this.listener.state("lost", code);
    this.clock.reset();
    this.retry = window.setTimeout(() => void this.connect(), this.retryWait * (0.8 + 0.4 * Math.random()));
    this.retryWait = Math.min(this.retryWait * 1.6, LONGEST_WAIT_MS);
  }

  private drop(): void {
    this.attempt++;
    clearTimeout(this.retry);
    clearTimeout(this.pinger);
    const pc = this.pc;
    this.pc = undefined;
    if (!pc) return;
    pc.ontrack = pc.onconnectionstatechange = null;
    for (const channel of Object.values(this.channels)) channel.onmessage = channel.onclose = channel.onopen = null;
    pc.close();
    this.channels = {};
  }

  /** Bytes that came, of everything; and those that were sent besides sound and pictures. */
  async traffic(): Promise<{ received: number; sent: number }> {
    let received = 0, sent = 0;
    (await this.pc?.getStats())?.forEach((s) => {
      if (s.type === "transport") received += s.bytesReceived ?? 0;
      if (s.type === "data-channel") sent += s.bytesSent ?? 0;
    });
    return { received, sent };
  }
}

class Refusal extends Error { constructor(readonly code: string, message: string) { super(message); } }

const gathered = (pc: RTCPeerConnection) => new Promise<void>((done) => {
  if (pc.iceGatheringState === "complete") return done();
  const timer = setTimeout(done, GATHER_MS);
  pc.onicegatheringstatechange = () => { if (pc.iceGatheringState === "complete") { clearTimeout(timer); done(); } };
});
