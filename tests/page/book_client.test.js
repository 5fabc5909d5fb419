import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { BookClient, BookTracker } from "../../batonics/server/page/book_client.js";
import { BookMismatchError, ClientBook, bookChecksum } from
  "../../batonics/server/page/client_books.js";

const name = { symbol: "CLX5", publisher_id: 1, instrument_id: 7 };
const head = { ...name, status: "synced", warnings: [], ts_event: null, ts_recv: null };

/** A level of a vector, as the module has it. */
function levelOf({ price_1e9, size, count, orders }) {
  const queue = orders?.map((order) => [BigInt(order.order_id), order.size]);
  return { price: BigInt(price_1e9), size: BigInt(size), count, orders: queue && new Map(queue) };
}

/** A message of l3, with the checksum of the book that it leads to. */
function l3(type, seq, prev_seq, parts, sides) {
  const levels = sides.map((side) => side.map(levelOf));
  const checksum = bookChecksum(levels[0], levels[1], null);
  return { ...head, type, channel: "l3", seq, prev_seq, ...parts, checksum };
}

const queue = (price_1e9, ...orders) => ({
  price_1e9,
  size: orders.reduce((sum, [, size]) => sum + size, 0),
  count: orders.length,
  orders: orders.map(([order_id, size]) => ({ order_id, size })),
});

const change = (kind, order_id, side, price, size) => ({
  change: kind, order_id: String(order_id), side, price, size,
});

const START = [[queue(5n, [1, 10], [2, 20])], [queue(7n, [3, 5])]];
const SNAPSHOT = l3("snapshot", 100, null, {
  bids: [{ price: "0.000000005", orders: [["1", 10], ["2", 20]] }],
  asks: [{ price: "0.000000007", orders: [["3", 5]] }],
}, START);

test("the vectors of docs/book-checksums.json", () => {
  const path = new globalThis.URL("../../docs/book-checksums.json", import.meta.url);
  const text = readFileSync(path, "utf8");
  const { vectors } = JSON.parse(text);
  assert.ok(vectors.length >= 10);
  for (const { name: vector, bids, asks, depth, checksum } of vectors) {
    assert.equal(bookChecksum(bids.map(levelOf), asks.map(levelOf), depth), checksum, vector);
  }
});

test("orders keep or lose their place, come and go", () => {
  const book = new ClientBook(SNAPSHOT);
  assert.equal(book.apply(SNAPSHOT), true);
  const update = l3("update", 103, 100, {
    changes: [
      change("removed", 3, "A", "0.000000007", 5),
      change("kept", 1, "B", "0.000000005", 4),
      change("lost", 2, "B", "0.000000006", 20),
      change("added", 9, "B", "0.000000005", 1),
    ],
    fills: [],
  }, [[queue(6n, [2, 20]), queue(5n, [1, 4], [9, 1])], []]);
  assert.equal(book.apply(update), true);
  assert.equal(book.apply(update), false, "a message that comes twice changes nothing");
  assert.equal(book.checked, 2);
  assert.deepEqual(book.bids.map(({ price, size, count }) => [price, size, count]), [
    [6n, 20, 1], [5n, 5, 2],
  ]);
  assert.throws(() => book.apply({ ...update, seq: 200, prev_seq: 150 }), BookMismatchError);
});

test("levels of l2 and bbo follow their messages", () => {
  for (const [channel, first, next, expected] of [
    ["l2", { bids: [["1.5", 3, 1], ["1.4", 2, 1]], asks: [], depth: 10 },
      { bids: [["1.4", 0, 0], ["1.6", 8, 2]], asks: [["1.7", 1, 1]] },
      [[1_600_000_000n, 8, 2], [1_500_000_000n, 3, 1]]],
    ["bbo", { bid: ["1.5", 3, 1], ask: null }, { bid: ["1.6", 8, 2], ask: null },
      [[1_600_000_000n, 8, 2]]],
  ]) {
    const snapshot = { ...head, type: "snapshot", channel, seq: 1, prev_seq: null, ...first };
    const book = new ClientBook(snapshot);
    book.apply(snapshot);
    book.apply({ ...head, type: "update", channel, seq: 2, prev_seq: 1, ...next });
    assert.deepEqual(book.bids.map(({ price, size, count }) => [price, size, count]), expected);
  }
});

