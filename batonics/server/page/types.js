/**
 * The documents of the API that the page reads (`/openapi.json` describes all of them).
 *
 * @typedef {{from: string | null, until: string | null}} DataSpan
 * @typedef {{symbol: string | null, publisher_id: number, instrument_id: number, status: string,
 *   events: number, ts_recv: string | null}} BookRow
 * @typedef {{data: DataSpan, record_count: number, books: BookRow[],
 *   next: string | null}} SymbolsPage
 * @typedef {{order_id: string, size: number}} QueuedOrder
 * @typedef {{price: string, size: number, count: number, orders?: QueuedOrder[]}} Level
 * @typedef {{symbol: string | null, publisher_id: number, instrument_id: number, status: string,
 *   market: string | null, trading_status: string | null, warnings: string[], events: number,
 *   ts_event: string | null, ts_recv: string | null, sequence: number, event_open: boolean,
 *   data: DataSpan, bids: Level[], asks: Level[]}} Book
 * @typedef {{record: number, symbol: string | null, publisher_id: number, instrument_id: number,
 *   ts_event: string | null, ts_recv: string | null, action: string, side: string,
 *   order_id: string, price: string | null, size: number | null, flags: number,
 *   sequence: number}} RecordRow
 * @typedef {{records: RecordRow[], next: string | null}} RecordsPage
 * @typedef {{order_id: string, symbol: string | null, publisher_id: number, instrument_id: number,
 *   status: string | null, warnings: string[], priority: string, priority_rule: string,
 *   is_live: boolean, side: string | null, price: string | null, size: number | null,
 *   ahead: {orders: number, size: number} | null, records: RecordRow[],
 *   more_records: number}} OrderLife
 * @typedef {{at: string | null, data: DataSpan, warnings: string[],
 *   orders: OrderLife[]}} OrdersDocument
 * @typedef {{symbol: string | null, warnings: string[], from: string | null, to: string | null,
 *   columns: number, column_ns: number, rows: number, low: string | null, row_1e9: number,
 *   tick_1e9: number, best_bid_size: number[], best_ask_size: number[], buy_total: number[],
 *   sell_total: number[], other_total: number[],
 *   status: (string | null)[], best_bid_1e9: (number | null)[], best_ask_1e9: (number | null)[],
 *   bid_size: number[][], ask_size: number[][], buy_volume: number[][], sell_volume: number[][],
 *   other_volume: number[][]}} Heatmap
 *   A grid has a list for each column of time, of its rows, the lowest price first.
 * @typedef {{order_id: string, size: number, added: string | null, placed: string | null,
 *   first_size: number | null, filled: number, is_refilled: boolean,
 *   is_from_snapshot: boolean}} AgedOrder
 * @typedef {{side: string, price: string | null, orders: AgedOrder[],
 *   searched_from: string | null}} QueueDocument
 * @typedef {{title: string, status: number, detail: string}} Problem
 * @typedef {{name: string, type: string, default: string | null,
 *   description: string}} QueryParameter
 * @typedef {{name: string, title: string, question: string, reads: string[], missing: string[],
 *   parameters: QueryParameter[], sql: string}} ShippedQuery
 * @typedef {{views: {view: string, rows: number, from: string | null, until: string | null,
 *   columns: {name: string, type: string}[]}[], symbols: string[],
 *   more_symbols: number}} LakeDocument
 * @typedef {{sql?: string, query?: string, parameters?: Record<string, string>,
 *   symbols?: string[], limit?: number}} QueryRequest
 * @typedef {null | boolean | number | string | object} Cell
 * @typedef {{columns: {name: string, type: string, unit: string | null}[], rows: Cell[][],
 *   more: boolean, note: string | null}} QueryAnswer
 */
export {};
