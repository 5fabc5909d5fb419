-- title: Volume bars
-- question: What were open, high, low and close of each bar of equal volume?
-- reads: trades
-- param: bar_volume BIGINT = 500  the volume of a bar, in units
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the publisher
-- column: bar BIGINT  number of the bar: volume traded before it, divided by bar_volume; numbers
--   continue from one date to the next
-- column: ts_open TIMESTAMP  ts_recv of the first trade, UTC
-- column: ts_close TIMESTAMP  ts_recv of the last trade, UTC
-- column: open PRICE  price of the first trade with a price
-- column: high PRICE  the highest price
-- column: low PRICE  the lowest price
-- column: close PRICE  price of the last trade with a price
-- column: volume BIGINT  total size of all trades, in units
-- column: buy_volume BIGINT  total size of trades whose aggressor bought, in units
-- column: sell_volume BIGINT  total size of trades whose aggressor sold, in units
-- column: trade_count BIGINT  how many trades the bar has
-- column: vwap PRICE_DOUBLE  size-weighted mean price
-- source: bars by cumulative volume. A trade belongs whole to the bar in which it begins, and its
--   excess counts towards the next bar, so that bars have bar_volume on average. Left out are bars
--   that one trade fills whole from the bar before, and the last bar unless it is full.
--   `.mbo.bars(volume=...)` starts each bar at 0: its bars are never smaller than bar_volume
WITH ordered AS (
    -- The time of a trade is the greatest ts_recv of the trades so far; one with F_BAD_TS_RECV (8)
    -- does not count.
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, side, price,
        coalesce(size, 0)::BIGINT AS size,
        make_timestamp_ns(max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
            PARTITION BY source ORDER BY position ROWS UNBOUNDED PRECEDING
        )) AS ts,
        row_number() OVER (
            PARTITION BY publisher_id, coalesce(symbol, instrument_id::VARCHAR)
            ORDER BY source, position
        ) AS n
    FROM trades
    WHERE if($bar_volume > 0, true, error('bar_volume: 1 or more is expected'))
),
summed AS (
    SELECT *, sum(size) OVER (
        PARTITION BY publisher_id, symbol ORDER BY n ROWS UNBOUNDED PRECEDING
    )::BIGINT AS until
    FROM ordered
)
SELECT symbol, publisher_id, (until - size) // $bar_volume AS bar,
    min(ts) AS ts_open, max(ts) AS ts_close,
    arg_min(price, n) AS open, max(price) AS high, min(price) AS low, arg_max(price, n) AS close,
    sum(size)::BIGINT AS volume,
    coalesce(sum(size) FILTER (side = 'B'), 0)::BIGINT AS buy_volume,
    coalesce(sum(size) FILTER (side = 'A'), 0)::BIGINT AS sell_volume,
    count(*) AS trade_count,
    sum(price::HUGEINT * size) / nullif(sum(size) FILTER (price IS NOT NULL), 0) AS vwap
FROM summed
GROUP BY symbol, publisher_id, bar
HAVING max(until) >= (bar + 1) * $bar_volume
ORDER BY symbol, publisher_id, bar
