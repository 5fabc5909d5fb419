/** The state of the book: one word for each, and what it means. Never silent about a doubt. */

import { find, make } from "./dom.js";

/** @typedef {import("./types.js").Book} Book */

const MEANINGS = /** @type {Record<string, string>} */ ({
  synced: "The book is complete.",
  cold: "The data begins within the session: orders from before may be missing.",
  stale: "The book misses what has happened since a gap.",
  crossed: "The best bid is above the best ask.",
  locked: "The best bid is the best ask.",
  closed: "The market is closed.",
  halted: "Trading is halted.",
  after_data: "The time is after the last record.",
  uncovered: "No records cover a time of the answer: the market was closed, or a file is missing.",
  degraded: "The vendor does not vouch for all days: records may be missing.",
  renamed: "The symbol names another instrument at this time.",
});

/** @param {Book | null} book */
export function showStatus(book) {
  const words = book ? [book.status, book.trading_status, ...book.warnings] : [];
  if (book?.event_open) words.push("event open");
  if (book?.market && book.market !== "normal") words.push(book.market);
  const shown = [...new Set(words.filter((word) => word !== null))];
  find("status", HTMLDivElement).replaceChildren(
    ...shown.map((word) => {
      const chip = make("span", `chip ${word === "synced" ? "good" : "doubtful"}`, word);
      chip.title = MEANINGS[word] ?? word;
      return chip;
    }),
  );
}
