/** Wires the page: the view says what is shown, requests fetch it, panels draw it. */

import { Beside } from "./beside.js";
import { Client, RequestError } from "./client.js";
import { find } from "./dom.js";
import { HeatmapPanel } from "./heatmap.js";
import { bindKeys } from "./keyboard.js";
import { Ladder } from "./ladder.js";
import { Latest } from "./latest.js";
import { OrderPanel } from "./order.js";
import { Queue } from "./queue.js";
import { SqlPanel } from "./sql.js";
import { showStatus } from "./status.js";
import { SymbolPicker } from "./symbols.js";
import { Tape, sizeByPrice } from "./tape.js";
import { bindTheme } from "./theme.js";
import { TimeControls } from "./time.js";
import { View } from "./view.js";

/** @typedef {import("./types.js").Book} Book */
/** @typedef {import("./view.js").ViewState} ViewState */

const LADDER_DEPTH = 50;
const TAPE_ROWS = 200;

const view = new View(window);
const client = new Client(askForToken, window.sessionStorage);
/** @type {Book | null} */
let shownBook = null;

const goToRecord = (/** @type {number} */ record) => view.set({ at: `record:${record}` });
const ladder = new Ladder((side, price) => view.set({ side, price }));
const queue = new Queue((order) => view.set({ order }));
const tape = new Tape(goToRecord);
const orderPanel = new OrderPanel(goToRecord);
const symbols = new SymbolPicker(client, (book) => view.set(book), fail);
const times = new TimeControls(
  (at) => view.set({ at }),
  (direction, kind) => void stepTo(direction, kind),
  showProblem,
);

const beside = new Beside(client, (part) => view.set(part));
const sql = new SqlPanel(client, (part) => view.set(part));
const heatmap = new HeatmapPanel(client, (part) => view.set(part), fail);

const books = new Latest(
  (/** @type {ViewState} */ state) => client.book(state, state.at, LADDER_DEPTH),
  showBook,
  fail,
);
const trades = new Latest(
  (/** @type {ViewState} */ state) => client.newestTrades(state, state.at, TAPE_ROWS),
  (page) => {
    tape.show(page.records);
    ladder.showTraded(sizeByPrice(page.records));
  },
  fail,
);
const ages = new Latest(
  (/** @type {ViewState} */ state) => client.queue(state, state),
  (document) => queue.showAges(document),
  (error) => {
    if (!(error instanceof RequestError)) throw error; // without ages, blocks are pale
  },
);
const orders = new Latest(
  (/** @type {ViewState} */ state) => client.orders(state.order, state.at),
  (document) => orderPanel.show(document),
  (error) => orderPanel.showProblem(error instanceof Error ? error.message : String(error)),
);

/**
 * @param {Book} book
 * @param {ViewState} state
 */
function showBook(book, state) {
  showProblem("");
  shownBook = book;
  ladder.show(book);
  queue.show(book, view.state);
  showStatus(book);
  times.show(book.ts_recv, state.at);
  heatmap.mark(times.now);
  find("panels", HTMLElement).dataset.at = state.at;
  document.title = `${book.symbol ?? book.instrument_id} - batonics`;
}

/** @type {(state: ViewState, before: ViewState | null) => void} */
function show(state, before) {
  const has = (/** @type {(keyof ViewState)[]} */ ...names) =>
    before === null || names.some((name) => state[name] !== before[name]);
  if (state.symbol && has("symbol", "publisher", "at")) {
    symbols.show(state);
    void waitFor(books.ask(state));
    void waitFor(trades.ask(state));
  }
  if (state.symbol && has("symbol", "publisher", "from", "to")) void waitFor(heatmap.ask(state));
  if (has("beside", "at")) void waitFor(beside.show(state));
  if (state.price && has("symbol", "publisher", "at", "side", "price")) {
    void waitFor(ages.ask(state));
  }
  if (has("side", "price", "order")) {
    ladder.mark(state.side, state.price);
    queue.show(shownBook, state);
  }
  if (has("symbol", "panel", "query", "sql", "parameters")) showSql(state);
  if (has("order", "at")) {
    find("order-id", HTMLInputElement).value = state.order;
    if (state.order) void waitFor(orders.ask(state));
    else orderPanel.show(null);
  }
}

/** @param {ViewState} state */
function showSql(state) {
  const isOpen = state.panel === "sql" && document.body.classList.contains("has-lake");
  find("sql-panel", HTMLElement).hidden = !isOpen;
  find("panels", HTMLElement).classList.toggle("with-sql", isOpen);
  ladder.centre(); // its height is another one
  if (isOpen) sql.show(state);
}

