/**
 * A book that plays: /v1/ws sends its changes and trades as the clock goes, and no request asks for
 * them. It draws nothing: what there is to show goes to its listener, at most once a frame.
 */

import { BookClient } from "./book_client.js";
import { formatPrice } from "./values.js";

/** @typedef {import("./client_books.js").BookLevel} BookLevel */
/** @typedef {import("./client_books.js").ClientBook} ClientBook */
/** @typedef {import("./types.js").Book} Book */
/** @typedef {import("./types.js").RecordRow} RecordRow */
/**
 * @typedef {object} PlaybackListener
 * @property {(book: Book, record: number) => void} onBook the book after a record
 * @property {(trades: RecordRow[]) => void} onTrades trades since the last call, the newest first
 * @property {(at: string | null) => void} onPause it stands still at a moment; null: where it was
 * @property {() => void} onEnd the records have ended
 * @property {(text: string) => void} onProblem
 */

const DEPTH = 50;
const CONFLATE_MS = 50;
const TRADES_MAX = 200;
const PAUSE_ID = "pause";

export class Playback {
  /**
   * @param {PlaybackListener} listener
   * @param {() => string | undefined} readToken
   * @param {(onMessage: (message: any) => void) => BookClient} [open] opens a connection
   */
  constructor(listener, readToken, open) {
    this.listener = listener;
    this.open =
      open ??
      ((onMessage) => new BookClient(document.baseURI.split("#")[0], {
        token: readToken(), onMessage,
      }));
    /** @type {BookClient | null} */
    this.client = null;
    /** @type {RecordRow[]} */
    this.trades = [];
    this.frame = 0;
    this.symbol = "";
  }

  get isPlaying() {
    return this.client !== null;
  }

  /**
   * @param {{symbol: string, publisher: string}} name
   * @param {string} at the moment to begin at
   * @param {number} speed
   */
  play({ symbol, publisher }, at, speed) {
    this.close();
    const client = this.open((message) => this.take(client, message));
    const options = publisher ? { publisher: Number(publisher) } : {};
    this.client = client;
    this.symbol = symbol;
    client.send({ op: "seek", at });
    client.subscribe("l2", [symbol], { ...options, depth: DEPTH, conflate_ms: CONFLATE_MS });
    client.subscribe("trades", [symbol], options);
    client.send({ op: "play", speed });
  }

  /** @param {number} speed */
  setSpeed(speed) {
    this.client?.send({ op: "speed", speed });
  }

  /** Stop the clock; `onPause` says where it stands then. */
  pause() {
    this.client?.send({ op: "pause", id: PAUSE_ID });
  }

  /** End it, wherever it is. */
  close() {
    this.client?.close();
    this.client = null;
    this.trades = [];
    window.cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  /**
   * @param {BookClient} client
   * @param {any} message
   */
  take(client, message) {
    if (client !== this.client) return;
    if (message.type === "update" && message.channel === "trades") {
      this.trades.unshift({ ...message, record: message.seq, action: "T" });
      this.trades.length = Math.min(this.trades.length, TRADES_MAX);
    } else if (message.type === "clock") {
      this.takeClock(message);
    } else if (message.type === "cut") {
      this.listener.onProblem(`${message.channel}: ${message.reason}`);
    } else if (message.type === "error") {
      this.close();
      this.listener.onProblem(message.detail);
      this.listener.onPause(null);
    }
    const isNew = message.channel === "l2" || message.channel === "trades";
    if (isNew && this.frame === 0) {
      this.frame = window.requestAnimationFrame(() => this.show(message));
    }
  }

  /** @param {{record: number | null, at: string, has_ended: boolean, id: unknown}} message */
  takeClock({ record, at, has_ended: hasEnded, id }) {
    if (hasEnded) {
      this.close();
      this.listener.onEnd();
    } else if (id === PAUSE_ID) {
      this.close();
      this.listener.onPause(record === null ? at : `record:${record}`);
    }
  }

  /** @param {any} message the newest one */
  show(message) {
    this.frame = 0;
    const book = this.client?.book("l2", this.symbol);
    if (!book || !this.client?.tracker.isCurrent(book)) return;
    if (this.trades.length > 0) this.listener.onTrades(this.trades);
    this.trades = [];
    this.listener.onBook(bookDocument(book, message), book.seq ?? 0);
  }
}

/**
 * The document of a book, as /v1/books has it, without the orders of its levels.
 * @param {ClientBook} book
 * @param {any} message the newest one about it
 * @returns {Book}
 */
export function bookDocument(book, message) {
  const [bids, asks] = [book.bids, book.asks];
  const gap = bids.length && asks.length ? asks[0].price - bids[0].price : 1n;
  return {
    symbol: book.symbol,
    publisher_id: book.publisher,
    instrument_id: book.instrument,
    status: book.status,
    market: gap < 0n ? "crossed" : gap === 0n ? "locked" : "normal",
    trading_status: message.trading_status,
    warnings: book.warnings,
    events: message.events,
    ts_event: message.ts_event,
    ts_recv: message.ts_recv,
    sequence: message.sequence ?? 0,
    event_open: false,
    data: { from: null, until: null },
    bids: bids.map(levelDocument),
    asks: asks.map(levelDocument),
  };
}

/** @param {BookLevel} level @returns {import("./types.js").Level} */
function levelDocument({ price, size, count }) {
  return { price: formatPrice(price), size: Number(size), count };
}

/**
 * Trades with newer ones before them, and no more than the tape has.
 * @param {RecordRow[]} older
 * @param {RecordRow[]} newer
 * @returns {RecordRow[]}
 */
export function addTrades(older, newer) {
  const last = older[0]?.record ?? -1;
  return [...newer.filter((one) => one.record > last), ...older].slice(0, TRADES_MAX);
}
