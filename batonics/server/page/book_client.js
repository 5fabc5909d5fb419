/**
 * A client of /v1/ws that keeps books and proves that they are the server's, as docs/api.md says.
 *
 * It has no dependencies; `client_books.js` and `values.js` belong to it. It is for browsers, and
 * for node 22, which has WebSocket. A message that does not fit its book makes a request for a
 * resync; the other books go on. A lost connection is made again, and goes on at the record where
 * it was.
 *
 *     const client = new BookClient("http://127.0.0.1:8080", {
 *       onMessage: () => show(client.book("l2", "CLX5")),
 *     });
 *     client.subscribe("l2", ["CLX5"]);
 *     client.send({ op: "play", speed: 10 });
 *
 * @typedef {import("./client_books.js").BookMessage} BookMessage
 * @typedef {{op: string, [key: string]: any}} ClientRequest
 */

import { BookMismatchError, ClientBook } from "./client_books.js";

const RESUME_ID = "resume";
const SILENCE_MS = 5000;
const RECONNECT_MS = [0, 100, 200, 500, 1000, 2000];

/** The books of a client: messages in, requests out. It does no I/O. */
export class BookTracker {
  /** @type {Map<string, ClientBook>} by channel, publisher and instrument */
  books = new Map();
  /** @type {Map<string, string>} the subscriptions that the server has ended, and why */
  cut = new Map();
  resyncs = 0;
  /** @type {Set<string>} books that wait for a snapshot */
  #waiting = new Set();
  /** @type {Map<string, ClientRequest>} */
  #subscriptions = new Map();
  /** @type {number | null} */
  #record = null;
  /** @type {ClientRequest | null} */
  #clock = null;

