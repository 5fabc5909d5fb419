/**
 * Lanes below the heatmap, on its time axis: spread, imbalance, cumulative delta and volume of each
 * column. They come from the same grid, so all numbers are those of its columns.
 */

/** @typedef {import("./types.js").Heatmap} Heatmap */

/**
 * @typedef {{name: string, values: (number | null)[], kind: "line" | "bars", about: number | null}}
 *   Lane `about` is a value that stands in the picture as a line; null: none.
 */

/**
 * The lanes of a grid.
 * @param {Heatmap} grid
 * @returns {Lane[]}
 */
export function makeLanes(grid) {
  return [
    { name: "spread (ticks)", values: spreads(grid), kind: "line", about: null },
    { name: "imbalance", values: imbalances(grid), kind: "line", about: 0 },
    { name: "cumulative delta", values: cumulativeDelta(grid), kind: "line", about: 0 },
    { name: "volume", values: volumes(grid), kind: "bars", about: null },
  ];
}

/**
 * The best ask less the best bid at the end of each column, in ticks; null without both.
 * @param {Heatmap} grid
 * @returns {(number | null)[]}
 */
export function spreads(grid) {
  return grid.best_bid_1e9.map((bid, column) => {
    const ask = grid.best_ask_1e9[column];
    return bid === null || ask === null ? null : (ask - bid) / grid.tick_1e9;
  });
}

/**
 * (bid - ask) / (bid + ask) of the best sizes at the end of each column, from -1 to 1.
 * @param {Heatmap} grid
 * @returns {(number | null)[]}
 */
export function imbalances(grid) {
  return grid.best_bid_size.map((bid, column) => {
    const ask = grid.best_ask_size[column];
    return bid > 0 && ask > 0 ? (bid - ask) / (bid + ask) : null;
  });
}

/**
 * Bought less sold size since the beginning of the span; trades without a side do not count.
 * @param {Heatmap} grid
 * @returns {number[]}
 */
export function cumulativeDelta(grid) {
  let sum = 0;
  return grid.buy_total.map((bought, column) => {
    sum += bought - grid.sell_total[column];
    return sum;
  });
}

/**
 * The size of all trades of each column.
 * @param {Heatmap} grid
 * @returns {number[]}
 */
export function volumes(grid) {
  return grid.buy_total.map(
    (bought, column) => bought + grid.sell_total[column] + grid.other_total[column],
  );
}

/**
 * The size of the trades of the span in each row of prices.
 * @param {Heatmap} grid
 * @returns {number[]} the lowest price first
 */
export function volumeProfile(grid) {
  const sums = new Array(grid.rows).fill(0);
  for (const cells of [...grid.buy_volume, ...grid.sell_volume, ...grid.other_volume]) {
    cells.forEach((size, row) => {
      sums[row] += size;
    });
  }
  return sums;
}

/**
 * Draw lanes below each other.
 * @param {CanvasRenderingContext2D} context
 * @param {Lane[]} lanes
 * @param {{top: number, width: number, height: number}} place of all of them
 * @param {CSSStyleDeclaration} theme
 */
export function drawLanes(context, lanes, { top, width, height }, theme) {
  const each = height / lanes.length;
  lanes.forEach((lane, place) => {
    drawLane(context, lane, { top: top + place * each, width, height: each }, theme);
  });
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Lane} lane
 * @param {{top: number, width: number, height: number}} place
 * @param {CSSStyleDeclaration} theme
 */
function drawLane(context, { name, values, kind, about }, { top, width, height }, theme) {
  const known = values.filter((value) => value !== null);
  const low = Math.min(...known, about ?? Infinity, kind === "bars" ? 0 : Infinity);
  const high = Math.max(...known, about ?? -Infinity);
  const scale = high > low ? (height - 8) / (high - low) : 0;
  const column = width / values.length;
  const y = (/** @type {number} */ value) => top + height - 4 - (value - low) * scale;
  context.fillStyle = theme.getPropertyValue("--line");
  context.fillRect(0, top, width, 1);
  if (about !== null && known.length) context.fillRect(0, y(about), width, 1);
  context.fillStyle = theme.getPropertyValue("--quiet");
  values.forEach((value, at) => {
    if (value === null) return;
    if (kind === "bars") context.fillRect(at * column, y(value), column, y(0) - y(value));
    else context.fillRect(at * column, y(value) - 1, column + 0.5, 2);
  });
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "left";
  context.textBaseline = "top";
  context.fillStyle = theme.getPropertyValue("--panel");
  context.fillRect(0, top + 1, context.measureText(name).width + 8, 15);
  context.fillStyle = theme.getPropertyValue("--text");
  context.fillText(name, 4, top + 3);
  if (!known.length) return;
  context.fillStyle = theme.getPropertyValue("--quiet");
  context.fillText(shorten(high), width + 6, top + 2);
  context.textBaseline = "bottom";
  context.fillText(shorten(low), width + 6, top + height);
}

/**
 * @param {number} value
 * @returns {string}
 */
function shorten(value) {
  return Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 }).format(value);
}
