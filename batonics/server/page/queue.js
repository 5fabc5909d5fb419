/** The queue of a level: a block for each order in the order of priority, its width by its size. */

import { find, make } from "./dom.js";

/** @typedef {import("./types.js").Book} Book */
/** @typedef {import("./types.js").Level} Level */

const BLOCKS_MAX = 500;

export class Queue {
  /** @param {(orderId: string) => void} choose called with the order that is chosen */
  constructor(choose) {
    this.choose = choose;
    this.list = find("queue", HTMLOListElement);
    this.hint = find("queue-hint", HTMLParagraphElement);
    this.title = find("queue-title", HTMLHeadingElement);
  }

  /**
   * @param {Book | null} book
   * @param {{side: string, price: string, order: string}} state
   */
  show(book, state) {
    const levels = (state.side === "A" ? book?.asks : book?.bids) ?? [];
    const level = state.price ? levels.find((one) => one.price === state.price) : undefined;
    this.title.textContent = state.price
      ? `Queue of the ${state.side === "A" ? "ask" : "bid"} ${state.price}`
      : "Queue";
    this.list.className = state.side === "A" ? "asks" : "bids";
    this.list.replaceChildren(...blocks(level, state.order, this.choose));
    this.hint.textContent = hint(state.price, level);
  }
}

/**
 * @param {Level | undefined} level
 * @param {string} chosen
 * @param {(orderId: string) => void} choose
 * @returns {HTMLLIElement[]}
 */
function blocks(level, chosen, choose) {
  const orders = (level?.orders ?? []).slice(0, BLOCKS_MAX);
  let ahead = 0;
  return orders.map((order, place) => {
    const text = `order ${order.order_id}, size ${order.size}, ahead ${place} orders of ${ahead}`;
    ahead += order.size;
    const button = make("button", "", String(order.size));
    button.type = "button";
    button.title = text;
    button.setAttribute("aria-label", text);
    button.dataset.order = order.order_id;
    if (order.order_id === chosen) button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => choose(order.order_id));
    const item = make("li", "", button);
    item.style.flexGrow = String(order.size);
    return item;
  });
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
  return `${level.count} orders, size ${level.size}; the first to be filled is on the left${rest}.`;
}
