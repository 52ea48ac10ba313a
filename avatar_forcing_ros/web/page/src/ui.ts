// What lies over the face: the start card, the panel, captions, signs, notices. All words come from texts.json.
import texts from "./texts.json";

export { texts };
const by = (id: string) => document.getElementById(id)!;

type Child = Node | string;
function make<K extends keyof HTMLElementTagNameMap>(tag: K, values: Partial<HTMLElementTagNameMap[K]> = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...children);
  return element;
}

/** Asks once, and says why. Resolves with what was chosen. */
export function startCard(lead: string, why: string[], button: string, watch?: string): Promise<"begin" | "watch"> {
  const card = by("start");
  return new Promise((done) => {
    const close = (choice: "begin" | "watch") => { card.hidden = true; card.replaceChildren(); done(choice); };
    card.replaceChildren(
      make("p", { className: "lead" }, lead), ...why.map((line) => make("p", { className: "why" }, line)),
      make("button", { className: "main", id: "begin", onclick: () => close("begin") }, button),
      ...(watch ? [make("button", { className: "plain", onclick: () => close("watch") }, watch)] : []),
    );
    card.hidden = false;
    by("begin").focus();
  });
}

let noticeTimer = 0;
/** One line at the top; it goes by itself after some seconds where told so. Empty: none. */
export function notice(text: string, seconds = 0): void {
  clearTimeout(noticeTimer);
  by("notice").textContent = text;
  by("notice").hidden = !text;
  if (seconds) noticeTimer = window.setTimeout(() => notice(""), 1000 * seconds);
}

export function signs(list: { text: string; quiet?: boolean }[]): void {
  by("signs").replaceChildren(...list.map(({ text, quiet }) => make("span", { className: quiet ? "quiet" : "" }, text)));
}

/** Captions at their presentation time. An empty text lets those that began before it stay for its duration. */
export class Captions {
  private list: { text: string; start: number; end: number }[] = [];
  private shown = "";
  on = true;
  add(text: string, start: number, duration: number): void {
    for (const caption of this.list) if (caption.start < start) caption.end = Math.min(caption.end, text ? start : start + duration);
    this.list = this.list.filter((c) => c.start !== start);
    if (text) this.list.push({ text, start, end: start + duration });
    this.list.sort((a, b) => a.start - b.start).splice(0, this.list.length - 50);
  }
  clear(): void { this.list = []; }
  show(now: number): void {
    this.list = this.list.filter((c) => c.end > now);
    const text = this.on ? this.list.filter((c) => c.start <= now).at(-1)?.text ?? "" : "";
    if (text === this.shown) return;
    this.shown = text;
    by("captions").replaceChildren(...(text ? [make("span", {}, text)] : []));
  }
}

export interface PanelState {
  rows: Record<string, string>; faces: string[]; face: string; theme: string; microphone?: boolean; voice: boolean; captions: boolean;
}
export interface PanelActions {
  face(name: string): void; theme(name: string): void; microphone(muted: boolean): void; voice(muted: boolean): void; captions(on: boolean): void;
}

/** The panel: a key or a long press opens it. */
export class Panel {
  private readonly rows = new Map<string, HTMLElement>();
  constructor(private readonly state: () => PanelState, private readonly actions: PanelActions) {
    addEventListener("keydown", (event) => {
      if (event.key === "p" || event.key === "P") this.toggle();
      if (event.key === "Escape") this.close();
    });
    let timer = 0;
    addEventListener("pointerdown", (event) => { if ((event.target as Element).closest("section") === null) timer = window.setTimeout(() => this.toggle(), 700); });
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) addEventListener(name, () => clearTimeout(timer));
    addEventListener("contextmenu", (event) => event.preventDefault());
    setInterval(() => this.refresh(), 500);
  }
  get open(): boolean { return !by("panel").hidden; }
  close(): void { by("panel").hidden = true; }
  toggle(): void {
    if (this.open) return this.close();
    const state = this.state(), t = texts.panel, list = make("dl");
    this.rows.clear();
    for (const [name, value] of Object.entries(state.rows)) {
      const cell = make("dd", {}, value);
      this.rows.set(name, cell);
      list.append(make("dt", {}, name), cell);
    }
    const check = (text: string, checked: boolean, act: (on: boolean) => void) =>
      make("label", {}, text, make("input", { type: "checkbox", checked, onchange: (e) => act((e.target as HTMLInputElement).checked) }));
    const choose = (text: string, options: [string, string][], value: string, act: (name: string) => void) => {
      const select = make("select", { onchange: (e) => act((e.target as HTMLSelectElement).value) }, ...options.map(([v, label]) => make("option", { value: v }, label)));
      select.value = value;
      return make("label", {}, text, select);
    };
    by("panel").replaceChildren(
      make("h2", {}, t.title), list,
      ...(state.microphone === undefined ? [] : [check(t.mute_microphone, state.microphone, this.actions.microphone)]),
      check(t.mute_voice, state.voice, this.actions.voice), check(t.captions, state.captions, this.actions.captions),
      ...(state.faces.length > 1 ? [choose(t.face, state.faces.map((f) => [f, f]), state.face, this.actions.face)] : []),
      choose(t.theme, [["auto", t.theme_auto], ["light", t.theme_light], ["dark", t.theme_dark]], state.theme, this.actions.theme),
      make("p", { className: "hint" }, t.hint), make("button", { className: "main", onclick: () => this.close() }, t.close),
    );
    by("panel").hidden = false;
  }
  private refresh(): void {
    if (!this.open) return;
    for (const [name, value] of Object.entries(this.state().rows)) { const cell = this.rows.get(name); if (cell) cell.textContent = value; }
  }
}

/** The operator's corner: the visitor, and a button that takes over and gives back. */
export class OperatorCorner {
  readonly video = make("video", { autoplay: true, playsInline: true, muted: true });
  private readonly line = make("p");
  private readonly button = make("button", { className: "main" });
  private live = false;
  constructor(toggle: (live: boolean) => void) {
    this.button.onclick = () => toggle(!this.live);
    by("operator").replaceChildren(this.video, this.line, this.button);
    by("operator").hidden = false;
    this.show(false, false);
  }
  show(live: boolean, visitor: boolean): void {
    const t = texts.operator;
    this.live = live;
    this.line.textContent = `${visitor ? t.visitor : t.nobody}. ${live ? t.you_are_live : t.machine_is_live}.`;
    this.button.textContent = live ? t.give : t.take;
  }
}

export function theme(name: string): void {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  localStorage.setItem("theme", name);
}
