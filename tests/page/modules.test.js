import assert from "node:assert/strict";
import { test } from "node:test";

import { Latest } from "../../batonics/server/page/latest.js";
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
