/**
 * Depth over time: a picture of the grid of integers that /v1/heatmap answers. A click shows the
 * moment; the wheel, a drag and the keys change the span.
 */

import { find } from "./dom.js";
import { drawHeatmap, drawNow, MARGIN } from "./heatmap_drawing.js";
import { Latest } from "./latest.js";
import { formatSpan, formatTime, parseTime } from "./values.js";

/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./types.js").Heatmap} Heatmap */
/** @typedef {import("./view.js").ViewState} ViewState */
/** @typedef {{from: bigint, to: bigint}} Span */

const SPAN_MIN_NS = 1_000_000n;
const ZOOM_STEP = 1.5;
const COLUMN_PIXELS = 3;
const ROW_PIXELS = 6;
const DRAG_PIXELS = 4;

export class HeatmapPanel {
  /**
   * @param {Client} client
   * @param {(part: Partial<ViewState>) => void} change the view
   * @param {(error: unknown) => void} fail
   */
  constructor(client, change, fail) {
    this.change = change;
    this.box = find("heatmap", HTMLDivElement);
    this.canvas = find("heatmap-cells", HTMLCanvasElement);
    this.overlay = find("heatmap-now", HTMLCanvasElement);
    this.hint = find("heatmap-hint", HTMLParagraphElement);
    /** @type {Span | null} the times of the data */
    this.data = null;
    /** @type {Heatmap | null} */
    this.grid = null;
    /** @type {bigint | null} the time that is shown */
    this.now = null;
    /** @type {ViewState | null} */
    this.state = null;
    this.grids = new Latest(
      (/** @type {ViewState} */ state) => this.load(client, state),
      (grid) => this.show(grid),
      fail,
    );
    this.listen();
  }

  listen() {
    new ResizeObserver(() => this.draw()).observe(this.box);
    document.addEventListener("themechange", () => this.draw());
    this.box.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1 / ZOOM_STEP : ZOOM_STEP, this.shareAt(event.offsetX));
    });
    this.box.addEventListener("pointerdown", (down) => this.drag(down));
  }

  /**
   * Follow the pointer: without a move it is a click, which shows the moment.
   * @param {PointerEvent} down
   */
  drag(down) {
    const span = this.span();
    if (!span || down.button !== 0) return;
    this.box.setPointerCapture(down.pointerId);
    const width = this.width();
    let isMoved = false;
    /** @param {PointerEvent} move */
    const follow = (move) => {
      const pixels = move.clientX - down.clientX;
      isMoved ||= Math.abs(pixels) > DRAG_PIXELS;
      if (isMoved) this.shift(span, -pixels / width);
    };
    this.box.addEventListener("pointermove", follow);
    this.box.addEventListener(
      "pointerup",
      (up) => {
        this.box.removeEventListener("pointermove", follow);
        if (!isMoved) this.change({ at: formatTime(timeAt(span, this.shareAt(up.offsetX))) });
      },
      { once: true },
    );
  }

  /** @param {{from: string | null, until: string | null}} data the times of the data */
  setData({ from, until }) {
    this.data = from && until ? { from: parseTime(from) - 1n, to: parseTime(until) } : null;
  }

  /**
   * @param {Client} client
   * @param {ViewState} state
   * @returns {Promise<Heatmap>}
   */
  load(client, state) {
    const columns = Math.max(1, Math.floor(this.width() / COLUMN_PIXELS));
    const rows = Math.max(1, Math.floor(this.box.clientHeight / ROW_PIXELS));
    const size = { rows: Math.min(rows, 500), columns: Math.min(columns, 2000) };
    return client.heatmap(state, state, size);
  }

  /**
   * Ask for the grid of a view.
   * @param {ViewState} state
   * @returns {Promise<void>}
   */
  ask(state) {
    this.state = state;
    return this.grids.ask(state);
  }

  /** @param {Heatmap} grid */
  show(grid) {
    this.grid = grid;
    this.draw();
    const span = this.span();
    const length = span ? formatSpan(span.to - span.from) : "";
    const column = formatSpan(BigInt(grid.column_ns));
    const doubts = grid.warnings.length ? ` The books are ${grid.warnings.join(", ")}.` : "";
    this.hint.textContent =
      `${length}; a column is ${column} and shows the book at its end.` +
      ` Circles are trades.${doubts}`;
    this.canvas.setAttribute(
      "aria-label",
      `Depth of ${grid.symbol} from ${grid.from} to ${grid.to}, ${grid.columns} columns of time` +
        ` and ${grid.rows} rows of prices from ${grid.low}`,
    );
  }

  /** @param {bigint | null} now the time of the book that is shown */
  mark(now) {
    this.now = now;
    if (this.grid) drawNow(this.overlay, this.grid, now);
  }

  draw() {
    if (!this.grid) return;
    drawHeatmap(this.canvas, this.grid);
    drawNow(this.overlay, this.grid, this.now);
  }

  /** @returns {Span | null} what is shown, or asked for */
  span() {
    if (!this.data) return null;
    return {
      from: this.state?.from ? parseTime(this.state.from) : this.data.from,
      to: this.state?.to ? parseTime(this.state.to) : this.data.to,
    };
  }

  /**
   * @param {number} factor below 1: a shorter span
   * @param {number} share the place that stays, from 0 (left) to 1; by default the shown moment's
   */
  zoom(factor, share = this.shareOfNow()) {
    const span = this.span();
    if (!span || !this.data) return;
    const length = scale(span.to - span.from, factor);
    const whole = this.data.to - this.data.from;
    if (length >= whole) {
      this.change({ from: "", to: "" });
      return;
    }
    const kept = length < SPAN_MIN_NS ? SPAN_MIN_NS : length;
    const from = timeAt(span, share) - scale(kept, share);
    this.changeTo({ from, to: from + kept });
  }

  /**
   * @param {Span | null} span
   * @param {number} share of the span's length; above 0: to later times
   */
  shift(span, share) {
    if (!span) return;
    const by = scale(span.to - span.from, share);
    this.changeTo({ from: span.from + by, to: span.to + by });
  }

  /** @param {Span} span moved into the times of the data, if it is beyond them */
  changeTo(span) {
    if (!this.data) return;
    const length = span.to - span.from;
    let from = span.from < this.data.from ? this.data.from : span.from;
    if (from + length > this.data.to) from = this.data.to - length;
    if (from < this.data.from) from = this.data.from;
    this.change({ from: formatTime(from), to: formatTime(from + length) });
  }

  /** @returns {number} the width of the cells in pixels */
  width() {
    return Math.max(1, this.box.clientWidth - MARGIN.right);
  }

  /**
   * @param {number} x
   * @returns {number}
   */
  shareAt(x) {
    return Math.min(1, Math.max(0, x / this.width()));
  }

  /** @returns {number} */
  shareOfNow() {
    const span = this.span();
    if (!span || this.now === null || this.now < span.from || this.now > span.to) return 0.5;
    return Number(this.now - span.from) / Number(span.to - span.from);
  }
}

/**
 * @param {bigint} length
 * @param {number} factor
 * @returns {bigint}
 */
function scale(length, factor) {
  return (length * BigInt(Math.round(factor * 1e6))) / 1_000_000n;
}

/**
 * @param {Span} span
 * @param {number} share
 * @returns {bigint}
 */
function timeAt(span, share) {
  return span.from + scale(span.to - span.from, share);
}
