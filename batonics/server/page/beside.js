/** Other books beside the ladder, at the same moment: the best levels of each. */

import { RequestError } from "./client.js";
import { find, make } from "./dom.js";
import { Latest } from "./latest.js";
import { alignPrices } from "./values.js";

/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./types.js").Book} Book */
/** @typedef {import("./types.js").Level} Level */

const DEPTH = 3;
const BOOKS_MAX = 12;

export class Beside {
  /**
   * @param {Client} client
   * @param {(part: {beside?: string, symbol?: string, publisher?: string}) => void} change
   */
  constructor(client, change) {
    this.client = client;
    this.change = change;
    this.panel = find("beside-panel", HTMLElement);
    this.input = find("beside", HTMLInputElement);
    /** @type {Map<string, SmallBook>} */
    this.books = new Map();
    find("beside-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      change({ beside: readNames(this.input.value).join(",") });
    });
  }

  /**
   * @param {{beside: string, at: string}} state
   * @returns {Promise<void>} resolved once all books are shown
   */
  async show({ beside, at }) {
    const names = readNames(beside);
    if (document.activeElement !== this.input) this.input.value = beside;
    this.panel.hidden = names.length === 0;
    const kept = names.map((name) => this.books.get(name) ?? this.open(name));
    this.books = new Map(names.map((name, place) => [name, kept[place]]));
    if (this.panel.children.length !== names.length
      || kept.some((book, place) => this.panel.children[place] !== book.element)) {
      this.panel.replaceChildren(...kept.map((book) => book.element));
    }
    await Promise.all(kept.map((book) => book.requests.ask(at)));
  }

  /**
   * @param {string} name
   * @returns {SmallBook}
   */
  open(name) {
    return new SmallBook(this.client, name, () => this.change({ symbol: name, publisher: "" }));
  }

  focus() {
    this.input.select();
  }
}

class SmallBook {
  /**
   * @param {Client} client
   * @param {string} name
   * @param {() => void} choose
   */
  constructor(client, name, choose) {
    this.button = make("button", "", name);
    this.button.type = "button";
    this.button.title = "Show this book";
    this.button.addEventListener("click", choose);
    this.status = make("span", "chip");
    this.body = make("tbody", "");
    const heads = ["bid", "price", "ask"].map((text) => {
      const cell = make("th", "", text);
      cell.scope = "col";
      return cell;
    });
    const table = make("table", "", make("thead", "", make("tr", "", ...heads)), this.body);
    this.element = make("article", "", make("h2", "", this.button, this.status), table);
    this.requests = new Latest(
      (/** @type {string} */ at) => client.book({ symbol: name, publisher: "" }, at, DEPTH),
      (book) => this.show(book),
      (error) => this.fail(error),
    );
  }

  /** @param {Book} book */
  show(book) {
    const doubts = book.status === "synced" ? book.warnings : [book.status, ...book.warnings];
    this.status.textContent = [...new Set(doubts)].join(", ") || "synced";
    this.status.className = `chip ${doubts.length ? "doubtful" : "good"}`;
    const rows = [
      ...book.asks.map((level) => ({ level, isBid: false })).reverse(),
      ...book.bids.map((level) => ({ level, isBid: true })),
    ];
    const prices = alignPrices(rows.map(({ level }) => level.price));
    this.body.replaceChildren(
      ...rows.map(({ level, isBid }, place) => {
        const size = String(level.size);
        const texts = isBid ? [size, prices[place], ""] : ["", prices[place], size];
        const kinds = ["bid", "price", "ask"];
        const cells = texts.map((text, column) => make("td", kinds[column], text));
        return make("tr", isBid ? "bid-row" : "ask-row", ...cells);
      }),
    );
  }

  /** @param {unknown} error */
  fail(error) {
    if (!(error instanceof RequestError)) throw error;
    this.status.textContent = error.message;
    this.status.className = "chip doubtful";
    this.body.replaceChildren();
  }
}

/**
 * The names of a text, each once, and not too many.
 * @param {string} text
 * @returns {string[]}
 */
export function readNames(text) {
  const names = text.split(/[,\s]+/).filter((name) => name !== "");
  return [...new Set(names)].slice(0, BOOKS_MAX);
}
