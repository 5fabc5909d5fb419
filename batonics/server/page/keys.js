/** The keys of the page, and what each does. */

import { find } from "./dom.js";

/**
 * @typedef {object} Parts what keys act on
 * @property {import("./time.js").TimeControls} times
 * @property {import("./ladder.js").Ladder} ladder
 * @property {import("./heatmap.js").HeatmapPanel} heatmap
 * @property {import("./symbols.js").SymbolPicker} symbols
 * @property {import("./beside.js").Beside} beside
 * @property {import("./view.js").View} view
 * @property {HTMLInputElement} order
 * @property {() => void} toggleSql
 * @property {() => void} toggleTheme
 * @property {() => void} open shows the list of keys
 */

/**
 * @param {Parts} parts
 * @returns {import("./keyboard.js").Key[]}
 */
export function keyTable(parts) {
  const { times, ladder, heatmap, symbols, beside, view, order, toggleSql, toggleTheme, open } =
    parts;
  return [
    { keys: " ", text: "play, pause", run: () => times.act("play") },
    { keys: "ArrowRight", text: "next event", run: () => times.act("next-event") },
    { keys: "ArrowLeft", text: "previous event", run: () => times.act("previous-event") },
    { keys: "Shift+ArrowRight", text: "next trade", run: () => times.act("next-trade") },
    { keys: "Shift+ArrowLeft", text: "previous trade", run: () => times.act("previous-trade") },
    { keys: "f", text: "find the next (crossed, gap, sweep)", run: () => times.act("next-kind") },
    { keys: "F", text: "find the previous one", run: () => times.act("previous-kind") },
    { keys: "Home", text: "first record", run: () => times.act("first") },
    { keys: "End", text: "last record", run: () => times.act("last") },
    { keys: "k", text: "queue of the level above", run: () => ladder.move(-1) },
    { keys: "j", text: "queue of the level below", run: () => ladder.move(1) },
    { keys: "+", text: "shorter span of the heatmap", run: () => heatmap.zoom(1 / 2) },
    { keys: "-", text: "longer span", run: () => heatmap.zoom(2) },
    { keys: "[", text: "earlier span", run: () => heatmap.shift(heatmap.span(), -0.5) },
    { keys: "]", text: "later span", run: () => heatmap.shift(heatmap.span(), 0.5) },
    { keys: "0", text: "all times", run: () => view.set({ from: "", to: "" }) },
    { keys: "c", text: "ladder to its middle", run: () => ladder.centre() },
    { keys: "/", text: "choose a symbol", run: () => symbols.focus() },
    { keys: "t", text: "write a time", run: () => find("time", HTMLInputElement).select() },
    { keys: "o", text: "write an order id", run: () => order.select() },
    { keys: "b", text: "books beside", run: () => beside.focus() },
    { keys: "s", text: "SQL, where the server has a lake", run: toggleSql },
    { keys: "d", text: "dark, light", run: toggleTheme },
    { keys: "?", text: "this list", run: () => open() },
  ];
}
