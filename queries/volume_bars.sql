-- title: Volume bars
-- question: What were open, high, low and close of each bar of equal volume?
-- reads: trades
-- param: bar_volume BIGINT = 500  the volume of a bar, in units
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the publisher
-- column: bar BIGINT  number of the bar, from 0; numbers continue from one date to the next
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
-- source: bars by cumulative volume (López de Prado, Advances in Financial Machine Learning, 2018,
--   chapter 2). A bar ends with the trade with which its volume reaches bar_volume, and the next one
--   starts at 0, as `.mbo.bars(volume=...)` has them. The last bar is left out unless it is full. Times
--   are those of the trades so far; the frame has those of all records so far, which may be later
WITH RECURSIVE ordered AS (
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
summed AS MATERIALIZED (
    SELECT *, sum(size) OVER (
        PARTITION BY publisher_id, symbol ORDER BY n ROWS UNBOUNDED PRECEDING
    )::BIGINT AS until
    FROM ordered
),
-- Where the next bar would start if one started with this trade.
next_starts AS MATERIALIZED (
    SELECT publisher_id, symbol, n, 1 + if(size >= $bar_volume, n, 1 + max(n) OVER (
        PARTITION BY publisher_id, symbol ORDER BY until
        RANGE BETWEEN UNBOUNDED PRECEDING AND greatest($bar_volume - 1 - size, 0) FOLLOWING
    )) AS jump, ceil(log2(max(until) OVER () // $bar_volume + 2)) AS steps
    FROM summed
),
-- Each step doubles the number of bars that a jump passes over, and so the starts that are known.
jumps AS (
    SELECT publisher_id, symbol, n, jump, n = 1 AS is_start, 0 AS step, steps FROM next_starts
    UNION ALL
    SELECT here.publisher_id, here.symbol, here.n, there.jump,
        here.is_start OR before.n IS NOT NULL, here.step + 1, here.steps
    FROM jumps AS here
    LEFT JOIN jumps AS there ON there.publisher_id = here.publisher_id
        AND there.symbol = here.symbol AND there.n = here.jump
    LEFT JOIN (SELECT * FROM jumps WHERE is_start) AS before
        ON before.publisher_id = here.publisher_id AND before.symbol = here.symbol
        AND before.jump = here.n
    WHERE here.step < here.steps
),
numbered AS (
    SELECT summed.*, sum(is_start::INTEGER) OVER (
        PARTITION BY publisher_id, symbol ORDER BY n ROWS UNBOUNDED PRECEDING
    )::BIGINT - 1 AS bar
    FROM summed JOIN jumps USING (publisher_id, symbol, n)
    WHERE step = steps
)
SELECT symbol, publisher_id, bar, min(ts) AS ts_open, max(ts) AS ts_close,
    arg_min(price, n) AS open, max(price) AS high, min(price) AS low, arg_max(price, n) AS close,
    sum(size)::BIGINT AS volume,
    coalesce(sum(size) FILTER (side = 'B'), 0)::BIGINT AS buy_volume,
    coalesce(sum(size) FILTER (side = 'A'), 0)::BIGINT AS sell_volume,
    count(*) AS trade_count,
    sum(price::HUGEINT * size) / nullif(sum(size) FILTER (price IS NOT NULL), 0) AS vwap
FROM numbered
GROUP BY symbol, publisher_id, bar
HAVING sum(size) >= $bar_volume
ORDER BY symbol, publisher_id, bar
