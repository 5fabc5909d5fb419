/** Requests to the API under /v1. The page reads nothing else. */

/** @typedef {import("./types.js").SymbolsPage} SymbolsPage */
/** @typedef {import("./types.js").Book} Book */
/** @typedef {import("./types.js").RecordsPage} RecordsPage */
/** @typedef {import("./types.js").RecordRow} RecordRow */
/** @typedef {import("./types.js").OrdersDocument} OrdersDocument */
/** @typedef {import("./types.js").Heatmap} Heatmap */

/** The server refused, or could not answer: the text says what to do. */
export class RequestError extends Error {
  /**
   * @param {number} status the HTTP status; 0: the server could not be reached
   * @param {string} text
   */
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** A client of one server. */
export class Client {
  /**
   * @param {() => Promise<string>} askForToken asks a person for the token, if the server wants one
   * @param {Storage} storage where the token is kept
   */
  constructor(askForToken, storage) {
    this.askForToken = askForToken;
    this.storage = storage;
    /** @type {Promise<string> | null} */
    this.asking = null;
  }

  /**
   * @param {string} prefix
   * @param {AbortSignal} [signal]
   * @returns {Promise<SymbolsPage>}
   */
  symbols(prefix, signal) {
    return this.get("v1/symbols", { prefix, limit: "200" }, signal);
  }

  /**
   * A book, with the orders of its levels.
   * @param {BookName} name
   * @param {string} at a time, or `record:NUMBER`; empty: the end of the data
   * @param {number} depth levels of each side
   * @param {AbortSignal} [signal]
   * @returns {Promise<Book>}
   */
  book(name, at, depth, signal) {
    const { symbol, ...rest } = bookParams(name);
    const params = { ...rest, at, level: "l3", depth: String(depth) };
    return this.get(`v1/books/${encodeURIComponent(symbol)}`, params, signal);
  }

  /**
   * @param {string} orderId
   * @param {string} at
   * @param {AbortSignal} [signal]
   * @returns {Promise<OrdersDocument>}
   */
  orders(orderId, at, signal) {
    return this.get(`v1/orders/${encodeURIComponent(orderId)}`, { at }, signal);
  }

  /**
   * Trades of a book up to a moment, the newest first.
   * @param {BookName} name
   * @param {string} at
   * @param {number} limit
   * @param {AbortSignal} [signal]
   * @returns {Promise<RecordsPage>}
   */
  newestTrades(name, at, limit, signal) {
    const params = { ...bookParams(name), at, order: "newest", limit: String(limit) };
    return this.get("v1/trades", params, signal);
  }

  /**
   * Depth over time as a grid.
   * @param {BookName} name
   * @param {{from: string, to: string}} span empty: the beginning, and the end of the data
   * @param {{rows: number, columns: number}} size at most
   * @param {AbortSignal} [signal]
   * @returns {Promise<Heatmap>}
   */
  heatmap(name, { from, to }, { rows, columns }, signal) {
    const { symbol, publisher } = bookParams(name);
    const params = { publisher, from, to, rows: String(rows), columns: String(columns) };
    return this.get(`v1/heatmap/${encodeURIComponent(symbol)}`, params, signal);
  }

  /**
   * The next or the previous trade or event of a book.
   * @param {"next" | "previous"} direction
   * @param {BookName} name
   * @param {string} kind
   * @param {string} from
   * @param {AbortSignal} [signal]
   * @returns {Promise<RecordRow>}
   */
  step(direction, name, kind, from, signal) {
    return this.get(`v1/${direction}`, { ...bookParams(name), kind, from }, signal);
  }

  /**
   * A document of the API.
   * @param {string} path
   * @param {Record<string, string>} params those that are empty are left out
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  async get(path, params, signal) {
    const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== ""));
    const response = await this.fetch(`${path}?${query}`, signal);
    if (response.ok) return response.json();
    /** @type {import("./types.js").Problem} */
    const problem = await response.json().catch(() => ({ title: response.statusText, detail: "" }));
    throw new RequestError(response.status, `${problem.title}: ${problem.detail}`);
  }

  /**
   * @param {string} url
   * @param {AbortSignal} [signal]
   * @returns {Promise<Response>}
   */
  async fetch(url, signal) {
    for (;;) {
      const token = this.storage.getItem("token");
      /** @type {Record<string, string>} */
      const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
      const response = await fetch(url, { headers, signal }).catch((error) => {
        if (error instanceof DOMException && error.name === "AbortError") throw error;
        throw new RequestError(0, "the server cannot be reached");
      });
      if (response.status !== 401) return response;
      if (this.storage.getItem("token") === token) await this.takeToken();
    }
  }

  /**
   * Change the one-time code of a browser that the server started for the token.
   * @param {string} code
   */
  async redeem(code) {
    const response = await fetch("page/token", { headers: { Authorization: `Code ${code}` } });
    if (response.ok) this.storage.setItem("token", (await response.json()).token);
  }

  /** Ask for the token once, however many requests want it. */
  async takeToken() {
    this.asking ??= this.askForToken().finally(() => {
      this.asking = null;
    });
    this.storage.setItem("token", await this.asking);
  }
}

/**
 * @typedef {{symbol: string, publisher: string}} BookName the publisher may be empty
 * @param {BookName} name
 * @returns {{symbol: string, publisher: string}}
 */
function bookParams(name) {
  return { symbol: name.symbol, publisher: name.publisher };
}
