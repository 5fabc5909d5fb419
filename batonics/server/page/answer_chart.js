/**
 * The answer to a SQL query as a chart: one column of numbers over the first column of times or
 * numbers, a line for each text of a third column. Bars, one for each row, where there is no such
 * column, or no line would have two points. A null, or a number that JSON lacks, is a gap.
 */

import { isNumber } from "./answer_table.js";

/** @typedef {import("./types.js").QueryAnswer} QueryAnswer */
/** @typedef {{x: number, y: number, label: string}} Point */
/** @typedef {{name: string, points: Point[]}} Line */
/** @typedef {{y: string, across: string, lines: Line[], hasBars: boolean}} Chart */

const LINES_MAX = 8;
const BARS_MAX = 40;
const TIMES = /^(datetime|date)$/;
const LABEL_LETTERS = 26;
const SVG = "http://www.w3.org/2000/svg";
const SIZE = { width: 640, height: 280, left: 96, right: 12, top: 14, bottom: 34 };

/**
 * The columns that a chart can show: numbers, but for the one that is the axis.
 * @param {QueryAnswer} answer
 * @returns {string[]}
 */
export function chartColumns({ columns }) {
  const across = findAcross(columns);
  return columns
    .filter(({ name, type }, place) => isNumber(type) && place !== across && !isId(name))
    .map((column) => column.name);
}

/**
 * @param {QueryAnswer} answer
 * @param {string} name one of `chartColumns`
 * @returns {Chart}
 */
export function makeChart({ columns, rows }, name) {
  const across = findAcross(columns);
  const value = columns.findIndex((column) => column.name === name);
  const key = columns.findIndex(({ type }, place) => type === "string" && place !== across);
  if (across < 0) return makeBars({ columns, rows }, value);
  /** @type {Map<string, Line>} */
  const lines = new Map();
  for (const row of rows) {
    const lineName = key < 0 ? name : String(row[key] ?? "");
    const line = lines.get(lineName) ?? { name: lineName, points: [] };
    lines.set(lineName, line);
    const x = readNumber(row[across], columns[across].type);
    const y = readNumber(row[value], columns[value].type);
    line.points.push({ x, y, label: String(row[across]) });
  }
  if ([...lines.values()].every((line) => line.points.length < 2)) {
    return makeBars({ columns, rows }, value);
  }
  const shown = [...lines.values()].slice(0, LINES_MAX);
  for (const line of shown) line.points.sort((one, other) => one.x - other.x);
  return { y: name, across: columns[across].name, lines: shown, hasBars: false };
}

/**
 * A bar for each row.
 * @param {{columns: QueryAnswer["columns"], rows: QueryAnswer["rows"]}} answer
 * @param {number} value the place of the column
 * @returns {Chart}
 */
function makeBars({ columns, rows }, value) {
  const texts = columns.flatMap(({ type }, place) => (type === "string" ? [place] : []));
  const { name, type } = columns[value];
  const points = rows.map((row, place) => ({
    x: place,
    y: readNumber(row[value], type),
    label: texts.map((at) => row[at] ?? "").join(" "),
  }));
  return { y: name, across: "", lines: [{ name, points }], hasBars: true };
}

/**
 * @param {string} name
 * @returns {boolean} whether the numbers of a column with this name identify something
 */
function isId(name) {
  return name.endsWith("_id");
}

/**
 * The column of the axis: the first time; or else the first integer that is no id, if other numbers
 * stand beside it.
 * @param {QueryAnswer["columns"]} columns
 * @returns {number} -1: there is none
 */
function findAcross(columns) {
  const time = columns.findIndex(({ type }) => TIMES.test(type));
  if (time >= 0) return time;
  const isOrder = (/** @type {{name: string, type: string}} */ { name, type }) =>
    /^u?int/.test(type) && !isId(name);
  const numbers = columns.filter(({ type }) => isNumber(type)).length;
  return numbers > 1 ? columns.findIndex(isOrder) : -1;
}

/**
 * @param {unknown} cell
 * @param {string} type
 * @returns {number} NaN: there is none
 */
function readNumber(cell, type) {
  if (cell === null || cell === undefined) return NaN;
  return TIMES.test(type) ? Date.parse(String(cell)) : Number(cell);
}

/**
 * Draw a chart, or say that there is nothing to draw.
 * @param {SVGSVGElement} svg
 * @param {Chart | null} chart
 * @returns {string} what the chart shows, in words
 */
export function drawChart(svg, chart) {
  const known = (chart?.lines ?? []).flatMap((line) => line.points.filter(isKnown));
  svg.setAttribute("viewBox", `0 0 ${SIZE.width} ${SIZE.height}`);
  svg.replaceChildren();
  if (!chart || known.length === 0) return "No numbers to draw.";
  const ys = known.map((point) => point.y);
  if (chart.hasBars) ys.push(0);
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  const scale = makeScale([low, high], [SIZE.height - SIZE.bottom, SIZE.top]);
  drawAxis(svg, low, high, scale);
  if (chart.hasBars) drawBars(svg, known.slice(0, BARS_MAX), scale);
  else drawLines(svg, chart.lines, known, scale);
  const rest = chart.hasBars && known.length > BARS_MAX ? `, the first ${BARS_MAX} rows` : "";
  return `${chart.y}${chart.across && ` by ${chart.across}`}: ${low} to ${high}${rest}`;
}

