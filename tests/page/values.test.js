import assert from "node:assert/strict";
import { test } from "node:test";

import {
  alignPrices, formatPrice, formatSpan, formatTime, parsePrice, parseTime,
} from "../../batonics/server/page/values.js";

test("prices are exact, to the last of int64", () => {
  for (const [text, value] of [
    ["64.81", 64_810_000_000n],
    ["-37.63", -37_630_000_000n],
    ["0.000000001", 1n],
    ["9223372036.854775806", 9_223_372_036_854_775_806n],
    ["100", 100_000_000_000n],
  ]) {
    assert.equal(parsePrice(text), value);
    assert.equal(formatPrice(value), text);
  }
  assert.throws(() => parsePrice("1e3"), RangeError);
  assert.throws(() => parsePrice("1.0000000001"), RangeError);
});

test("prices of one column have equally many decimals", () => {
  assert.deepEqual(alignPrices(["64.8", "64", "64.81"]), ["64.80", "64.00", "64.81"]);
  assert.deepEqual(alignPrices([]), []);
});

test("times are exact to the nanosecond", () => {
  const text = "2026-01-05T14:30:40.123456789Z";
  assert.equal(parseTime(text), 1_767_623_440_123_456_789n);
  assert.equal(formatTime(1_767_623_440_123_456_789n), text);
  assert.equal(parseTime("2026-01-05 14:30:40.5"), 1_767_623_440_500_000_000n);
  assert.equal(parseTime("2026-01-05T14:30"), 1_767_623_400_000_000_000n);
  assert.equal(parseTime("2026-01-05"), 1_767_571_200_000_000_000n);
  for (const wrong of ["", "noon", "2026-13-05", "2026-01-05T25:00", "2026-01-05T14:30:60"]) {
    assert.throws(() => parseTime(wrong), RangeError, wrong);
  }
});

test("a span is written in its largest unit", () => {
  assert.equal(formatSpan(1_500_000_000n), "1.5 s");
  assert.equal(formatSpan(86_400_000_000_000n), "1 d");
  assert.equal(formatSpan(90_000_000_000n), "1.5 min");
  assert.equal(formatSpan(12_345n), "12.3 µs");
  assert.equal(formatSpan(999n), "999 ns");
});
