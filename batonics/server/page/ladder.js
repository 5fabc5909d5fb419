/** The ladder: a row for each level, asks above bids. A click on a row chooses its queue. */

import { find, make } from "./dom.js";
import { alignPrices } from "./values.js";

/** @typedef {import("./types.js").Book} Book */
/** @typedef {import("./types.js").Level} Level */
/** @typedef {{side: "A" | "B", level: Level}} Row */

export class Ladder {
  /** @param {(side: string, price: string) => void} choose called with the level that is chosen */
  constructor(choose) {
    this.choose = choose;
    this.body = find("ladder", HTMLTableElement).tBodies[0];
    this.scroll = find("ladder-scroll", HTMLDivElement);
    /** @type {Row[]} */
    this.rows = [];
    /** @type {LadderRow[]} */
    this.drawn = [];
    /** @type {Map<string, number>} sizes of the book shown before, by side and price */
    this.before = new Map();
    /** @type {Map<string, number>} */
    this.traded = new Map();
    this.bookName = "";
    this.chosen = { side: "", price: "" };
    this.body.addEventListener("click", (event) => {
      const row = event.target instanceof Element ? event.target.closest("tr") : null;
      if (row) this.choose(row.dataset.side ?? "", row.dataset.price ?? "");
    });
  }

  /** @param {Book | null} book */
  show(book) {
    const name = book ? `${book.publisher_id}/${book.instrument_id}` : "";
    const isSame = name === this.bookName;
    this.bookName = name;
    const asks = (book?.asks ?? []).map((level) => /** @type {Row} */ ({ side: "A", level }));
    const bids = (book?.bids ?? []).map((level) => /** @type {Row} */ ({ side: "B", level }));
    this.rows = [...asks.reverse(), ...bids];
    this.draw(isSame);
    this.before = new Map(this.rows.map(({ side, level }) => [side + level.price, level.size]));
    if (!isSame) this.centre();
  }

  /**
   * @param {Map<string, number>} traded the size of the trades on the tape, by price
   */
  showTraded(traded) {
    this.traded = traded;
    this.draw(false);
  }

  /**
   * @param {string} side
   * @param {string} price
   */
  mark(side, price) {
    this.chosen = { side, price };
    this.draw(false);
  }

  /**
   * Choose the level above or below the chosen one; the best bid if there is none.
   * @param {1 | -1} step
   */
  move(step) {
    const { side, price } = this.chosen;
    const at = this.rows.findIndex((row) => row.side === side && row.level.price === price);
    const bestBid = this.rows.findIndex((row) => row.side === "B");
    const next = this.rows[at < 0 ? Math.max(bestBid, 0) : at + step];
    if (!next) return;
    this.choose(next.side, next.level.price);
    this.body.rows[this.rows.indexOf(next)].scrollIntoView({ block: "nearest" });
  }

  /** Bring the space between bids and asks to the middle of the panel. */
  centre() {
    const bestBid = this.body.rows[this.rows.findIndex((row) => row.side === "B")];
    if (bestBid) this.scroll.scrollTop = bestBid.offsetTop - this.scroll.clientHeight / 2;
  }

  /** @param {boolean} isFlashing whether levels that changed are marked */
  draw(isFlashing) {
    const prices = alignPrices(this.rows.map((row) => row.level.price));
    const largest = Math.max(1, ...this.rows.map((row) => row.level.size));
    const firstBid = this.rows.findIndex((row) => row.side === "B");
    while (this.drawn.length < this.rows.length) this.drawn.push(new LadderRow());
    this.rows.forEach((row, place) => {
      const { side, level } = row;
      const isChosen = this.chosen.side === side && this.chosen.price === level.price;
      const isChanged = isFlashing && this.before.get(side + level.price) !== level.size;
      this.drawn[place].show(row, {
        price: prices[place],
        share: level.size / largest,
        traded: this.traded.get(level.price),
        classes: `${side === "B" ? "bid-row" : "ask-row"}${place === firstBid ? " first-bid" : ""}${
          isChanged ? " changed" : ""
        }`,
        isChosen,
      });
    });
    const elements = this.drawn.slice(0, this.rows.length).map((row) => row.element);
    if (this.body.rows.length !== elements.length) this.body.replaceChildren(...elements);
  }
}

/** A row of the table that shows one level after another: only what differs is written. */
class LadderRow {
  constructor() {
    this.button = make("button", "");
    this.button.type = "button";
    this.button.tabIndex = -1; // the keys j and k choose levels: a stop for each row is too many
    const names = ["count", "bid", "price", "ask", "count", "traded"];
    this.cells = names.map((name) => make("td", name));
    this.cells[2].append(this.button);
    this.element = make("tr", "", ...this.cells);
  }

  /**
   * @param {Row} row
   * @param {{price: string, share: number, traded: number | undefined, classes: string,
   *   isChosen: boolean}} look
   */
  show({ side, level }, { price, share, traded, classes, isChosen }) {
    const isBid = side === "B";
    const [size, count] = [String(level.size), String(level.count)];
    const texts = isBid ? [count, size, "", ""] : ["", "", size, count];
    [0, 1, 3, 4].forEach((cell, place) => write(this.cells[cell], texts[place]));
    write(this.cells[5], traded === undefined ? "" : String(traded));
    write(this.button, price);
    this.cells[isBid ? 1 : 3].style.setProperty("--share", `${(100 * share).toFixed(1)}%`);
    this.cells[isBid ? 3 : 1].style.setProperty("--share", "0%");
    this.element.className = classes;
    this.element.dataset.side = side;
    this.element.dataset.price = level.price;
    this.element.ariaSelected = isChosen ? "true" : null;
    this.button.ariaLabel = `Queue of the ${isBid ? "bid" : "ask"} ${price}`;
  }
}

/**
 * @param {HTMLElement} element
 * @param {string} text
 */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
