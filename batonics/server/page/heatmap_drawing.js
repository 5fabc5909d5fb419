/** Draws a grid on a canvas: cells, best prices, trades, axes, lanes. It keeps nothing. */

import { drawLanes, makeLanes, volumeProfile } from "./lanes.js";
import { alignPrices, formatPrice, parsePrice, parseTime } from "./values.js";

/** @typedef {import("./types.js").Heatmap} Heatmap */
/** @typedef {[number, number, number]} Colour */

export const MARGIN = { right: 72, bottom: 20 };
const STRIP = 5; // height of the strip of statuses above the cells
const TRADE_RADIUS = 9;
const LANES_SHARE = 0.28; // of the height
const PROFILE_SHARE = 0.12; // of the width, for the longest bar
const PRICE_LABELS = 10;
const TIME_LABELS = 6;
const STATUS_VARIABLES = /** @type {Record<string, string>} */ ({ synced: "--good" });

/**
 * Empty a canvas and give it as many pixels as the screen has for it.
 * @param {HTMLCanvasElement} canvas
 * @returns {{context: CanvasRenderingContext2D | null, width: number, height: number}} with the
 *   size in CSS pixels; without a context where there is no room
 */
function clear(canvas) {
  const ratio = window.devicePixelRatio;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const hasRoom = width > MARGIN.right && height > MARGIN.bottom + STRIP;
  const context = hasRoom ? canvas.getContext("2d") : null;
  context?.scale(ratio, ratio);
  return { context, width, height };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Heatmap} grid
 */
export function drawHeatmap(canvas, grid) {
  const { context, width, height } = clear(canvas);
  if (!context) return;
  const theme = getComputedStyle(canvas);
  const lanes = Math.round((height - MARGIN.bottom) * LANES_SHARE);
  const plot = { width: width - MARGIN.right, height: height - MARGIN.bottom - STRIP - lanes };
  context.imageSmoothingEnabled = false;
  context.drawImage(drawCells(grid, theme), 0, STRIP, plot.width, plot.height);
  const scales = makeScales(grid, plot);
  drawStatuses(context, grid, scales, theme);
  drawProfile(context, grid, scales, theme);
  drawBest(context, grid.best_bid_1e9, scales, theme.getPropertyValue("--bid"));
  drawBest(context, grid.best_ask_1e9, scales, theme.getPropertyValue("--ask"));
  drawTrades(context, grid, scales, theme);
  drawAxes(context, grid, scales, theme);
  const top = STRIP + plot.height + MARGIN.bottom;
  drawLanes(context, makeLanes(grid), { top, width: plot.width, height: lanes }, theme);
}

/**
 * @typedef {{x: (column: number) => number, y: (price: number) => number, width: number,
 *   height: number, column: number, row: number}} Scales
 *   `x` of the left of a column, `y` of a price in 1e-9; sizes in pixels.
 */

/**
 * @param {Heatmap} grid
 * @param {{width: number, height: number}} plot
 * @returns {Scales}
 */
function makeScales(grid, plot) {
  const column = plot.width / grid.columns;
  const row = plot.height / grid.rows;
  const low = Number(parsePrice(grid.low ?? "0"));
  return {
    ...plot,
    column,
    row,
    x: (place) => place * column,
    y: (price) => STRIP + plot.height - ((price - low) / grid.row_1e9) * row,
  };
}

/**
 * One pixel for each cell: bids and asks by their colours, the larger the stronger.
 * @param {Heatmap} grid
 * @param {CSSStyleDeclaration} theme
 * @returns {HTMLCanvasElement}
 */
