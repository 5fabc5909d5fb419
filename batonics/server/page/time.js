/** The moment that is shown: play and pause, steps, jumps, and the place in the day. */

import { find } from "./dom.js";
import { formatTime, parseTime } from "./values.js";

/** @typedef {import("./types.js").DataSpan} DataSpan */
/**
 * @typedef {object} Player
 * @property {(at: string, speed: number) => void} play
 * @property {(speed: number) => void} setSpeed
 * @property {() => void} pause stops the clock, and shows the moment at which it stands
 * @property {() => void} stop ends it, wherever it is
 */

const SCRUB_STEPS = 10_000n;

export class TimeControls {
  /**
   * @param {(at: string) => void} go shows a moment
   * @param {(direction: "next" | "previous", kind: string) => void} step
   * @param {(text: string) => void} fail
   * @param {Player} player plays from a moment on
   */
  constructor(go, step, fail, player) {
    this.player = player;
    this.isPlaying = false;
    this.at = "";
    this.go = go;
    this.step = step;
    this.fail = fail;
    /** @type {{from: bigint, until: bigint} | null} */
    this.span = null;
    /** @type {bigint | null} the time that is shown; of a record, the time of its book */
    this.now = null;
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
      if (this.isPlaying) this.player.setSpeed(Number(this.speed.value));
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
    this.at = at;
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
    if (this.isPlaying) this.player.pause();
    else this.play();
  }

  play() {
    if (!this.span || this.now === null) return;
    const isAtEnd = this.now >= this.span.until;
    this.isPlaying = true;
    this.showPlaying();
    const now = this.at.startsWith("record:") ? this.at : formatTime(this.now);
    this.player.play(isAtEnd ? formatTime(this.span.from) : now, Number(this.speed.value));
  }

  /** It stands still: a person goes elsewhere, or the player has stopped. */
  pause() {
    if (this.isPlaying) this.player.stop();
    this.isPlaying = false;
    this.showPlaying();
  }

  showPlaying() {
    this.button.textContent = this.isPlaying ? "⏸" : "▶";
    this.button.setAttribute("aria-pressed", String(this.isPlaying));
    this.button.setAttribute("aria-label", this.isPlaying ? "Pause (Space)" : "Play (Space)");
  }
}
