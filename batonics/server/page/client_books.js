/**
 * Books as a client of /v1/ws keeps them: snapshots replace them, updates change them, checksums
 * prove them. docs/api.md describes the same steps in words.
 *
 * Prices and order ids are bigints: numbers would round them.
 *
 * @typedef {{type: string, channel: string, symbol: string, publisher_id: number,
 *   instrument_id: number, seq: number, prev_seq: number | null, [key: string]: any}} BookMessage
 * @typedef {{price: bigint, size: number | bigint, count: number,
 *   orders?: Map<bigint, number>}} BookLevel
 *   `orders`: the size of each order by id, in priority order
 * @typedef {{price: bigint, size: number, count: number, orders: Map<bigint, number>}} QueueLevel
 * @typedef {{side: number, price: bigint}} OrderPlace
 */

import { parsePrice } from "./values.js";

const CHECKSUM_LEVELS = 10;
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit += 1) byte = (byte & 1 ? 0xedb88320 : 0) ^ (byte >>> 1);
  return byte;
});

/** A message that does not fit the book that the client has: one before it is missing. */
export class BookMismatchError extends Error {}

/**
 * The checksum of levels, and of their queues where they have them.
 * @param {BookLevel[]} bids the best first
 * @param {BookLevel[]} asks the best first
 * @param {number | null} depth levels of each side that the reader has; null: all
 * @returns {number}
 */
export function bookChecksum(bids, asks, depth) {
  let crc = 0xffffffff;
  for (const [side, levels] of /** @type {const} */ ([["B", bids], ["A", asks]])) {
    for (const level of levels.slice(0, Math.min(depth ?? CHECKSUM_LEVELS, CHECKSUM_LEVELS))) {
      for (const byte of levelBytes(side, level)) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
    }
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * The bytes of a level, little-endian.
 * @param {"B" | "A"} side
 * @param {BookLevel} level
 * @returns {Uint8Array}
 */
function levelBytes(side, { price, size, count, orders }) {
  const view = new DataView(new ArrayBuffer(21 + 12 * (orders?.size ?? 0)));
  view.setUint8(0, side.charCodeAt(0));
  view.setBigInt64(1, price, true);
  view.setBigUint64(9, BigInt(size), true);
  view.setUint32(17, count, true);
  let at = 21;
  for (const [id, orderSize] of orders ?? []) {
    view.setBigUint64(at, id, true);
    view.setUint32(at + 8, orderSize, true);
    at += 12;
  }
  return new Uint8Array(view.buffer);
}

/** What every book has: `status` and `warnings` say how far it may be trusted. */
export class ClientBook {
  /** @param {BookMessage} message a snapshot */
  constructor({ channel, symbol, publisher_id, instrument_id, depth }) {
    this.channel = channel;
    this.symbol = symbol;
    this.publisher = publisher_id;
    this.instrument = instrument_id;
    this.status = "cold";
    /** @type {string[]} */
    this.warnings = [];
    /** @type {number | null} the record after which the server's book is this one */
    this.seq = null;
    this.checked = 0;
    /** @type {number | null} */
    this.depth = channel === "bbo" ? 1 : (depth ?? null);
    /** @type {[Map<bigint, BookLevel>, Map<bigint, BookLevel>]} */
    this.sides = [new Map(), new Map()];
    /** @type {Map<bigint, OrderPlace>} of l3 */
    this.places = new Map();
  }

  /** @returns {BookLevel[]} the bids, the best first */
  get bids() {
    return [...this.sides[0].values()].sort((a, b) => (a.price < b.price ? 1 : -1));
  }

  /** @returns {BookLevel[]} the asks, the best first */
  get asks() {
    return [...this.sides[1].values()].sort((a, b) => (a.price > b.price ? 1 : -1));
  }

  /**
   * Apply a message about this book; whether it was new.
   * @param {BookMessage} message
   * @returns {boolean}
   */
  apply(message) {
    if (message.type !== "snapshot") {
      if (this.seq === null) throw new BookMismatchError("an update before a snapshot");
      if (message.seq <= this.seq) return false; // it has come before
      if (message.prev_seq !== this.seq) {
        throw new BookMismatchError(`it follows ${message.prev_seq}, the book is at ${this.seq}`);
      }
    }
    this.seq = message.seq;
    this.status = message.status;
    this.warnings = message.warnings;
    if (message.channel === "l3") this.#changeOrders(message);
    else if (message.channel !== "trades") this.#changeLevels(message);
    if (message.checksum === undefined) return true;
    if (bookChecksum(this.bids, this.asks, this.depth) !== message.checksum) {
      throw new BookMismatchError(`the checksum at ${this.seq} differs`);
    }
    this.checked += 1;
    return true;
  }

  /** @param {BookMessage} message of bbo or l2 */
  #changeLevels(message) {
    const isBbo = message.channel === "bbo";
    if (isBbo || message.type === "snapshot") this.sides = [new Map(), new Map()];
    const best = [message.bid, message.ask].map((row) => (row ? [row] : []));
    const rows = isBbo ? best : [message.bids, message.asks];
    this.sides.forEach((levels, side) => {
      for (const [text, size, count] of rows[side]) {
        const price = parsePrice(text);
        if (size) levels.set(price, { price, size, count });
        else levels.delete(price);
      }
    });
  }

  /** @param {BookMessage} message of l3 */
  #changeOrders(message) {
    if (message.type === "snapshot") {
      this.sides = [new Map(), new Map()];
      this.places.clear();
      [message.bids, message.asks].forEach((levels, side) => {
        for (const { price, orders } of levels) {
          for (const [id, size] of orders) this.#add(BigInt(id), side, parsePrice(price), size);
        }
      });
      return;
    }
    for (const { change, order_id, side, price, size } of message.changes) {
      const id = BigInt(order_id);
      if (this.places.has(id) === (change === "added")) {
        throw new BookMismatchError(`order ${order_id} is ${change}, which does not fit`);
      }
      if (change === "kept") this.#resize(id, size);
      else if (change !== "added") this.#remove(id);
      if (change === "lost" || change === "added") {
        this.#add(id, side === "B" ? 0 : 1, parsePrice(price), size);
      }
    }
  }

  /**
   * Put an order at the back of its queue.
   * @param {bigint} id
   * @param {number} side
   * @param {bigint} price
   * @param {number} size
   */
  #add(id, side, price, size) {
    let level = /** @type {QueueLevel | undefined} */ (this.sides[side].get(price));
    if (!level) {
      level = { price, size: 0, count: 0, orders: new Map() };
      this.sides[side].set(price, level);
    }
    level.orders.set(id, size);
    level.size += size;
    level.count += 1;
    this.places.set(id, { side, price });
  }

  /** @param {bigint} id @param {number} size */
  #resize(id, size) {
    const level = this.#levelOf(id);
    level.size += size - (level.orders.get(id) ?? 0);
    level.orders.set(id, size); // a key that exists keeps its place
  }

  /** @param {bigint} id */
  #remove(id) {
    this.#resize(id, 0);
    const level = this.#levelOf(id);
    level.orders.delete(id);
    level.count -= 1;
    const { side, price } = /** @type {OrderPlace} */ (this.places.get(id));
    if (level.count === 0) this.sides[side].delete(price);
    this.places.delete(id);
  }

  /** @param {bigint} id an order in the book @returns {QueueLevel} */
  #levelOf(id) {
    const { side, price } = /** @type {OrderPlace} */ (this.places.get(id));
    return /** @type {QueueLevel} */ (this.sides[side].get(price));
  }
}
