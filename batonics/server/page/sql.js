/** The SQL box: a query that comes with the server, or one's own SELECT, over the server's lake. */

import { chartColumns, drawChart, makeChart } from "./answer_chart.js";
import { TABLE_ROWS_MAX, fillTable, toCsv } from "./answer_table.js";
import { RequestError } from "./client.js";
import { find, make } from "./dom.js";

/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./types.js").ShippedQuery} ShippedQuery */
/** @typedef {import("./types.js").LakeDocument} LakeDocument */
/** @typedef {import("./types.js").QueryAnswer} QueryAnswer */
/** @typedef {import("./types.js").QueryRequest} QueryRequest */
/** @typedef {{symbol: string, query: string, sql: string, parameters: string}} SqlState */

const OWN_EXAMPLE = "SELECT symbol, sum(size)::BIGINT AS volume\nFROM trades GROUP BY symbol";

export class SqlPanel {
  /**
   * @param {Client} client
   * @param {(part: Partial<SqlState>) => void} change called when a person changes the query
   */
  constructor(client, change) {
    this.client = client;
    this.change = change;
    this.panel = find("sql-panel", HTMLElement);
    this.choice = find("sql-query", HTMLSelectElement);
    this.question = find("sql-question", HTMLParagraphElement);
    this.parameters = find("sql-parameters", HTMLDivElement);
    this.text = find("sql-text", HTMLTextAreaElement);
    this.isNarrow = find("sql-symbol", HTMLInputElement);
    this.note = find("sql-note", HTMLParagraphElement);
    this.summary = find("sql-summary", HTMLParagraphElement);
    this.table = find("sql-table", HTMLTableElement);
    this.column = find("sql-column", HTMLSelectElement);
    this.copy = find("sql-copy", HTMLButtonElement);
    /** @type {Map<string, ShippedQuery>} */
    this.queries = new Map();
    /** @type {LakeDocument | null} */
    this.lake = null;
    /** @type {SqlState} */
    this.state = { symbol: "", query: "", sql: "", parameters: "" };
    /** @type {QueryAnswer | null} */
    this.answer = null;
    this.asked = 0;
    this.bind();
  }

