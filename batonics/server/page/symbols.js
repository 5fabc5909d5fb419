/** The choice of a book, among thousands: type the beginning of its symbol. */

import { find, make } from "./dom.js";
import { Latest } from "./latest.js";

/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./types.js").BookRow} BookRow */
/** @typedef {import("./types.js").SymbolsPage} SymbolsPage */
/** @typedef {{symbol: string, publisher: string}} BookName */

export class SymbolPicker {
  /**
   * @param {Client} client
   * @param {(book: BookName) => void} choose called with the book that is chosen
   * @param {(error: unknown) => void} fail
   */
  constructor(client, choose, fail) {
    this.client = client;
    this.onChoose = choose;
    this.input = find("symbol", HTMLInputElement);
    this.list = find("symbols", HTMLDataListElement);
    /** @type {Map<string, BookRow>} the books that are offered, by the text that names them */
    this.offered = new Map();
    this.pages = new Latest(
      (/** @type {string} */ prefix) => client.symbols(prefix),
      (page) => this.offer(page.books),
      fail,
    );
    this.input.addEventListener("input", () => this.typed());
    find("symbol-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.input.value.trim();
      const book = this.offered.get(text);
      if (book) this.choose(book);
      else if (text) choose({ symbol: text, publisher: "" });
    });
  }

  /** @returns {Promise<SymbolsPage>} the first page of all books */
  async load() {
    const page = await this.client.symbols("");
    this.offer(page.books);
    return page;
  }

  typed() {
    const book = this.offered.get(this.input.value);
    if (book) this.choose(book);
    else void this.pages.ask(this.input.value.trim());
  }

  /** @param {BookRow[]} books */
  offer(books) {
    this.offered = new Map(books.map((book) => [describe(book, books), book]));
    this.list.replaceChildren(
      ...[...this.offered.keys()].map((text) => {
        const option = make("option", "");
        option.value = text;
        return option;
      }),
    );
  }

  /** @param {BookRow} book */
  choose(book) {
    const symbol = book.symbol ?? String(book.instrument_id);
    this.onChoose({ symbol, publisher: String(book.publisher_id) });
  }

  /** @param {BookName} name */
  show({ symbol }) {
    if (document.activeElement !== this.input) this.input.value = symbol;
  }

  focus() {
    this.input.select();
  }
}

/**
 * The symbol of a book, with its publisher where several have the symbol.
 * @param {BookRow} book
 * @param {BookRow[]} books
 * @returns {string}
 */
function describe(book, books) {
  const symbol = book.symbol ?? String(book.instrument_id);
  const isAlone = books.filter((one) => one.symbol === book.symbol).length === 1;
  return isAlone ? symbol : `${symbol} publisher ${book.publisher_id}`;
}