function toggleSql() {
  if (!document.body.classList.contains("has-lake")) return;
  view.set({ panel: view.state.panel === "sql" ? "" : "sql" });
  if (view.state.panel === "sql") sql.focus();
}

let waiting = 0;

/**
 * Mark the page as busy until an answer is shown.
 * @param {Promise<void>} answer
 */
async function waitFor(answer) {
  const panels = find("panels", HTMLElement);
  waiting += 1;
  panels.setAttribute("aria-busy", "true");
  await answer.finally(() => {
    waiting -= 1;
  });
  if (waiting === 0) panels.setAttribute("aria-busy", "false");
}

/**
 * @param {"next" | "previous"} direction
 * @param {string} kind
 */
async function stepTo(direction, kind) {
  try {
    const record = await client.step(direction, view.state, kind, view.state.at);
    goToRecord(record.record);
  } catch (error) {
    fail(error);
  }
}

/** @param {unknown} error */
function fail(error) {
  if (!(error instanceof RequestError)) throw error;
  showProblem(error.message);
}

/** @param {string} text empty: there is no problem */
function showProblem(text) {
  const element = find("problem", HTMLParagraphElement);
  element.textContent = text;
  element.hidden = text === "";
}

/** @returns {Promise<string>} the token that a person gives */
function askForToken() {
  const dialog = find("token-dialog", HTMLDialogElement);
  const input = find("token", HTMLInputElement);
  input.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(input.value), { once: true });
  });
}

function bind() {
  const toggleTheme = bindTheme();
  const help = find("help", HTMLDialogElement);
  const order = find("order-id", HTMLInputElement);
  find("sql-button", HTMLButtonElement).addEventListener("click", toggleSql);
  find("help-button", HTMLButtonElement).addEventListener("click", () => help.showModal());
  find("order-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    view.set({ order: order.value.trim() });
  });
  bindKeys([
    { keys: " ", text: "play, pause", run: () => times.act("play") },
    { keys: "ArrowRight", text: "next event", run: () => times.act("next-event") },
    { keys: "ArrowLeft", text: "previous event", run: () => times.act("previous-event") },
    { keys: "Shift+ArrowRight", text: "next trade", run: () => times.act("next-trade") },
    { keys: "Shift+ArrowLeft", text: "previous trade", run: () => times.act("previous-trade") },
    { keys: "f", text: "find the next (crossed, gap, sweep)", run: () => times.act("next-kind") },
    { keys: "F", text: "find the previous one", run: () => times.act("previous-kind") },
    { keys: "Home", text: "first record", run: () => times.act("first") },
    { keys: "End", text: "last record", run: () => times.act("last") },
    { keys: "k", text: "queue of the level above", run: () => ladder.move(-1) },
    { keys: "j", text: "queue of the level below", run: () => ladder.move(1) },
    { keys: "+", text: "shorter span of the heatmap", run: () => heatmap.zoom(1 / 2) },
    { keys: "-", text: "longer span", run: () => heatmap.zoom(2) },
    { keys: "[", text: "earlier span", run: () => heatmap.shift(heatmap.span(), -0.5) },
    { keys: "]", text: "later span", run: () => heatmap.shift(heatmap.span(), 0.5) },
    { keys: "0", text: "all times", run: () => view.set({ from: "", to: "" }) },
    { keys: "c", text: "ladder to its middle", run: () => ladder.centre() },
    { keys: "/", text: "choose a symbol", run: () => symbols.focus() },
    { keys: "t", text: "write a time", run: () => find("time", HTMLInputElement).select() },
    { keys: "o", text: "write an order id", run: () => order.select() },
    { keys: "b", text: "books beside", run: () => beside.focus() },
    { keys: "s", text: "SQL, where the server has a lake", run: toggleSql },
    { keys: "d", text: "dark, light", run: toggleTheme },
    { keys: "?", text: "this list", run: () => help.showModal() },
  ]);
}

async function start() {
  bind();
  const code = new URLSearchParams(window.location.hash.slice(1)).get("code");
  if (code) await client.redeem(code);
  view.set({}); // the code leaves the URL
  view.listen(show);
  const { hasFiles, hasLake } = await client.offers();
  if (hasLake) {
    await sql.load();
    find("sql-button", HTMLButtonElement).hidden = false;
  }
  if (!hasFiles) {
    document.body.classList.add("lake-only");
    view.set({ panel: "sql" });
    showSql(view.state);
    return;
  }
  const first = await symbols.load();
  times.setSpan(first.data);
  heatmap.setData(first.data);
  if (view.state.symbol || first.books.length === 0) show(view.state, null);
  else symbols.choose(first.books[0]);
}

start().catch(fail);
