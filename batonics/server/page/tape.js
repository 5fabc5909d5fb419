/** The trades up to the moment, the newest first. The fills of one aggressor are one row. */

import { find, make } from "./dom.js";
import { alignPrices, timeOfDay } from "./values.js";

/** @typedef {import("./types.js").RecordRow} RecordRow */
/** @typedef {{first: RecordRow, size: number, trades: number}} JoinedTrade */

const SIDES = /** @type {Record<string, string>} */ ({ A: "sell", B: "buy", N: "none" });

export class Tape {
  /** @param {(record: number) => void} jump called with the record of the trade that is chosen */
  constructor(jump) {
    this.jump = jump;
    this.body = find("tape", HTMLTableElement).tBodies[0];
    this.smallest = find("tape-size", HTMLInputElement);
    this.smallest.addEventListener("input", () => this.draw());
    /** @type {JoinedTrade[]} */
    this.trades = [];
  }

  /** @param {RecordRow[]} records trades, the newest first */
  show(records) {
    this.trades = joinTrades(records);
    this.draw();
  }

  draw() {
    const smallest = Number(this.smallest.value) || 0;
    const shown = this.trades.filter((trade) => trade.size >= smallest);
    const prices = alignPrices(shown.map((trade) => trade.first.price ?? ""));
    this.body.replaceChildren(
      ...shown.map(({ first, size, trades }, place) => {
        const button = make("button", "", timeOfDay(first.ts_recv ?? ""));
        button.type = "button";
        button.tabIndex = -1;
        button.addEventListener("click", () => this.jump(first.record));
        const side = SIDES[first.side];
        return make(
          "tr",
          side,
          make("td", "", button),
          make("td", "", side),
          make("td", "price", prices[place]),
          make("td", "size", String(size)),
          make("td", "count", trades > 1 ? `${trades} trades` : ""),
        );
      }),
    );
  }
}

/**
 * One row for trades that follow each other at one price, on one side, at one time of the exchange.
 * @param {RecordRow[]} records the newest first
 * @returns {JoinedTrade[]} `first` is the newest record of each
 */
export function joinTrades(records) {
  /** @type {JoinedTrade[]} */
  const joined = [];
  for (const record of records) {
    const last = joined.at(-1);
    const size = record.size ?? 0;
    if (
      last &&
      last.first.ts_event === record.ts_event &&
      last.first.price === record.price &&
      last.first.side === record.side
    ) {
      last.size += size;
      last.trades += 1;
    } else {
      joined.push({ first: record, size, trades: 1 });
    }
  }
  return joined;
}

/**
 * The size that was traded at each price.
 * @param {RecordRow[]} records
 * @returns {Map<string, number>}
 */
export function sizeByPrice(records) {
  /** @type {Map<string, number>} */
  const sizes = new Map();
  for (const { price, size } of records) {
    if (price !== null) sizes.set(price, (sizes.get(price) ?? 0) + (size ?? 0));
  }
  return sizes;
}
