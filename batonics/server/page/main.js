/** Wires the page: the view says what is shown, requests fetch it, panels draw it. */

import { Beside } from "./beside.js";
import { Client, RequestError } from "./client.js";
import { find } from "./dom.js";
import { HeatmapPanel } from "./heatmap.js";
import { bindKeys } from "./keyboard.js";
import { keyTable } from "./keys.js";
import { Ladder } from "./ladder.js";
import { Latest } from "./latest.js";
import { OrderPanel } from "./order.js";
import { Playback, addTrades } from "./playback.js";
import { Queue } from "./queue.js";
import { SqlPanel } from "./sql.js";
import { showStatus } from "./status.js";
import { SymbolPicker } from "./symbols.js";
import { Tape, sizeByPrice } from "./tape.js";
import { bindTheme } from "./theme.js";
import { TimeControls } from "./time.js";
import { askForToken } from "./token_dialog.js";
import { View } from "./view.js";

/** @typedef {import("./types.js").Book} Book */
/** @typedef {import("./view.js").ViewState} ViewState */

const LADDER_DEPTH = 50;
const TAPE_ROWS = 200;
/** While a book plays, what is not in its messages is asked for so often. */
const REFRESH_MS = 1000;

const view = new View(window);
const client = new Client(askForToken, window.sessionStorage);
/** @type {Book | null} */
let shownBook = null;
/** @type {import("./types.js").RecordRow[]} */
let shownTrades = [];
let refreshed = 0;

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
  {
    play: (at, speed) => playback.play(view.state, at, speed),
    setSpeed: (speed) => playback.setSpeed(speed),
    pause: () => playback.pause(),
    stop: () => playback.close(),
  },
);
const playback = new Playback(
  {
    onBook: showPlayed,
    onTrades: (newer) => showTrades(addTrades(shownTrades, newer)),
    onPause: (at) => standAt(at ?? view.state.at),
    onEnd: () => standAt(""),
    onProblem: showProblem,
  },
  () => client.token(),
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
  (page) => showTrades(page.records),
  fail,
);
const queues = new Latest(
  (/** @type {ViewState} */ state) => client.book(state, state.at, LADDER_DEPTH),
  (book) => queue.show(book, view.state),
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

/** @param {import("./types.js").RecordRow[]} records the newest first */
function showTrades(records) {
  shownTrades = records;
  tape.show(records);
  ladder.showTraded(sizeByPrice(records));
}

/**
 * Show a book that plays: its levels come in messages; the rest is asked for once a second.
 * @param {Book} book
 * @param {number} record
 */
function showPlayed(book, record) {
  const at = `record:${record}`;
  shownBook = book;
  ladder.show(book);
  showStatus(book);
  times.show(book.ts_recv, at);
  heatmap.mark(times.now);
  if (record < 0 || performance.now() - refreshed < REFRESH_MS) return;
  refreshed = performance.now();
  view.set({ at });
  if (view.state.price) void waitFor(queues.ask(view.state));
}

/**
 * Show the whole book of a moment at which playing has ended.
 * @param {string} at
 */
function standAt(at) {
  times.pause();
  if (at === view.state.at) show(view.state, null);
  else view.set({ at });
}

/** @typedef {(...names: (keyof ViewState)[]) => boolean} Changes whether one has changed */

/** @type {(state: ViewState, before: ViewState | null) => void} */
function show(state, before) {
  /** @type {Changes} */
  const has = (...names) =>
    before === null || names.some((name) => state[name] !== before[name]);
  if (playback.isPlaying && has("symbol", "publisher")) times.pause();
  showMoment(state, has);
  showQueue(state, has);
  if (state.symbol && has("symbol", "publisher", "from", "to")) void waitFor(heatmap.ask(state));
  if (has("symbol", "panel", "query", "sql", "parameters")) showSql(state);
  if (has("order", "at")) {
    find("order-id", HTMLInputElement).value = state.order;
    if (state.order) void waitFor(orders.ask(state));
    else orderPanel.show(null);
  }
}

/**
 * The book and the trades of the moment, unless they come in messages; and the books beside.
 * @param {ViewState} state
 * @param {Changes} has
 */
function showMoment(state, has) {
  if (state.symbol && has("symbol", "publisher", "at") && !playback.isPlaying) {
    symbols.show(state);
    void waitFor(books.ask(state));
    void waitFor(trades.ask(state));
  }
  if (has("beside", "at")) void waitFor(beside.show(state));
}

/**
 * @param {ViewState} state
 * @param {Changes} has
 */
function showQueue(state, has) {
  if (state.price && has("symbol", "publisher", "at", "side", "price")) {
    void waitFor(ages.ask(state));
  }
  if (!has("side", "price", "order")) return;
  ladder.mark(state.side, state.price);
  if (!playback.isPlaying) queue.show(shownBook, state);
  else if (state.price) void waitFor(queues.ask(state));
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
  const open = () => help.showModal();
  const panels = { times, ladder, heatmap, symbols, beside, view, order };
  bindKeys(keyTable({ ...panels, toggleSql, toggleTheme, open }));
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