/**
 * @param {SVGSVGElement} svg
 * @param {Line[]} lines
 * @param {Point[]} known the points of all lines
 * @param {(value: number) => number} scale
 */
function drawLines(svg, lines, known, scale) {
  const first = known.reduce((one, other) => (other.x < one.x ? other : one));
  const last = known.reduce((one, other) => (other.x > one.x ? other : one));
  const across = makeScale([first.x, last.x], [SIZE.left, SIZE.width - SIZE.right]);
  lines.forEach((line, number) => {
    for (const run of runsOf(line.points)) {
      const places = run.map(({ x, y }) => [across(x).toFixed(1), scale(y).toFixed(1)]);
      const [[cx, cy]] = places;
      const points = places.join(" ");
      svg.append(
        run.length > 1
          ? shape("polyline", { points, class: `line line-${number}` })
          : shape("circle", { cx, cy, r: "2.5", class: `dot line-${number}` }),
      );
    }
    const place = { x: String(SIZE.left + 8), y: String(SIZE.top + 14 + 18 * number) };
    if (lines.length > 1) write(svg, line.name, { ...place, class: `legend line-${number}` });
  });
  writeEnds(svg, first.label, last.label);
}

/**
 * @param {Point} point
 * @returns {boolean}
 */
function isKnown(point) {
  return Number.isFinite(point.x) && Number.isFinite(point.y);
}

/**
 * The points of a line between its gaps.
 * @param {Point[]} points
 * @returns {Point[][]}
 */
export function runsOf(points) {
  /** @type {Point[][]} */
  const runs = [];
  let isOpen = false;
  for (const point of points) {
    if (!isKnown(point)) isOpen = false;
    else if (isOpen) runs[runs.length - 1].push(point);
    else {
      runs.push([point]);
      isOpen = true;
    }
  }
  return runs;
}

/**
 * @param {[number, number]} from
 * @param {[number, number]} to
 * @returns {(value: number) => number}
 */
function makeScale([low, high], [start, end]) {
  return (value) =>
    high === low ? (start + end) / 2 : start + ((value - low) / (high - low)) * (end - start);
}

/**
 * @param {SVGSVGElement} svg
 * @param {Point[]} points
 * @param {(value: number) => number} scale
 */
function drawBars(svg, points, scale) {
  const step = (SIZE.width - SIZE.left - SIZE.right) / points.length;
  points.forEach((point, place) => {
    const [base, top] = [scale(0), scale(point.y)];
    const bar = shape("rect", {
      x: String(SIZE.left + place * step + step * 0.1), width: String(step * 0.8),
      y: String(Math.min(base, top)), height: String(Math.max(1, Math.abs(base - top))),
      class: "bar",
    });
    const title = document.createElementNS(SVG, "title");
    title.textContent = `${point.label}: ${point.y}`;
    bar.append(title);
    svg.append(bar);
  });
  writeEnds(svg, points[0].label, points[points.length - 1].label);
}

/**
 * @param {SVGSVGElement} svg
 * @param {number} low
 * @param {number} high
 * @param {(value: number) => number} scale
 */
function drawAxis(svg, low, high, scale) {
  for (const value of low === high ? [low] : [low, (low + high) / 2, high]) {
    const y = String(scale(value));
    const [x1, x2] = [String(SIZE.left), String(SIZE.width - SIZE.right)];
    svg.append(shape("line", { x1, x2, y1: y, y2: y, class: "rule" }));
    const place = { x: String(SIZE.left - 6), y, class: "amount" };
    write(svg, String(Number(value.toPrecision(6))), place);
  }
}

/**
 * @param {SVGSVGElement} svg
 * @param {string} first
 * @param {string} last
 */
function writeEnds(svg, first, last) {
  const y = String(SIZE.height - 12);
  write(svg, first.slice(0, LABEL_LETTERS), { x: String(SIZE.left), y, class: "start" });
  if (last === first) return;
  const end = { x: String(SIZE.width - SIZE.right), y, class: "end" };
  write(svg, last.slice(0, LABEL_LETTERS), end);
}

/**
 * @param {SVGSVGElement} svg
 * @param {string} text
 * @param {Record<string, string>} attributes
 */
function write(svg, text, attributes) {
  const element = shape("text", attributes);
  element.textContent = text;
  svg.append(element);
}

/**
 * @param {string} name
 * @param {Record<string, string>} attributes
 * @returns {SVGElement}
 */
function shape(name, attributes) {
  const element = /** @type {SVGElement} */ (document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
