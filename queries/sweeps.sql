-- title: Sweeps
-- question: When did one side trade through several price levels within a moment?
-- reads: trades
-- param: levels BIGINT = 2  at how many prices a sweep trades, at least
-- param: within DURATION = 1ms  at most so long after its last trade does the next one belong to it
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: side VARCHAR  the aggressor: B bought, A sold
-- column: ts_start TIMESTAMP_NS  of its first trade (ts_recv), UTC
-- column: duration_ns BIGINT  from its first trade to its last, in ns
-- column: trades BIGINT  how many it made
-- column: levels BIGINT  at how many prices
-- column: size BIGINT  their sizes added up
-- column: price_from BIGINT  the best price that the aggressor got, in units of 1e-9
-- column: price_to BIGINT  the worst, in units of 1e-9
-- source: plain definition: consecutive trades of a book with one aggressor side, each at most
--   `within` after the one before it, at `levels` prices or more

-- Trades without a side belong to no sweep and end none: they are of implied and hidden orders.
WITH prints AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, date,
        side, price, size,
        epoch_ns(ts_recv) AS ts, row_number() OVER book AS n,
        lag(side) OVER book IS DISTINCT FROM side
            OR epoch_ns(ts_recv) - lag(epoch_ns(ts_recv)) OVER book > $within AS begins
    FROM trades
    WHERE side <> 'N' AND price IS NOT NULL AND ts_recv IS NOT NULL
    -- Trades of one event are equal in all three times and numbers; within it any order is as good.
    WINDOW book AS (
        PARTITION BY publisher_id, instrument_id, date
        ORDER BY ts_recv, sequence, ts_event, side, price
    )
),
runs AS (
    -- A sum: counting with FILTER in a window takes DuckDB ten times as long.
    SELECT *,
        sum(begins::INTEGER) OVER (
            PARTITION BY publisher_id, instrument_id, date ORDER BY n ROWS UNBOUNDED PRECEDING
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
GROUP BY symbol, publisher_id, instrument_id, date, run, side
HAVING count(DISTINCT price) >= $levels
ORDER BY symbol, publisher_id, ts_start, side, price_from
