import assert from "node:assert/strict";
import { test } from "node:test";

import { chartColumns, makeChart, runsOf } from "../../batonics/server/page/answer_chart.js";
import { columnTexts, toCsv } from "../../batonics/server/page/answer_table.js";
import { makeStrength } from "../../batonics/server/page/heatmap_drawing.js";
import {
  cumulativeDelta, imbalances, spreads, volumeProfile, volumes,
} from "../../batonics/server/page/lanes.js";
import { Latest } from "../../batonics/server/page/latest.js";
import { readNames } from "../../batonics/server/page/beside.js";
import { Playback, addTrades, bookDocument } from "../../batonics/server/page/playback.js";
import { ageStep, describeAge } from "../../batonics/server/page/queue.js";
import { howItLeft } from "../../batonics/server/page/order.js";
import { joinTrades, sizeByPrice } from "../../batonics/server/page/tape.js";
import { readHash, writeHash } from "../../batonics/server/page/view.js";

const trade = (record, ts_event, price, side, size) => ({ record, ts_event, price, side, size });

test("trades of one time, price and side are one row, the newest first", () => {
  const records = [
    trade(9, "t2", "64.81", "A", 1),
    trade(8, "t2", "64.81", "A", 2),
    trade(7, "t2", "64.82", "A", 4),
    trade(6, "t1", "64.82", "A", 8),
    trade(5, "t1", "64.82", "B", 16),
  ];
  const joined = joinTrades(records);
  assert.deepEqual(
    joined.map((one) => [one.first.record, one.size, one.trades]),
    [[9, 3, 2], [7, 4, 1], [6, 8, 1], [5, 16, 1]],
  );
  assert.equal(records[0].size, 1, "the records themselves stay as they are");
  assert.deepEqual([...sizeByPrice(records)], [["64.81", 3], ["64.82", 28]]);
});

test("lanes are those of the columns, and of trades at all prices", () => {
  const grid = {
    rows: 2,
    tick_1e9: 10,
    best_bid_1e9: [100, null, 100],
    best_ask_1e9: [120, 110, 90],
    best_bid_size: [3, 0, 1],
    best_ask_size: [1, 5, 1],
    buy_total: [5, 0, 1],
    sell_total: [2, 4, 0],
    other_total: [1, 0, 0],
    buy_volume: [[0, 5], [0, 0], [1, 0]],
    sell_volume: [[0, 1], [4, 0], [0, 0]],
    other_volume: [[1, 0], [0, 0], [0, 0]],
  };
  assert.deepEqual(spreads(grid), [2, null, -1]);
  assert.deepEqual(imbalances(grid), [0.5, null, 0]);
  assert.deepEqual(cumulativeDelta(grid), [3, -1, 0]);
  assert.deepEqual(volumes(grid), [8, 4, 1]);
  assert.deepEqual(volumeProfile(grid), [6, 6]);
});

test("the strength of a size grows with it, and one large order does not make others pale", () => {
  const strength = makeStrength([[0, 1, 2, 3], new Array(300).fill(10), [1_000_000]]);
  assert.equal(strength(0), 0);
  assert.equal(strength(10), 1);
  assert.equal(strength(1_000_000), 1);
  assert.ok(strength(1) < strength(2) && strength(2) < strength(10));
});

test("how an order left the book is what its last record says", () => {
  const life = (...records) => ({
    records: records.map(([action, ts_event]) => ({ action, ts_event })),
    more_records: 0,
  });
  assert.equal(howItLeft(life(["A", "t1"], ["C", "t2"])), "It was cancelled.");
  assert.equal(howItLeft(life(["A", "t1"], ["F", "t2"], ["C", "t2"])), "It was filled.");
  assert.equal(howItLeft(life(["A", "t1"], ["F", "t2"], ["C", "t3"])), "It was cancelled.");
  assert.match(howItLeft(life(["A", "t1"])), /a clear or a snapshot/);
  assert.equal(howItLeft({ ...life(["C", "t1"]), more_records: 1 }), "");
});

