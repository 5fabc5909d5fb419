-- title: Time bars
-- question: What were open, high, low, close and volume of each interval?
-- reads: trades
-- param: every DURATION = 1m  the length of an interval
-- param: data COVERAGE = lake  the times that the lake covers; no other value is possible
-- column: ts TIMESTAMP  start T of the interval [T, T + every), UTC
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
-- column: trade_count BIGINT  how many trades the interval has
-- column: vwap PRICE_DOUBLE  size-weighted mean price
-- column: complete BOOLEAN  whether the lake has records from the beginning of the interval to its
--   end: if not, the bar is of a part of it
-- source: OHLCV and VWAP of trades as in `.mbo.bars(time=...)`; an interval without trades has no
--   bar, and a trade of side N counts as neither bought nor sold. A trade is in the interval of the
--   time of the trades so far; the frame has that of all records so far, which may be later
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
    SELECT *, ts // $every AS bar,
        row_number() OVER (
            PARTITION BY publisher_id, instrument_id ORDER BY source, position
        ) AS n
    FROM ordered
    WHERE ts IS NOT NULL
),
bars AS (
    SELECT bar, symbol, publisher_id, instrument_id, min(ts) AS ts_open, max(ts) AS ts_close,
        arg_min(price, n) AS open, max(price) AS high, min(price) AS low,
        arg_max(price, n) AS close, coalesce(sum(size), 0)::BIGINT AS volume,
        coalesce(sum(size) FILTER (side = 'B'), 0)::BIGINT AS buy_volume,
        coalesce(sum(size) FILTER (side = 'A'), 0)::BIGINT AS sell_volume,
        count(*) AS trade_count,
        sum(price::HUGEINT * size) / nullif(sum(size) FILTER (price IS NOT NULL), 0) AS vwap,
        min(source) AS first_source, max(source) AS last_source
    FROM numbered
    GROUP BY bar, symbol, publisher_id, instrument_id
),
coverage AS (SELECT unnest($data, recursive := true))
SELECT make_timestamp_ns(bar * $every) AS ts, symbol, publisher_id, instrument_id,
    make_timestamp_ns(ts_open) AS ts_open, make_timestamp_ns(ts_close) AS ts_close,
    open, high, low, close, volume, buy_volume, sell_volume, trade_count, vwap,
    coalesce(opening.last_ns + 1 >= closing.first_ns, false) AS complete
FROM bars
LEFT JOIN coverage AS opening ON opening.source = epoch_ns(first_source)
    AND opening.first_ns <= bar * $every AND opening.last_ns >= bar * $every
LEFT JOIN coverage AS closing ON closing.source = epoch_ns(last_source)
    AND closing.first_ns <= (bar + 1) * $every - 1 AND closing.last_ns >= (bar + 1) * $every - 1
ORDER BY ts, symbol, publisher_id, instrument_id
