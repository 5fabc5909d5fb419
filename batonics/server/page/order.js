/** The life of an order: what stands ahead of it now, and each of its records. */

import { find, make } from "./dom.js";
import { formatSpan, parseTime } from "./values.js";

/** @typedef {import("./types.js").OrdersDocument} OrdersDocument */
/** @typedef {import("./types.js").OrderLife} OrderLife */
/** @typedef {import("./types.js").RecordRow} RecordRow */

const ACTIONS = /** @type {Record<string, string>} */ ({
  A: "added",
  C: "cancelled",
  M: "modified",
  F: "filled",
  T: "traded",
  R: "cleared",
});

export class OrderPanel {
  /** @param {(record: number) => void} jump called with the record that is chosen */
  constructor(jump) {
    this.jump = jump;
    this.panel = find("order", HTMLDivElement);
  }

  /** @param {OrdersDocument | null} document */
  show(document) {
    const lives = document?.orders ?? [];
    const warnings = (document?.warnings ?? []).map((text) => make("p", "warning", text));
    const at = document?.at ?? document?.data.until ?? null;
    this.panel.replaceChildren(...warnings, ...lives.map((life) => this.drawLife(life, at)));
  }

  /** @param {string} text */
  showProblem(text) {
    this.panel.replaceChildren(make("p", "warning", text));
  }

  /**
   * @param {OrderLife} life
   * @param {string | null} at the time that is shown
   * @returns {HTMLElement}
   */
  drawLife(life, at) {
    const more = life.more_records
      ? [make("p", "warning", `${life.more_records} further records are not shown.`)]
      : [];
    return make(
      "article",
      "",
      make("p", "", describe(life, at)),
      ...doubts(life).map((text) => make("p", "warning", text)),
      make("ol", "records", ...life.records.map((record) => this.drawRecord(record))),
      ...more,
    );
  }

  /**
   * @param {RecordRow} record
   * @returns {HTMLLIElement}
   */
  drawRecord(record) {
    const button = make("button", "", record.ts_recv ?? "");
    button.type = "button";
    button.title = `Go to record ${record.record}`;
    button.addEventListener("click", () => this.jump(record.record));
    const facts = ` ${ACTIONS[record.action] ?? record.action}: size ${record.size ?? "none"}`;
    return make("li", "", button, `${facts} at ${record.price ?? "no price"}`);
  }
}

/**
 * What may be wrong about the place of an order.
 * @param {OrderLife} life
 * @returns {string[]}
 */
function doubts(life) {
  const texts = life.warnings.length ? [`Its book is ${life.warnings.join(", ")}.`] : [];
  if (life.priority !== "fifo") {
    texts.push(`The order of filling is not known: ${life.priority_rule}.`);
  }
  return texts;
}

/**
 * Why an order is no longer in the book, by its last record so far.
 * @param {OrderLife} life
 * @returns {string}
 */
export function howItLeft({ records, more_records: more }) {
  const last = records.at(-1);
  if (!last || more > 0) return "";
  if (last.action !== "C") return "No record of its own removes it: a clear or a snapshot has.";
  const isFilled = records.some((one) => one.action === "F" && one.ts_event === last.ts_event);
  return isFilled ? "It was filled." : "It was cancelled.";
}

/**
 * What an order is at the moment, in one sentence.
 * @param {OrderLife} life
 * @param {string | null} at
 * @returns {string}
 */
function describe(life, at) {
  const name = `${life.symbol ?? life.instrument_id} order ${life.order_id}`;
  if (!life.is_live) return `${name} is not in the book at this moment. ${howItLeft(life)}`;
  const side = life.side === "A" ? "sells" : "buys";
  const ahead = life.ahead ? `${life.ahead.orders} orders of ${life.ahead.size} in all` : "unknown";
  const first = life.records[0]?.ts_recv;
  const age = at && first ? formatSpan(parseTime(at) - parseTime(first)) : "unknown";
  return `${name} ${side} ${life.size} at ${life.price}. Ahead of it: ${ahead}. Age: ${age}.`;
}