  /**
   * Take a message of the server; what to send to it.
   * @param {any} message
   * @returns {ClientRequest[]}
   */
  take(message) {
    if (message.type === "snapshot" || message.type === "update") return this.#takeBook(message);
    if (message.type === "heartbeat") {
      this.#note(message.record);
      return message.books.flatMap((/** @type {BookMessage} */ sent) => {
        const book = this.books.get(bookKey(sent));
        return book && this.isCurrent(book) && book.seq !== sent.seq ? [this.#resync(book)] : [];
      });
    }
    if (message.type === "clock") {
      this.#record = message.record;
      // A new connection stands still until it is told to play, and may be lost before.
      if (message.id === RESUME_ID) return [];
      this.#clock = { op: message.is_playing ? "play" : "speed", speed: message.speed };
    } else if (message.type === "unsubscribed") {
      for (const name of message.books) this.books.delete(bookKey({ ...name, ...message }));
    } else if (message.type === "cut") {
      this.books.delete(bookKey(message));
      this.cut.set(bookKey(message), message.reason);
    }
    return [];
  }

  /**
   * Whether a book is the server's: it does not wait for a snapshot.
   * @param {ClientBook} book
   */
  isCurrent(book) {
    const key = keyOf(book);
    return this.books.get(key) === book && !this.#waiting.has(key);
  }

  /**
   * Note a subscription, which a new connection asks for again.
   * @param {ClientRequest} request
   */
  note(request) {
    const key = JSON.stringify([request.channel, request.publisher ?? null, request.symbols]);
    this.#subscriptions.set(key, { ...request });
  }

  /**
   * Note that subscriptions of a channel have ended.
   * @param {string} channel
   * @param {string[]} symbols as they were subscribed to
   */
  forget(channel, symbols) {
    for (const [key, request] of this.#subscriptions) {
      request.symbols = request.symbols.filter((/** @type {string} */ one) => {
        return request.channel !== channel || !symbols.includes(one);
      });
      if (request.symbols.length === 0) this.#subscriptions.delete(key);
    }
  }

  /** @returns {ClientRequest[]} what a new connection asks for, to go on where the last one was */
  requestsToResume() {
    this.#waiting.clear();
    const seek = { op: "seek", at: `record:${this.#record}` };
    const requests = [
      ...(this.#record === null ? [] : [seek]),
      ...this.#subscriptions.values(),
      ...(this.#clock === null ? [] : [this.#clock]),
    ];
    return requests.map((request) => ({ ...request, id: RESUME_ID }));
  }

  /** @param {BookMessage} message @returns {ClientRequest[]} */
  #takeBook(message) {
    const key = bookKey(message);
    if (message.type === "snapshot") {
      this.books.set(key, new ClientBook(message));
      this.#waiting.delete(key);
    }
    const book = this.books.get(key);
    if (!book || this.#waiting.has(key)) return [];
    try {
      if (book.apply(message)) this.#note(message.seq);
    } catch (error) {
      if (error instanceof BookMismatchError) return [this.#resync(book)];
      throw error;
    }
    return [];
  }

  /** @param {ClientBook} book @returns {ClientRequest} */
  #resync(book) {
    this.#waiting.add(keyOf(book));
    this.resyncs += 1;
    const { channel, symbol, publisher } = book;
    return { op: "resync", channel, symbols: [symbol], publisher };
  }

  /** @param {number | null} record */
  #note(record) {
    if (record !== null && record >= 0) this.#record = Math.max(record, this.#record ?? 0);
  }
}

/** @param {BookMessage} message @returns {string} */
function bookKey({ channel, publisher_id, instrument_id }) {
  return `${channel} ${publisher_id} ${instrument_id}`;
}

/** @param {ClientBook} book @returns {string} */
function keyOf({ channel, publisher, instrument }) {
  return `${channel} ${publisher} ${instrument}`;
}

/**
 * A connection that keeps books and is made again when it is lost.
 */
export class BookClient {
  tracker = new BookTracker();
  reconnects = 0;
  #attempts = 0;
  #closed = false;
  #hasOpened = false;
  /** @type {ClientRequest[]} requests that wait for the connection */
  #unsent = [];
  /** @type {ReturnType<typeof globalThis.setTimeout> | undefined} */
  #silence;

  /**
   * @param {string} url where the server is, such as `http://127.0.0.1:8080`
   * @param {{token?: string, onMessage?: (message: any) => void,
   *   WebSocket?: typeof globalThis.WebSocket}} options `onMessage` gets every message after the
   *   books have taken it; a program can listen to `error` messages there
   */
  constructor(url, { token, onMessage = () => {}, WebSocket = globalThis.WebSocket } = {}) {
    this.url = `${url.replace(/^http/, "ws").replace(/\/$/, "")}/v1/ws`;
    this.protocols = token === undefined ? ["batonics"] : ["batonics", `bearer.${token}`];
    this.onMessage = onMessage;
    this.WebSocket = WebSocket;
    this.socket = this.#connect();
  }

  /**
   * The one book of a symbol on a channel; undefined: no snapshot of it has come.
   * @param {string} channel
   * @param {string} symbol
   * @returns {ClientBook | undefined}
   */
  book(channel, symbol) {
    const found = [...this.tracker.books.values()].filter(
      (book) => book.channel === channel && book.symbol === symbol,
    );
    return found.length === 1 ? found[0] : undefined;
  }

  /**
   * Subscribe to books on a channel.
   * @param {string} channel `bbo`, `l2`, `l3` or `trades`
   * @param {string[]} symbols
   * @param {{publisher?: number, depth?: number | "all", conflate_ms?: number}} options
   */
  subscribe(channel, symbols, options = {}) {
    const request = { op: "subscribe", channel, symbols, ...options };
    this.tracker.note(request);
    this.send(request);
  }

  /**
   * End subscriptions to books on a channel.
   * @param {string} channel
   * @param {string[]} symbols as they were subscribed to
   */
  unsubscribe(channel, symbols) {
    this.tracker.forget(channel, symbols);
    this.send({ op: "unsubscribe", channel, symbols });
  }

  /**
   * Send a request, as docs/api.md has them; it waits until there is a connection.
   * @param {ClientRequest} request
   */
  send(request) {
    if (this.socket.readyState === 1) this.socket.send(JSON.stringify(request));
    else this.#unsent.push(request);
  }

  /** End the connection, for good. */
  close() {
    this.#closed = true;
    globalThis.clearTimeout(this.#silence);
    this.socket.close();
  }

  /** @returns {WebSocket} */
  #connect() {
    const socket = new this.WebSocket(this.url, this.protocols);
    this.#listenOn(socket);
    socket.onopen = () => {
      this.#listenOn(socket);
      if (this.#hasOpened) this.#unsent.unshift(...this.tracker.requestsToResume());
      this.#hasOpened = true;
      for (const request of this.#unsent.splice(0)) this.send(request);
    };
    socket.onmessage = ({ data }) => {
      this.#attempts = 0;
      this.#listenOn(socket);
      const message = JSON.parse(data);
      for (const request of this.tracker.take(message)) this.send(request);
      this.onMessage(message);
    };
    socket.onclose = () => this.#reconnect(socket);
    return socket;
  }

  /** The server sends a heartbeat each second. @param {WebSocket} socket */
  #listenOn(socket) {
    globalThis.clearTimeout(this.#silence);
    this.#silence = globalThis.setTimeout(() => {
      socket.close();
      this.#reconnect(socket); // a dead connection may take minutes to close
    }, SILENCE_MS);
  }

  /** @param {WebSocket} lost */
  #reconnect(lost) {
    globalThis.clearTimeout(this.#silence);
    lost.onclose = lost.onmessage = lost.onopen = null;
    if (this.#closed || lost !== this.socket) return;
    const wait = RECONNECT_MS[Math.min(this.#attempts, RECONNECT_MS.length - 1)];
    this.#attempts += 1;
    globalThis.setTimeout(() => {
      if (this.#closed) return;
      this.reconnects += 1;
      this.socket = this.#connect();
    }, wait);
  }
}
