/** The answer to a SQL query as a table, and as CSV. */

import { make } from "./dom.js";
import { alignPrices } from "./values.js";

/** @typedef {import("./types.js").QueryAnswer} QueryAnswer */
/** @typedef {import("./types.js").Cell} Cell */

export const TABLE_ROWS_MAX = 500;
const NUMBERS = /^(u?int|float|decimal)/;

/**
 * @param {string} type the type of a column
 * @returns {boolean} whether its values are numbers, which may be text
 */
export function isNumber(type) {
  return NUMBERS.test(type);
}

/**
 * @param {HTMLTableElement} table
 * @param {QueryAnswer} answer its first rows are shown
 */
export function fillTable(table, { columns, rows }) {
  const kinds = columns.map((column) => (isNumber(column.type) ? "number" : "text"));
  const head = columns.map(({ name, type, unit }, place) => {
    const cell = make("th", kinds[place], name);
    cell.scope = "col";
    cell.title = unit ? `${type}, in units of ${unit}` : type;
    return cell;
  });
  const shown = rows.slice(0, TABLE_ROWS_MAX);
  const texts = columns.map(({ type }, place) => columnTexts(shown.map((row) => row[place]), type));
  const body = shown.map((_, row) =>
    make("tr", "", ...texts.map((column, place) => make("td", kinds[place], column[row]))),
  );
  table.replaceChildren(
    make("thead", "", make("tr", "", ...head)),
    make("tbody", "", ...body),
  );
}

/**
 * The cells of a column; decimals without the zeros that none of them needs.
 * @param {Cell[]} cells
 * @param {string} type
 * @returns {string[]}
 */
export function columnTexts(cells, type) {
  const texts = cells.map(cellText);
  if (type !== "decimal") return texts;
  const short = texts.map((text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text));
  const aligned = alignPrices(short.filter((text) => text !== ""));
  return short.map((text) => (text === "" ? "" : (aligned.shift() ?? "")));
}

/**
 * All rows as CSV (RFC 4180): the names of the columns first; a null is empty.
 * @param {QueryAnswer} answer
 * @returns {string}
 */
export function toCsv({ columns, rows }) {
  const lines = [columns.map((column) => column.name), ...rows.map((row) => row.map(cellText))];
  return lines.map((line) => `${line.map(quote).join(",")}\r\n`).join("");
}

/**
 * @param {Cell} cell
 * @returns {string}
 */
function cellText(cell) {
  if (cell === null) return "";
  return typeof cell === "object" ? JSON.stringify(cell) : String(cell);
}

/**
 * @param {string} text
 * @returns {string}
 */
function quote(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