function drawCells(grid, theme) {
  const canvas = document.createElement("canvas");
  canvas.width = grid.columns;
  canvas.height = grid.rows;
  const context = canvas.getContext("2d");
  if (!context) return canvas;
  const image = context.createImageData(grid.columns, grid.rows);
  const ground = readColour(theme.getPropertyValue("--panel"));
  const bid = readColour(theme.getPropertyValue("--bid"));
  const ask = readColour(theme.getPropertyValue("--ask"));
  const strength = makeStrength([...grid.bid_size, ...grid.ask_size]);
  for (let column = 0; column < grid.columns; column += 1) {
    const [bids, asks] = [grid.bid_size[column], grid.ask_size[column]];
    for (let row = 0; row < grid.rows; row += 1) {
      const isBid = bids[row] >= asks[row];
      const share = strength(isBid ? bids[row] : asks[row]);
      const at = 4 * ((grid.rows - 1 - row) * grid.columns + column);
      const colour = isBid ? bid : ask;
      for (let part = 0; part < 3; part += 1) {
        image.data[at + part] = ground[part] + (colour[part] - ground[part]) * share;
      }
      image.data[at + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/**
 * The strength of a size from 0 to 1: full from the 99th percentile on, so that one large order
 * does not make all others pale.
 * @param {number[][]} sizes
 * @returns {(size: number) => number}
 */
export function makeStrength(sizes) {
  const standing = sizes.flatMap((column) => column.filter((size) => size > 0));
  standing.sort((a, b) => a - b);
  const full = standing[Math.floor(standing.length * 0.99)] ?? 1;
  return (size) => (size > 0 ? Math.min(1, 0.08 + 0.92 * (size / full) ** 0.7) : 0);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Heatmap} grid
 * @param {Scales} scales
 * @param {CSSStyleDeclaration} theme
 */
function drawStatuses(context, grid, scales, theme) {
  grid.status.forEach((status, column) => {
    if (status === null) return;
    context.fillStyle = theme.getPropertyValue(STATUS_VARIABLES[status] ?? "--doubt");
    context.fillRect(scales.x(column), 0, scales.column + 0.5, STRIP - 2);
  });
}

/**
 * The volume of each row, as bars from the right.
 * @param {CanvasRenderingContext2D} context
 * @param {Heatmap} grid
 * @param {Scales} scales
 * @param {CSSStyleDeclaration} theme
 */
function drawProfile(context, grid, scales, theme) {
  const profile = volumeProfile(grid);
  const longest = Math.max(1, ...profile);
  context.fillStyle = theme.getPropertyValue("--text");
  context.globalAlpha = 0.35;
  profile.forEach((size, row) => {
    const length = (size / longest) * scales.width * PROFILE_SHARE;
    const y = STRIP + scales.height - (row + 1) * scales.row;
    context.fillRect(scales.width - length, y, length, Math.max(1, scales.row - 1));
  });
  context.globalAlpha = 1;
}

/**
 * A line of steps; it ends where there is no price.
 * @param {CanvasRenderingContext2D} context
 * @param {(number | null)[]} prices
 * @param {Scales} scales
 * @param {string} colour
 */
function drawBest(context, prices, scales, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.beginPath();
  let isDrawing = false;
  prices.forEach((price, column) => {
    if (price !== null) {
      const y = scales.y(price) - scales.row / 2;
      if (isDrawing) context.lineTo(scales.x(column), y);
      else context.moveTo(scales.x(column), y);
      context.lineTo(scales.x(column + 1), y);
    }
    isDrawing = price !== null;
  });
  context.save();
  const line = new Path2D();
  line.rect(0, STRIP, scales.width, scales.height);
  context.clip(line);
  context.stroke();
  context.restore();
}

/**
 * A circle for the trades of a cell, its area by their size.
 * @param {CanvasRenderingContext2D} context
 * @param {Heatmap} grid
 * @param {Scales} scales
 * @param {CSSStyleDeclaration} theme
 */
function drawTrades(context, grid, scales, theme) {
  /** @type {[number[][], string][]} */
  const volumes = [
    [grid.buy_volume, "--bid"],
    [grid.sell_volume, "--ask"],
    [grid.other_volume, "--quiet"],
  ];
  const sums = volumes.flatMap(([sizes]) => sizes.map((one) => Math.max(...one)));
  const largest = Math.max(1, ...sums);
  context.lineWidth = 1;
  context.strokeStyle = theme.getPropertyValue("--panel");
  for (const [sizes, variable] of volumes) {
    context.fillStyle = theme.getPropertyValue(variable);
    sizes.forEach((cells, column) =>
      cells.forEach((size, row) => {
        if (size === 0) return;
        const radius = Math.max(2, TRADE_RADIUS * Math.sqrt(size / largest));
        const y = STRIP + scales.height - (row + 0.5) * scales.row;
        context.beginPath();
        context.arc(scales.x(column + 0.5), y, radius, 0, 2 * Math.PI);
        context.fill();
        context.stroke();
      }),
    );
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Heatmap} grid
 * @param {Scales} scales
 * @param {CSSStyleDeclaration} theme
 */
function drawAxes(context, grid, scales, theme) {
  context.fillStyle = theme.getPropertyValue("--quiet");
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.textAlign = "left";
  const step = Math.max(1, Math.ceil(grid.rows / PRICE_LABELS));
  const low = parsePrice(grid.low ?? "0");
  const rows = Array.from({ length: Math.ceil(grid.rows / step) }, (_, place) => place * step);
  const height = BigInt(grid.row_1e9);
  const prices = alignPrices(rows.map((row) => formatPrice(low + height * BigInt(row))));
  rows.forEach((row, place) => {
    const y = STRIP + scales.height - (row + 0.5) * scales.row;
    context.fillText(prices[place], scales.width + 6, y);
  });
  context.textBaseline = "bottom";
  const length = grid.columns * grid.column_ns;
  for (let label = 0; label < TIME_LABELS; label += 1) {
    const column = Math.round((label * grid.columns) / TIME_LABELS);
    const time = parseTime(grid.from ?? "") + BigInt(grid.column_ns) * BigInt(column);
    const x = scales.x(column);
    context.fillText(labelOfTime(time, length), x + 2, scales.height + STRIP + MARGIN.bottom - 2);
    context.fillRect(x, scales.height + STRIP, 1, 5);
  }
}

/**
 * The time of day, with as many digits as the span needs.
 * @param {bigint} ns
 * @param {number} length of the span in nanoseconds
 * @returns {string}
 */
function labelOfTime(ns, length) {
  const text = new Date(Number(ns / 1_000_000n)).toISOString();
  const fraction = (ns % 1_000_000_000n).toString().padStart(9, "0");
  if (length > 2 * 86_400e9) return text.slice(5, 16).replace("T", " ");
  if (length > 60e9) return text.slice(11, 19);
  return `${text.slice(11, 19)}.${fraction.slice(0, length > 1e9 ? 3 : 6)}`;
}

/**
 * Mark a time. It has a canvas of its own, since it changes with each moment and the grid does not.
 * @param {HTMLCanvasElement} canvas
 * @param {Heatmap} grid
 * @param {bigint | null} now null: none is marked
 */
export function drawNow(canvas, grid, now) {
  const { context, width, height } = clear(canvas);
  if (!context || now === null) return;
  const plot = width - MARGIN.right;
  const x = (Number(now - parseTime(grid.from ?? "")) / (grid.columns * grid.column_ns)) * plot;
  if (x < 0 || x > plot) return;
  context.fillStyle = getComputedStyle(canvas).getPropertyValue("--text");
  context.fillRect(Math.min(x, plot - 1), 0, 1, height);
}

/**
 * @param {string} text `#rrggbb`
 * @returns {Colour}
 */
function readColour(text) {
  const value = Number.parseInt(text.trim().slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}