  bind() {
    this.choice.addEventListener("change", () => {
      this.change({ query: this.choice.value, parameters: "" });
    });
    this.text.addEventListener("change", () => {
      if (!this.state.query) this.change({ sql: this.text.value });
    });
    find("sql-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.run();
    });
    this.panel.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      void this.run();
    });
    this.column.addEventListener("change", () => this.draw());
    this.copy.addEventListener("click", () => void this.copyCsv());
  }

  /** Ask what the server's lake has. */
  async load() {
    const found = await this.client.lake();
    this.lake = found.lake;
    this.queries = new Map(found.queries.map((query) => [query.name, query]));
    const own = new Option("Your own SELECT", "");
    const options = found.queries.map(({ name, title, missing }) => {
      const rest = missing.length ? ` (no ${missing.join(", ")})` : "";
      const option = new Option(title + rest, name);
      option.disabled = missing.length > 0;
      return option;
    });
    this.choice.replaceChildren(own, ...options);
    find("sql-views", HTMLDListElement).replaceChildren(...describeViews(found.lake));
    document.body.classList.add("has-lake");
  }

  /** @param {SqlState} state */
  show(state) {
    if (!this.lake) return;
    const isOther = this.parameters.dataset.query !== state.query;
    this.state = state;
    const query = this.queries.get(state.query);
    this.choice.value = query ? state.query : "";
    this.text.readOnly = query !== undefined;
    this.text.value = query ? query.sql : state.sql || OWN_EXAMPLE;
    this.question.textContent = query?.question ?? "Views have the names of schemas; see Views.";
    if (isOther) this.showParameters(query);
    find("sql-symbol-name", HTMLSpanElement).textContent = `only ${state.symbol}`;
    this.isNarrow.disabled = !state.symbol || !this.lake.symbols.includes(state.symbol);
  }

  /** @param {ShippedQuery | undefined} query */
  showParameters(query) {
    const given = new URLSearchParams(this.state.parameters);
    this.parameters.dataset.query = query?.name ?? "";
    this.parameters.replaceChildren(
      ...(query?.parameters ?? []).map(({ name, type, default: usual, description }) => {
        const input = make("input", "");
        input.name = name;
        input.placeholder = usual ?? type;
        input.required = usual === null;
        input.value = given.get(name) ?? "";
        input.addEventListener("change", () => {
          this.change({ parameters: new URLSearchParams(this.given()).toString() });
        });
        const label = make("label", "", name, input);
        label.title = `${description} (${type})`;
        return label;
      }),
    );
  }

  /** @returns {Record<string, string>} the parameters that have a value */
  given() {
    const inputs = [...this.parameters.querySelectorAll("input")];
    return Object.fromEntries(
      inputs.filter((input) => input.value).map((input) => [input.name, input.value]),
    );
  }

  async run() {
    const { query, symbol } = this.state;
    /** @type {QueryRequest} */
    const request = query ? { query, parameters: this.given() } : { sql: this.text.value };
    if (this.isNarrow.checked && !this.isNarrow.disabled) request.symbols = [symbol];
    this.asked += 1;
    const number = this.asked;
    this.panel.ariaBusy = "true";
    this.say("The query runs.", "");
    try {
      const started = performance.now();
      const answer = await this.client.query(request);
      if (number === this.asked) this.showAnswer(answer, performance.now() - started);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      if (number === this.asked) this.say("", error.message);
    } finally {
      if (number === this.asked) this.panel.ariaBusy = "false";
    }
  }

  /**
   * @param {QueryAnswer} answer
   * @param {number} ms
   */
  showAnswer(answer, ms) {
    this.answer = answer;
    const count = answer.rows.length;
    const more = answer.more ? "; there are more: add LIMIT, or group" : "";
    const shown = count > TABLE_ROWS_MAX ? `, the first ${TABLE_ROWS_MAX} are shown` : "";
    this.say(`${count} rows in ${Math.round(ms)} ms${shown}${more}.`, answer.note ?? "");
    fillTable(this.table, answer);
    const names = chartColumns(answer);
    this.column.replaceChildren(...names.map((name) => new Option(name, name)));
    this.copy.disabled = false;
    this.draw();
  }

  draw() {
    const svg = /** @type {SVGSVGElement} */ (
      /** @type {unknown} */ (document.getElementById("sql-chart"))
    );
    const name = this.column.value;
    const chart = this.answer && name ? makeChart(this.answer, name) : null;
    svg.setAttribute("aria-label", drawChart(svg, chart));
    svg.toggleAttribute("hidden", chart === null);
    this.column.disabled = chart === null;
  }

  async copyCsv() {
    if (!this.answer) return;
    const csv = toCsv(this.answer);
    try {
      await navigator.clipboard.writeText(csv);
      this.summary.textContent = `${this.answer.rows.length} rows are copied as CSV.`;
    } catch {
      // Browsers let pages copy over https and on loopback only.
      const link = make("a", "");
      link.href = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
      link.download = `${this.state.query || "answer"}.csv`;
      link.click();
      URL.revokeObjectURL(link.href);
      this.summary.textContent = `${this.answer.rows.length} rows are saved as ${link.download}.`;
    }
  }

  /**
   * @param {string} summary
   * @param {string} note what is doubtful about the rows, or why there are none
   */
  say(summary, note) {
    this.summary.textContent = summary;
    this.note.textContent = note;
    this.note.hidden = note === "";
  }

  focus() {
    this.choice.focus();
    this.panel.scrollIntoView({ block: "nearest" });
  }
}

/**
 * @param {LakeDocument} lake
 * @returns {HTMLElement[]}
 */
function describeViews(lake) {
  return lake.views.flatMap(({ view, rows, columns }) => [
    make("dt", "", `${view} (${rows.toLocaleString("en")} rows)`),
    make("dd", "", columns.map((column) => column.name).join(", ")),
  ]);
}
