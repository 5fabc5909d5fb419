/**
 * What the page shows: a book, a moment, a level, an order. All of it stands in the URL behind `#`,
 * so a link shows a colleague the same, and no server or log sees it.
 */

/**
 * @typedef {{symbol: string, publisher: string, at: string, side: string, price: string,
 *   order: string, from: string, to: string, panel: string, query: string, sql: string,
 *   parameters: string, beside: string}} ViewState
 *   `at` is a time or `record:NUMBER`; empty: the end of the data. `side` and `price` are the level
 *   whose queue is shown; `from` and `to` the span of the heatmap. `panel` is `sql` while the SQL
 *   box is open; `query`, `sql` and `parameters` are what stands in it. `beside` are the symbols of
 *   other books, parted by commas. Empty: none.
 */

/** @type {ViewState} */
const EMPTY = {
  symbol: "", publisher: "", at: "", side: "", price: "", order: "", from: "", to: "",
  panel: "", query: "", sql: "", parameters: "", beside: "",
};

/** The state of the page; listeners hear of each change. */
export class View {
  /** @param {Window} window */
  constructor(window) {
    this.window = window;
    /** @type {((state: ViewState, before: ViewState) => void)[]} */
    this.listeners = [];
    this.state = readHash(window.location.hash);
    window.addEventListener("hashchange", () => this.apply(readHash(window.location.hash)));
  }

  /**
   * Change a part of the state, and the URL with it.
   * @param {Partial<ViewState>} part
   */
  set(part) {
    const state = { ...this.state, ...part };
    const hash = writeHash(state);
    const { location, history } = this.window;
    // A moment replaces the one before it: playing would fill the history of the browser.
    if (hash !== location.hash) history.replaceState(null, "", hash || location.pathname);
    this.apply(state);
  }

  /** @param {(state: ViewState, before: ViewState) => void} listener */
  listen(listener) {
    this.listeners.push(listener);
  }

  /** @param {ViewState} state */
  apply(state) {
    const before = this.state;
    this.state = state;
    for (const listener of this.listeners) listener(state, before);
  }
}

/**
 * @param {string} hash
 * @returns {ViewState}
 */
export function readHash(hash) {
  const params = new URLSearchParams(hash.replace(/^#/, ""));
  const state = { ...EMPTY };
  for (const name of /** @type {(keyof ViewState)[]} */ (Object.keys(EMPTY))) {
    state[name] = params.get(name) ?? "";
  }
  return state;
}

/**
 * @param {ViewState} state
 * @returns {string} with `#`; empty if there is nothing to say
 */
export function writeHash(state) {
  const params = new URLSearchParams(Object.entries(state).filter(([, value]) => value !== ""));
  return params.size ? `#${params}` : "";
}
