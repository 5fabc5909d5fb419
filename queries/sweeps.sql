-- title: Sweeps
-- question: When did one side trade through several price levels within a short time?
-- reads: trades
-- param: levels BIGINT = 2  least number of prices at which a sweep trades
-- param: within DURATION = 1ms  greatest time between two consecutive trades of a sweep
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: side VARCHAR  side of the aggressor: B bought, A sold
-- column: ts_start TIMESTAMP  ts_recv of the first trade, UTC
-- column: duration_ns BIGINT  time from the first trade to the last, in ns
-- column: trades BIGINT  how many trades the sweep has
-- column: levels BIGINT  at how many prices the sweep traded
-- column: size BIGINT  total size of the trades
-- column: price_from PRICE  the best price for the aggressor
-- column: price_to PRICE  the worst price for the aggressor
-- source: consecutive trades of a book with one aggressor side, each at most `within` after the one
--   before it, at `levels` prices or more

-- Trades without a side, of implied and hidden orders, neither belong to a sweep nor end one.
WITH timed AS (
    -- A book's time is the greatest ts_recv of its trades so far; one with F_BAD_TS_RECV (8) does
    -- not count.
    SELECT *, max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
        PARTITION BY publisher_id, instrument_id, source ORDER BY position ROWS UNBOUNDED PRECEDING
    ) AS ts
    FROM trades
),
prints AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, source,
        side, price, size, ts, position AS n,
        lag(side) OVER book IS DISTINCT FROM side OR ts - lag(ts) OVER book > $within AS begins
    FROM timed
    WHERE side <> 'N' AND price IS NOT NULL AND ts IS NOT NULL
    WINDOW book AS (PARTITION BY publisher_id, instrument_id, source ORDER BY position)
),
runs AS (
    -- A count with FILTER in a window takes DuckDB ten times as long as this sum.
    SELECT *,
        sum(begins::INTEGER) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY n ROWS UNBOUNDED PRECEDING
        ) AS run
    FROM prints
)
SELECT symbol, publisher_id, side, make_timestamp_ns(min(ts)) AS ts_start,
    max(ts) - min(ts) AS duration_ns,
    count(*) AS trades,
    count(DISTINCT price) AS levels,
    coalesce(sum(size), 0)::BIGINT AS size,
    CASE side WHEN 'B' THEN min(price) ELSE max(price) END AS price_from,
    CASE side WHEN 'B' THEN max(price) ELSE min(price) END AS price_to
FROM runs
GROUP BY symbol, publisher_id, instrument_id, source, run, side
HAVING count(DISTINCT price) >= $levels
ORDER BY symbol, publisher_id, ts_start, side, price_from
