/**
 * Prices, sizes and times as the API writes them: exact, and never a float.
 *
 * A price is decimal text and a bigint of 1e-9; a time is ISO 8601 with nine decimals and a bigint
 * of nanoseconds since the epoch.
 */

const NANO = 1_000_000_000n;
const MINUTE_MS = 60_000;

/**
 * The bigint of 1e-9 of a decimal text.
 * @param {string} text
 * @returns {bigint}
 */
export function parsePrice(text) {
  const match = /^(-?)(\d+)(?:\.(\d{1,9}))?$/.exec(text);
  if (!match) throw new RangeError(`not a price: ${text}`);
  const [, sign, whole, decimals = ""] = match;
  const value = BigInt(whole) * NANO + BigInt(decimals.padEnd(9, "0"));
  return sign ? -value : value;
}

/**
 * The decimal text of a bigint of 1e-9, without zeros at its end.
 * @param {bigint} value
 * @returns {string}
 */
export function formatPrice(value) {
  const size = value < 0n ? -value : value;
  const decimals = (size % NANO).toString().padStart(9, "0").replace(/0+$/, "");
  return `${value < 0n ? "-" : ""}${size / NANO}${decimals && `.${decimals}`}`;
}

/**
 * Decimal texts with equally many decimals, so that they line up.
 * @param {string[]} prices
 * @returns {string[]}
 */
export function alignPrices(prices) {
  const decimals = prices.map((price) => price.split(".")[1]?.length ?? 0);
  const most = Math.max(0, ...decimals);
  return prices.map((price, place) => {
    if (decimals[place] === most) return price;
    return (decimals[place] ? price : `${price}.`) + "0".repeat(most - decimals[place]);
  });
}

/**
 * Nanoseconds since the epoch of an ISO 8601 time in UTC.
 * @param {string} text `2026-01-05T14:30:40.123456789Z`; the date alone, or fewer digits, will do
 * @returns {bigint}
 */
export function parseTime(text) {
  const form = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?Z?$/;
  const match = form.exec(text.trim());
  const minutes = match ? Date.parse(`${match[1]}T${match[2] ?? "00:00"}Z`) : NaN;
  if (!match || Number.isNaN(minutes)) {
    throw new RangeError(`not a time: ${text}; write 2026-01-05T14:30:40.123 (UTC)`);
  }
  const seconds = BigInt(match[3] ?? "0");
  if (seconds > 59n) throw new RangeError(`not a time: ${text}`);
  const nanoseconds = BigInt((match[4] ?? "").padEnd(9, "0"));
  return BigInt(minutes) * 1_000_000n + seconds * NANO + nanoseconds;
}

/**
 * ISO 8601 in UTC with nine decimals.
 * @param {bigint} ns nanoseconds since the epoch
 * @returns {string}
 */
export function formatTime(ns) {
  const second = new Date(Number(ns / NANO) * 1000).toISOString().slice(0, 19);
  return `${second}.${(ns % NANO).toString().padStart(9, "0")}Z`;
}

/**
 * The time of day of an ISO 8601 time, to the microsecond.
 * @param {string} text
 * @returns {string}
 */
export function timeOfDay(text) {
  return text.slice(11, 26);
}

/**
 * A span of time in the largest unit that it has one of: `1.5 s`, `12 ms`, `3 h`.
 * @param {bigint} ns
 * @returns {string}
 */
export function formatSpan(ns) {
  const milliseconds = Number(ns) / 1e6;
  /** @type {[number, string][]} */
  const units = [
    [24 * 60 * MINUTE_MS, "d"],
    [60 * MINUTE_MS, "h"],
    [MINUTE_MS, "min"],
    [1000, "s"],
    [1, "ms"],
    [1e-3, "µs"],
  ];
  for (const [size, name] of units) {
    if (milliseconds >= size) return `${Number((milliseconds / size).toPrecision(3))} ${name}`;
  }
  return `${ns} ns`;
}
