/** Requests to the API under /v1. The page reads nothing else. */

/** @typedef {import("./types.js").SymbolsPage} SymbolsPage */
/** @typedef {import("./types.js").Book} Book */
/** @typedef {import("./types.js").RecordsPage} RecordsPage */
/** @typedef {import("./types.js").RecordRow} RecordRow */
/** @typedef {import("./types.js").OrdersDocument} OrdersDocument */
/** @typedef {import("./types.js").Heatmap} Heatmap */
/** @typedef {import("./types.js").QueueDocument} QueueDocument */
/** @typedef {import("./types.js").ShippedQuery} ShippedQuery */
/** @typedef {import("./types.js").LakeDocument} LakeDocument */
/** @typedef {import("./types.js").QueryRequest} QueryRequest */
/** @typedef {import("./types.js").QueryAnswer} QueryAnswer */

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
   * @returns {Promise<SymbolsPage>}
   */
  symbols(prefix) {
    return this.get("v1/symbols", { prefix, limit: "200" });
  }

  /**
   * A book, with the orders of its levels.
   * @param {BookName} name
   * @param {string} at a time, or `record:NUMBER`; empty: the end of the data
   * @param {number} depth levels of each side
   * @returns {Promise<Book>}
   */
  book(name, at, depth) {
    const { symbol, ...rest } = bookParams(name);
    const params = { ...rest, at, level: "l3", depth: String(depth) };
    return this.get(`v1/books/${encodeURIComponent(symbol)}`, params);
  }

  /**
   * The orders of a level, with their ages and fills.
   * @param {BookName} name
   * @param {{side: string, price: string, at: string}} level
   * @returns {Promise<QueueDocument>}
   */
  queue(name, { side, price, at }) {
    const { symbol, publisher } = bookParams(name);
    return this.get(`v1/queues/${encodeURIComponent(symbol)}`, { publisher, side, price, at });
  }

  /**
   * @param {string} orderId
   * @param {string} at
   * @returns {Promise<OrdersDocument>}
   */
  orders(orderId, at) {
    return this.get(`v1/orders/${encodeURIComponent(orderId)}`, { at });
  }

  /**
   * Trades of a book up to a moment, the newest first.
   * @param {BookName} name
   * @param {string} at
   * @param {number} limit
   * @returns {Promise<RecordsPage>}
   */
  newestTrades(name, at, limit) {
    const params = { ...bookParams(name), at, order: "newest", limit: String(limit) };
    return this.get("v1/trades", params);
  }

  /**
   * Depth over time as a grid.
   * @param {BookName} name
   * @param {{from: string, to: string}} span empty: the beginning, and the end of the data
   * @param {{rows: number, columns: number}} size at most
   * @returns {Promise<Heatmap>}
   */
  heatmap(name, { from, to }, { rows, columns }) {
    const { symbol, publisher } = bookParams(name);
    const params = { publisher, from, to, rows: String(rows), columns: String(columns) };
    return this.get(`v1/heatmap/${encodeURIComponent(symbol)}`, params);
  }

  /**
   * The next or the previous trade or event of a book.
   * @param {"next" | "previous"} direction
   * @param {BookName} name
   * @param {string} kind
   * @param {string} from
   * @returns {Promise<RecordRow>}
   */
  step(direction, name, kind, from) {
    return this.get(`v1/${direction}`, { ...bookParams(name), kind, from });
  }

  /** @returns {Promise<{hasFiles: boolean, hasLake: boolean}>} what the server has */
  async offers() {
    /** @type {{endpoints: Record<string, string>}} */
    const { endpoints } = await this.get("", {});
    return { hasFiles: "/v1/symbols" in endpoints, hasLake: "/v1/query" in endpoints };
  }

  /**
   * The queries that come with the server, and what its lake has.
   * @returns {Promise<{queries: ShippedQuery[], lake: LakeDocument}>}
   */
  async lake() {
    const [{ queries }, lake] = await Promise.all([
      this.get("v1/queries", {}),
      this.get("v1/lake", {}),
    ]);
    return { queries, lake };
  }

  /**
   * The answer to a SQL query.
   * @param {QueryRequest} query
   * @returns {Promise<QueryAnswer>}
   */
  async query(query) {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify(query);
    return read(await this.fetch("v1/query", { method: "POST", headers, body }));
  }

  /**
   * A document of the API.
   * @param {string} path
   * @param {Record<string, string>} params those that are empty are left out
   * @returns {Promise<any>}
   */
  async get(path, params) {
    const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== ""));
    const url = query.size ? `${path}?${query}` : path || "./";
    return read(await this.fetch(url, { headers: { Accept: "application/json" } }));
  }

  /**
   * @param {string} url
   * @param {{method?: string, headers: Record<string, string>, body?: string}} request
   * @returns {Promise<Response>}
   */
  async fetch(url, request) {
    for (;;) {
      const token = this.storage.getItem("token");
      /** @type {Record<string, string>} */
      const access = token === null ? {} : { Authorization: `Bearer ${token}` };
      const headers = { ...request.headers, ...access };
      const response = await fetch(url, { ...request, headers }).catch(() => {
        throw new RequestError(0, "the server cannot be reached");
      });
      if (response.status !== 401) return response;
      if (this.storage.getItem("token") === token) await this.takeToken();
    }
  }

  /** @returns {string | undefined} the token, where the server wants one */
  token() {
    return this.storage.getItem("token") ?? undefined;
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
 * The document of a response; a problem is a RequestError.
 * @param {Response} response
 * @returns {Promise<any>}
 */
async function read(response) {
  if (response.ok) return response.json();
  /** @type {import("./types.js").Problem} */
  const problem = await response.json().catch(() => ({ title: response.statusText, detail: "" }));
  throw new RequestError(response.status, `${problem.title}: ${problem.detail}`);
}

/**
 * @typedef {{symbol: string, publisher: string}} BookName the publisher may be empty
 * @param {BookName} name
 * @returns {{symbol: string, publisher: string}}
 */
function bookParams(name) {
  return { symbol: name.symbol, publisher: name.publisher };
}