test("a book that misses a message asks for a snapshot, once, and waits for it", () => {
  const tracker = new BookTracker();
  assert.deepEqual(tracker.take(SNAPSHOT), []);
  const [book] = tracker.books.values();
  const late = { ...head, type: "update", channel: "l3", seq: 109, prev_seq: 105, changes: [] };
  const resync = { op: "resync", channel: "l3", symbols: ["CLX5"], publisher: 1 };
  assert.deepEqual(tracker.take(late), [resync]);
  assert.equal(tracker.isCurrent(book), false);
  assert.deepEqual(tracker.take({ ...late, seq: 110, prev_seq: 109 }), []);
  assert.deepEqual(tracker.take(SNAPSHOT), []);
  assert.equal(tracker.isCurrent([...tracker.books.values()][0]), true);
  const books = [{ ...name, channel: "l3", seq: 120 }];
  const heartbeat = { type: "heartbeat", record: 120, books };
  assert.deepEqual(tracker.take(heartbeat), [resync], "a heartbeat tells of a lost last message");
  const wrong = new BookTracker();
  assert.deepEqual(wrong.take({ ...SNAPSHOT, checksum: SNAPSHOT.checksum ^ 1 }), [resync]);
  wrong.take({ ...name, type: "cut", channel: "l3", seq: 100, reason: "too slow" });
  assert.deepEqual([...wrong.cut.values()], ["too slow"]);
  assert.equal(wrong.books.size, 0);
});

/** A WebSocket that a test drives. */
class FakeSocket {
  static all = [];
  constructor(url, protocols) {
    Object.assign(this, { url, protocols, readyState: 0, sent: [] });
    FakeSocket.all.push(this);
  }
  open() {
    this.readyState = 1;
    this.onopen();
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  receive(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }
  close() {
    this.readyState = 3;
    this.onclose?.();
  }
}

test("a connection that is lost is made again, and goes on where it was", async () => {
  const seen = [];
  const client = new BookClient("http://host:1/", {
    token: "abc", WebSocket: FakeSocket, onMessage: (message) => seen.push(message.type),
  });
  client.subscribe("l3", ["CLX5"]);
  client.send({ op: "play", speed: 2 });
  const [first] = FakeSocket.all;
  assert.equal(first.url, "ws://host:1/v1/ws");
  assert.deepEqual(first.protocols, ["batonics", "bearer.abc"]);
  first.open();
  assert.deepEqual(first.sent.map((request) => request.op), ["subscribe", "play"]);
  first.receive({ type: "clock", record: 50, is_playing: true, speed: 2 });
  first.receive(SNAPSHOT);
  assert.equal(client.book("l3", "CLX5")?.seq, 100);
  first.close();
  await new Promise((resolve) => globalThis.setTimeout(resolve, 20));
  const second = FakeSocket.all[1];
  second.open();
  assert.deepEqual(second.sent, [
    { op: "seek", at: "record:100", id: "resume" },
    { op: "subscribe", channel: "l3", symbols: ["CLX5"], id: "resume" },
    { op: "play", speed: 2, id: "resume" },
  ]);
  const stopped = { type: "clock", record: 100, is_playing: false, speed: 1, id: "resume" };
  second.receive(stopped);
  const [, , play] = client.tracker.requestsToResume();
  const asked = [play.op, play.speed];
  assert.deepEqual(asked, ["play", 2], "what was asked for, not what has been done");
  second.receive({ ...SNAPSHOT, checksum: 1 });
  assert.equal(second.sent.at(-1).op, "resync");
  assert.deepEqual(seen, ["clock", "snapshot", "clock", "snapshot"]);
  assert.equal(client.reconnects, 1);
  client.unsubscribe("l3", ["CLX5"]);
  second.receive({ type: "unsubscribed", channel: "l3", books: [name], id: null });
  assert.equal(client.book("l3", "CLX5"), undefined);
  assert.deepEqual(client.tracker.requestsToResume().map((one) => one.op), ["seek", "play"]);
  client.close();
});
