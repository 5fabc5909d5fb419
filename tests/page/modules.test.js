import assert from "node:assert/strict";
import { test } from "node:test";

import { makeStrength } from "../../batonics/server/page/heatmap_drawing.js";
import {
  cumulativeDelta, imbalances, spreads, volumeProfile, volumes,
} from "../../batonics/server/page/lanes.js";
import { Latest } from "../../batonics/server/page/latest.js";
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
