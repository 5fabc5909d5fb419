/**
 * The queue of a level: a block for each order in the order of priority, its width by its size, its
 * colour by the time for which it has had its place. A block with a mark was refilled after fills.
 */

import { find, make } from "./dom.js";
import { formatSpan, parseTime } from "./values.js";

/** @typedef {import("./types.js").Book} Book */
/** @typedef {import("./types.js").Level} Level */
/** @typedef {import("./types.js").AgedOrder} AgedOrder */
/** @typedef {import("./types.js").QueueDocument} QueueDocument */

const BLOCKS_MAX = 500;
const SECOND = 1_000_000_000n;
/** Bounds between the colours, the palest first. */
const AGES = [SECOND, 10n * SECOND, 60n * SECOND, 600n * SECOND];

export class Queue {
  /** @param {(orderId: string) => void} choose called with the order that is chosen */
  constructor(choose) {
    this.choose = choose;
    this.list = find("queue", HTMLOListElement);
    this.hint = find("queue-hint", HTMLParagraphElement);
    this.title = find("queue-title", HTMLHeadingElement);
    /** @type {Map<string, AgedOrder>} what is known of orders, by their ids */
    this.known = new Map();
    /** @type {string | null} */
    this.now = null;
  }

  /**
   * @param {Book | null} book
   * @param {{side: string, price: string, order: string}} state
   */
  show(book, state) {
    const levels = (state.side === "A" ? book?.asks : book?.bids) ?? [];
    const level = state.price ? levels.find((one) => one.price === state.price) : undefined;
    this.now = book?.ts_recv ?? null;
    this.title.textContent = state.price
      ? `Queue of the ${state.side === "A" ? "ask" : "bid"} ${state.price}`
      : "Queue";
    this.list.className = state.side === "A" ? "asks" : "bids";
    this.list.replaceChildren(...this.blocks(level, state.order));
    this.hint.textContent = hint(state.price, level);
  }

  /**
   * Colour the blocks that are shown by what is known of their orders.
   * @param {QueueDocument} queue
   */
  showAges({ orders }) {
    this.known = new Map(orders.map((order) => [order.order_id, order]));
    for (const button of this.list.querySelectorAll("button")) this.age(button);
  }

  /**
   * @param {Level | undefined} level
   * @param {string} chosen
   * @returns {HTMLLIElement[]}
   */
  blocks(level, chosen) {
    const orders = (level?.orders ?? []).slice(0, BLOCKS_MAX);
    let ahead = 0;
    return orders.map((order, place) => {
      const text = `order ${order.order_id}, size ${order.size}, ahead ${place} orders of ${ahead}`;
      ahead += order.size;
      const button = make("button", "", String(order.size));
      button.type = "button";
      button.dataset.order = order.order_id;
      button.dataset.text = text;
      this.age(button);
      if (order.order_id === chosen) button.setAttribute("aria-pressed", "true");
      button.addEventListener("click", () => this.choose(order.order_id));
      const item = make("li", "", button);
      item.style.flexGrow = String(order.size);
      return item;
    });
  }

  /** @param {HTMLButtonElement} button */
  age(button) {
    const known = this.known.get(button.dataset.order ?? "");
    const text = `${button.dataset.text}${known ? describeAge(known, this.now) : ""}`;
    button.title = text;
    button.setAttribute("aria-label", text);
    button.className = known ? `age-${ageStep(known, this.now)}` : "";
    button.classList.toggle("refilled", known?.is_refilled ?? false);
  }
}

/**
 * The step of an order's colour: 0 is the palest; null: nothing is known.
 * @param {{placed: string | null}} order
 * @param {string | null} now
 * @returns {number}
 */
export function ageStep({ placed }, now) {
  if (placed === null || now === null) return AGES.length;
  const age = parseTime(now) - parseTime(placed);
  const step = AGES.findIndex((bound) => age < bound);
  return step < 0 ? AGES.length : step;
}

/**
 * @param {AgedOrder} order
 * @param {string | null} now
 * @returns {string}
 */
export function describeAge(order, now) {
  const { added, placed, filled, first_size: first } = order;
  const since = (/** @type {string} */ time) =>
    formatSpan(parseTime(now ?? time) - parseTime(time));
  const parts = [];
  if (placed === null) parts.push("in its place for longer than was searched");
  else parts.push(`in its place for ${since(placed)}`);
  if (added !== null && added !== placed) parts.push(`added ${since(added)} ago`);
  if (order.is_from_snapshot) parts.push("from a snapshot, so older");
  if (filled > 0) parts.push(`filled ${filled}${first === null ? "" : ` of first ${first}`}`);
  if (order.is_refilled) parts.push("refilled after fills");
  return `, ${parts.join(", ")}`;
}

/**
 * @param {string} price
 * @param {Level | undefined} level
 * @returns {string}
 */
function hint(price, level) {
  if (!price) return "Choose a level of the ladder to see its orders.";
  if (!level) return "No order stands at this price now, or the level is deeper than the ladder.";
  const shown = level.orders?.length ?? 0;
  const rest = shown > BLOCKS_MAX ? `; the first ${BLOCKS_MAX} are shown` : "";
  return `${level.count} orders, size ${level.size}; the first to be filled is on the left${rest}.`
    + " The darker, the longer in its place (1 s, 10 s, 1 min, 10 min); ↻: refilled after fills.";
}
