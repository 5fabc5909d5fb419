-- title: Session bars
-- question: What were open, high, low, close and volume of each session of the exchange?
-- reads: trades
-- param: sessions SESSIONS = '00:00-24:00 UTC mon-sun'  hours, or the calendar of an exchange such as
--   CMES; by default those of --session, or else days in UTC
-- param: data COVERAGE = lake  the times that the lake covers; no other value is possible
-- column: date DATE  the date of the session; null for trades outside of sessions
-- column: session_open TIMESTAMP  when the session opens, UTC; null outside of sessions
-- column: session_close TIMESTAMP  when the session closes, UTC; null outside of sessions
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the publisher
-- column: instrument_id UINTEGER  the instrument: a symbol that rolls has a bar of each
-- column: ts_open TIMESTAMP  ts_recv of the first trade, UTC
-- column: ts_close TIMESTAMP  ts_recv of the last trade, UTC
-- column: open PRICE  price of the first trade with a price
-- column: high PRICE  the highest price
-- column: low PRICE  the lowest price
-- column: close PRICE  price of the last trade with a price
-- column: volume BIGINT  total size of all trades, in units
-- column: buy_volume BIGINT  total size of trades whose aggressor bought, in units
-- column: sell_volume BIGINT  total size of trades whose aggressor sold, in units
-- column: trade_count BIGINT  how many trades the session has
-- column: vwap PRICE_DOUBLE  size-weighted mean price
-- column: complete BOOLEAN  whether the lake has records from the opening to the close: if not, the
--   bar is of a part of the session; null outside of sessions
-- source: OHLCV and VWAP of trades as in `.mbo.bars(session=...)`. A trade is in a session while it
--   is open, by the time of the trades so far; the frame has that of all records so far, which may
--   be later. Trades outside of sessions, such as those in a break, make a
--   row that follows the session before them, so that no trade is left out
WITH ordered AS (
    -- The time of a trade is the greatest ts_recv of the trades so far; one with F_BAD_TS_RECV (8)
    -- does not count.
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, side,
        price, size::BIGINT AS size, source, position,
        max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
            PARTITION BY source ORDER BY position ROWS UNBOUNDED PRECEDING
        ) AS ts
    FROM trades
),
numbered AS (
    SELECT *, row_number() OVER (
            PARTITION BY publisher_id, instrument_id ORDER BY source, position
        ) AS n
    FROM ordered
),
spans AS (SELECT unnest($sessions, recursive := true)),
session_edges AS (
    SELECT day, min(open_ns) AS open_ns, max(close_ns) AS close_ns FROM spans GROUP BY day
),
placed AS (
    -- The last session that has opened, and whether it is open.
    SELECT numbered.*, day, coalesce(ts < close_ns, false) AS is_inside
    FROM numbered
    ASOF LEFT JOIN spans ON ts >= open_ns
),
bars AS (
    SELECT day, is_inside, symbol, publisher_id, instrument_id, min(ts) AS ts_open, max(ts) AS ts_close,
        arg_min(price, n) AS open, max(price) AS high, min(price) AS low,
        arg_max(price, n) AS close, coalesce(sum(size), 0)::BIGINT AS volume,
        coalesce(sum(size) FILTER (side = 'B'), 0)::BIGINT AS buy_volume,
        coalesce(sum(size) FILTER (side = 'A'), 0)::BIGINT AS sell_volume,
        count(*) AS trade_count,
        sum(price::HUGEINT * size) / nullif(sum(size) FILTER (price IS NOT NULL), 0) AS vwap,
        min(source) AS first_source, max(source) AS last_source
    FROM placed
    GROUP BY ALL
),
coverage AS (SELECT unnest($data, recursive := true))
SELECT if(is_inside, day, NULL) AS date,
    make_timestamp_ns(if(is_inside, open_ns, NULL)) AS session_open,
    make_timestamp_ns(if(is_inside, close_ns, NULL)) AS session_close,
    symbol, publisher_id, instrument_id, make_timestamp_ns(ts_open) AS ts_open,
    make_timestamp_ns(ts_close) AS ts_close, open, high, low, close, volume, buy_volume,
    sell_volume, trade_count, vwap,
    if(is_inside, coalesce(opening.last_ns + 1 >= closing.first_ns, false), NULL) AS complete
FROM bars
LEFT JOIN session_edges USING (day)
LEFT JOIN coverage AS opening ON opening.source = epoch_ns(first_source)
    AND opening.first_ns <= open_ns AND opening.last_ns >= open_ns
LEFT JOIN coverage AS closing ON closing.source = epoch_ns(last_source)
    AND closing.first_ns <= close_ns - 1 AND closing.last_ns >= close_ns - 1
ORDER BY day NULLS FIRST, is_inside DESC, symbol, publisher_id, instrument_id