test("the URL holds the view", () => {
  const hash = "#symbol=CL%3ABF+X5&at=record%3A7&side=B&price=64.81";
  const state = readHash(hash);
  assert.equal(state.symbol, "CL:BF X5");
  assert.equal(state.at, "record:7");
  assert.deepEqual(readHash(writeHash(state)), state);
  assert.equal(writeHash(readHash("#unknown=1")), "");
});

test("of the requests that come while one is under way, the last one follows", async () => {
  const asked = [];
  const shown = [];
  const waiting = [];
  const latest = new Latest(
    (wanted) => {
      asked.push(wanted);
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
    (answer) => shown.push(answer),
    (error) => shown.push(error),
  );
  const done = [1, 2, 3].map((wanted) => latest.ask(wanted));
  waiting[0].reject("failed");
  while (asked.length < 2) await Promise.resolve();
  assert.deepEqual(asked, [1, 3]);
  waiting[1].resolve("three");
  await Promise.all(done);
  assert.deepEqual(shown, ["failed", "three"]);
  assert.equal(latest.isBusy, false);
});

const answer = (columns, rows) => ({
  columns: columns.map(([name, type]) => ({ name, type, unit: null })), rows, more: false,
  note: null,
});

test("a chart has a line for each text over the first time, and no id is a number", () => {
  const rows = [
    ["2026-01-05T14:30:02Z", "A", 1, "2.50"],
    ["2026-01-05T14:30:01Z", "A", 1, null],
    ["2026-01-05T14:30:01Z", "B", 1, "9007199254740993"],
  ];
  const types = [["ts", "datetime"], ["symbol", "string"], ["publisher_id", "uint16"],
    ["price", "decimal"]];
  const found = answer(types, rows);
  assert.deepEqual(chartColumns(found), ["price"]);
  const chart = makeChart(found, "price");
  assert.deepEqual([chart.across, chart.hasBars], ["ts", false]);
  assert.deepEqual(
    chart.lines.map((line) => [line.name, line.points.map((point) => point.y)]),
    [["A", [NaN, 2.5]], ["B", [9007199254740992]]],
  );
});

test("a chart has bars where nothing orders the rows, or no line has two points", () => {
  const texts = answer([["symbol", "string"], ["volume", "int64"]], [["A", "3"], ["B", "5"]]);
  const hours = answer(
    [["symbol", "string"], ["hour", "int64"], ["spread", "float64"]],
    [["A", "14", 0.5], ["B", "14", 0.25]],
  );
  for (const [found, name] of [[texts, "volume"], [hours, "spread"]]) {
    const chart = makeChart(found, name);
    assert.equal(chart.hasBars, true);
    assert.deepEqual(chart.lines[0].points.map((point) => point.label), ["A", "B"]);
  }
});

test("a line ends where a number is missing", () => {
  const points = [1, 2, NaN, 4].map((y, x) => ({ x, y, label: "" }));
  assert.deepEqual(runsOf(points).map((run) => run.map((point) => point.y)), [[1, 2], [4]]);
});

test("CSV has every row, quoted where it must be", () => {
  const rows = [["a,b", "1"], ['say "x"', null], ["line\nbreak", "3"]];
  assert.equal(
    toCsv(answer([["name", "string"], ["n", "int64"]], rows)),
    'name,n\r\n"a,b",1\r\n"say ""x""",\r\n"line\nbreak",3\r\n',
  );
});

test("decimals of a column have as many places as one of them needs", () => {
  assert.deepEqual(
    columnTexts(["40.010000000", null, "2979.250000000", "100.000000000", "100"], "decimal"),
    ["40.01", "", "2979.25", "100.00", "100.00"],
  );
});

test("the colour of an order is its time in its place; what is not known is the oldest", () => {
  const now = "2026-01-05T14:30:40.000000000Z";
  const placed = ["14:30:39.5", "14:30:35", "14:30:00", "14:25:00", "13:00:00"];
  assert.deepEqual(
    placed.map((time) => ageStep({ placed: `2026-01-05T${time}Z` }, now)), [0, 1, 2, 3, 4],
  );
  assert.equal(ageStep({ placed: null }, now), 4);
});

test("an order that was refilled says so", () => {
  const order = {
    order_id: "1", size: 2, added: "2026-01-05T14:30:00Z", placed: "2026-01-05T14:30:30Z",
    first_size: 1, filled: 67, is_refilled: true, is_from_snapshot: false,
  };
  assert.equal(
    describeAge(order, "2026-01-05T14:30:40Z"),
    ", in its place for 10 s, added 40 s ago, filled 67 of first 1, refilled after fills",
  );
});

test("names of books beside are parted by commas or spaces, each once", () => {
  assert.deepEqual(readNames(" CLZ5,CLF6  CLZ5,"), ["CLZ5", "CLF6"]);
  assert.deepEqual(readNames(""), []);
});

globalThis.window = {
  requestAnimationFrame: (draw) => { draw(); return 0; },
  cancelAnimationFrame: () => {},
};

/** A playback whose connection a test holds in its hands. */
function play() {
  const seen = [];
  const sent = [];
  const book = {
    symbol: "A", publisher: 1, instrument: 2, status: "synced", warnings: [], seq: 7,
    bids: [{ price: 2_500_000_000n, size: 3, count: 1 }],
    asks: [{ price: 2_000_000_000n, size: 4n, count: 2 }],
  };
  const client = {
    tracker: { isCurrent: () => true },
    book: () => book,
    send: (request) => sent.push(request),
    subscribe: (channel, symbols, options) => sent.push({ channel, symbols, ...options }),
    close: () => sent.push("close"),
  };
  let deliver = () => {};
  const listener = {
    onBook: (document, record) => seen.push(["book", document.market, record]),
    onTrades: (trades) => seen.push(["trades", trades.map((trade) => trade.record)]),
    onPause: (at) => seen.push(["pause", at]),
    onEnd: () => seen.push(["end"]),
    onProblem: (text) => seen.push(["problem", text]),
  };
  const playback = new Playback(listener, () => undefined, (onMessage) => {
    deliver = onMessage;
    return client;
  });
  playback.play({ symbol: "A", publisher: "1" }, "record:5", 10);
  return { playback, seen, sent, deliver: (message) => deliver(message), book };
}

test("a book that plays is shown with each message, and stands where its clock says", () => {
  const { playback, seen, sent, deliver } = play();
  assert.deepEqual(sent.map((one) => one.op ?? one.channel), ["seek", "l2", "trades", "play"]);
  deliver({ type: "update", channel: "l2", ts_recv: "t" });
  deliver({ type: "update", channel: "trades", seq: 6, side: "B", price: "2.5", size: 1 });
  playback.pause();
  deliver({ type: "clock", id: "pause", record: 8, at: "t", has_ended: false });
  assert.equal(playback.isPlaying, false);
  deliver({ type: "update", channel: "l2", ts_recv: "later" });
  assert.deepEqual(seen, [
    ["book", "crossed", 7], ["trades", [6]], ["book", "crossed", 7], ["pause", "record:8"],
  ]);
});

test("playing ends with the records, and with an error", () => {
  const one = play();
  one.deliver({ type: "clock", id: null, record: 9, at: "t", has_ended: true });
  assert.deepEqual([one.playback.isPlaying, one.seen], [false, [["end"]]]);
  const other = play();
  other.deliver({ type: "error", detail: "no such book", id: null });
  assert.deepEqual(other.seen, [["problem", "no such book"], ["pause", null]]);
});

test("newer trades come before older ones, none of them twice", () => {
  const rows = (...records) => records.map((record) => ({ record }));
  assert.deepEqual(addTrades(rows(3, 2), rows(5, 4, 3)), rows(5, 4, 3, 2));
});

test("the document of a book that plays has exact prices", () => {
  const document = bookDocument(play().book, { events: 1 });
  assert.deepEqual(document.bids, [{ price: "2.5", size: 3, count: 1 }]);
  assert.deepEqual(document.asks, [{ price: "2", size: 4, count: 2 }]);
});
