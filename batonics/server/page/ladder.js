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
    /** @type {Map<string, number>} sizes of the book shown before, by side and price */
    this.before = new Map();
    /** @type {Map<string, number>} */
    this.traded = new Map();
    this.bookName = "";
    this.chosen = { side: "", price: "" };
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
    this.body.replaceChildren(
      ...this.rows.map((row, place) => {
        const element = this.drawRow(row, prices[place], row.level.size / largest);
        if (place === firstBid) element.classList.add("first-bid");
        const size = this.before.get(row.side + row.level.price);
        if (isFlashing && size !== row.level.size) element.classList.add("changed");
        return element;
      }),
    );
  }

  /**
   * @param {Row} row
   * @param {string} price
   * @param {number} share of the largest size
   * @returns {HTMLTableRowElement}
   */
  drawRow({ side, level }, price, share) {
    const isBid = side === "B";
    const size = make("td", isBid ? "bid" : "ask", make("span", "", String(level.size)));
    size.style.setProperty("--share", `${(100 * share).toFixed(1)}%`);
    const count = make("td", "count", String(level.count));
    const empty = [make("td", ""), make("td", "")];
    const traded = this.traded.get(level.price);
    const button = make("button", "", price);
    button.type = "button";
    button.tabIndex = -1; // the keys j and k choose levels: a stop for each row would be hundreds
    button.setAttribute("aria-label", `Queue of the ${isBid ? "bid" : "ask"} ${price}`);
    const element = make(
      "tr",
      isBid ? "bid-row" : "ask-row",
      ...(isBid ? [count, size] : empty),
      make("td", "price", button),
      ...(isBid ? empty : [size, count]),
      make("td", "traded", traded === undefined ? "" : String(traded)),
    );
    if (this.chosen.side === side && this.chosen.price === level.price) {
      element.setAttribute("aria-selected", "true");
    }
    element.dataset.side = side;
    element.dataset.price = level.price;
    element.addEventListener("click", () => this.choose(side, level.price));
    return element;
  }
}
