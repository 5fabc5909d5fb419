/** The moment that is shown: play and pause, steps, jumps, and the place in the day. */

import { find } from "./dom.js";
import { formatTime, parseTime } from "./values.js";

/** @typedef {import("./types.js").DataSpan} DataSpan */

const TICK_MS = 100;
const SCRUB_STEPS = 10_000n;

export class TimeControls {
  /**
   * @param {(at: string) => void} go shows a moment
   * @param {(direction: "next" | "previous", kind: string) => void} step
   * @param {(text: string) => void} fail
   */
  constructor(go, step, fail) {
    this.go = go;
    this.step = step;
    this.fail = fail;
    /** @type {{from: bigint, until: bigint} | null} */
    this.span = null;
    /** @type {bigint | null} the time that is shown; of a record, the time of its book */
    this.now = null;
    /** @type {{timer: number, at: bigint, since: number} | null} */
    this.playing = null;
    this.input = find("time", HTMLInputElement);
    this.scrub = find("scrub", HTMLInputElement);
    this.speed = find("speed", HTMLSelectElement);
    this.kind = find("kind", HTMLSelectElement);
    this.button = find("play", HTMLButtonElement);
    this.listen();
  }

  listen() {
    find("time-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.goTo(this.input.value);
    });
    this.scrub.addEventListener("input", () => this.goToShare(BigInt(this.scrub.value)));
    this.speed.addEventListener("change", () => {
      if (this.playing) this.restart();
    });
    for (const button of find("transport", HTMLElement).querySelectorAll("button")) {
      button.addEventListener("click", () => this.act(button.dataset.action ?? ""));
    }
  }

  /** @param {DataSpan} data the times of the first and the last record */
  setSpan({ from, until }) {
    this.span = from && until ? { from: parseTime(from), until: parseTime(until) } : null;
  }

  /**
   * What is shown now.
   * @param {string | null} tsRecv the time of the book
   * @param {string} at the moment that was asked for
   */
  show(tsRecv, at) {
    const shown = at.startsWith("record:") || at === "" ? (tsRecv ?? "") : at;
    this.now = shown ? parseTime(shown) : null;
    if (document.activeElement !== this.input) this.input.value = shown;
    find("moment", HTMLOutputElement).textContent = at.startsWith("record:") ? at : "";
    if (this.span && shown && document.activeElement !== this.scrub) {
      const length = this.span.until - this.span.from;
      const place = parseTime(shown) - this.span.from;
      this.scrub.value = String(length > 0n ? (place * SCRUB_STEPS) / length : SCRUB_STEPS);
    }
    this.scrub.setAttribute("aria-valuetext", shown);
  }

  /** @param {string} action what a button or a key asks for */
  act(action) {
    const [direction, kind] = action.split("-");
    if (action === "play") this.toggle();
    else if (action === "last") this.goToEnd();
    else if (action === "first") this.goToShare(0n);
    else if (direction === "next" || direction === "previous") {
      this.pause();
      this.step(direction, kind === "kind" ? this.kind.value : kind);
    }
  }

  goToEnd() {
    this.pause();
    this.go("");
  }

  /** @param {bigint} share of the data's span, in 1/10,000 */
  goToShare(share) {
    this.pause();
    if (!this.span) return;
    const { from, until } = this.span;
    this.go(formatTime(from + ((until - from) * share) / SCRUB_STEPS));
  }

  /** @param {string} text a time, or `record:NUMBER` */
  goTo(text) {
    this.pause();
    try {
      this.go(/^record:\d+$/.test(text.trim()) ? text.trim() : formatTime(parseTime(text)));
    } catch (error) {
      this.fail(error instanceof Error ? error.message : String(error));
    }
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (!this.span || this.now === null) return;
    const at = this.now >= this.span.until ? this.span.from : this.now;
    const timer = window.setInterval(() => this.tick(), TICK_MS);
    this.playing = { timer, at, since: performance.now() };
    this.showPlaying();
  }

  /** Go on from where it is, at another speed. */
  restart() {
    this.pause();
    this.play();
  }

  pause() {
    if (this.playing) window.clearInterval(this.playing.timer);
    this.playing = null;
    this.showPlaying();
  }

  tick() {
    if (!this.playing || !this.span) return;
    const { at, since } = this.playing;
    const passed_ns = (performance.now() - since) * Number(this.speed.value) * 1e6;
    const now = at + BigInt(Math.round(passed_ns));
    if (now < this.span.until) this.go(formatTime(now));
    else this.goToEnd();
  }

  showPlaying() {
    const isPlaying = this.playing !== null;
    this.button.textContent = isPlaying ? "⏸" : "▶";
    this.button.setAttribute("aria-pressed", String(isPlaying));
    this.button.setAttribute("aria-label", isPlaying ? "Pause (Space)" : "Play (Space)");
  }
}
