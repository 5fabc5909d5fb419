-- title: Effective and realised spread
-- question: What do trades pay over the mid, and how much of it is left to who provided liquidity,
--   after each of some times?
-- reads: mbp_1
-- param: taus VARCHAR = 0.1,1,5,30,300  seconds after each trade at which the mid is taken
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: tau_ns BIGINT  how long after the trades, in nanoseconds
-- column: trade_count BIGINT  how many trades all three are known of, over all dates
-- column: volume BIGINT  their sizes added up, in units
-- column: effective_spread DOUBLE  mean of 2 d (p - mid met), weighted by size, in units of 1e-9; d
--   is 1 for a buy and -1 for a sell, p the price
-- column: realised_spread DOUBLE  mean of 2 d (p - mid at t + tau), weighted by size, in units of
--   1e-9
-- column: price_impact DOUBLE  mean of 2 d (mid at t + tau - mid met), weighted by size, in units
--   of 1e-9: the effective spread less the realised one
-- source: twice the distance from a mid, weighted by size, as in SEC Rule 605, but counted from the
--   time of the trade; each trade as in `.mbo.trade_measures`. Side N has the sign of Lee and
--   Ready, "Inferring trade direction from intraday data" (1991). A mid at t + tau is unknown where
--   a side is empty, if the book was cleared in between, or if it has no row after t + tau on that
--   date
WITH ordered AS (
    -- The stream's order: ts_recv and sequence, then ts_event, for events of one packet share both;
    -- of one event a T comes first, for it shows the book that it met, and those of one sweep from
    -- the best price on. A series restarts where the book is cleared (R, snapshot) and
    -- with each date.
    SELECT publisher_id, instrument_id, date,
        coalesce(symbol, instrument_id::VARCHAR) AS symbol, epoch_ns(ts_recv) AS ts,
        action = 'T' AS is_trade, side, price, size::BIGINT AS size,
        bid_px_00 + ask_px_00 AS twice_mid,
        row_number() OVER book AS n,
        -- Not by FILTER, which windows take far longer for.
        count(if(action = 'R' OR (action <> 'T' AND (flags & 32) <> 0), 1, NULL)) OVER (
            book ROWS UNBOUNDED PRECEDING
        ) AS series
    FROM mbp_1
    WHERE ts_recv IS NOT NULL
    WINDOW book AS (
        PARTITION BY publisher_id, instrument_id, date
        ORDER BY ts_recv, sequence, ts_event, action <> 'T', if(side = 'A', -price, price), size
    )
),
-- The last state at each time, and when each book was last heard of.
states AS (
    SELECT publisher_id, instrument_id, date, ts, max(series) AS series,
        arg_max_null(twice_mid, n) AS twice_mid
    FROM ordered
    WHERE NOT is_trade
    GROUP BY ALL
),
ends AS (
    SELECT publisher_id, instrument_id, date, max(ts) AS last_ts
    FROM ordered
    GROUP BY ALL
),
met AS (
    SELECT *, lag(price IGNORE NULLS) OVER (
        PARTITION BY publisher_id, instrument_id, date, series ORDER BY n
    ) AS price_before
    FROM ordered
    WHERE is_trade
),
signed AS (
    SELECT *, CASE
        WHEN side = 'B' THEN 1
        WHEN side = 'A' THEN -1
        WHEN price IS NULL THEN NULL
        ELSE coalesce(
            nullif(sign(2 * price - twice_mid), 0),
            last_value(nullif(sign(price - price_before), 0) IGNORE NULLS) OVER (
                PARTITION BY publisher_id, instrument_id, date, series ORDER BY n
                ROWS UNBOUNDED PRECEDING
            )) END AS d
    FROM met
),
taus AS (
    SELECT DISTINCT round(tau::DOUBLE * 1e9)::BIGINT AS tau_ns
    FROM (SELECT unnest(string_split($taus, ',')) AS tau)
),
due AS (
    SELECT t.*, tau_ns, ts + tau_ns AS due
    FROM signed t
    JOIN ends e USING (publisher_id, instrument_id, date)
    JOIN taus ON e.last_ts > t.ts + tau_ns
),
-- Integers, and so are their sums: they do not depend on the order in which they were made.
measured AS (
    SELECT t.symbol, t.publisher_id, t.tau_ns, t.size::HUGEINT AS size,
        t.d * (2 * t.price - t.twice_mid) AS effective,
        if(s.series = t.series, t.d * (2 * t.price - s.twice_mid), NULL) AS realised
    FROM due t
    ASOF JOIN states s
        ON s.publisher_id = t.publisher_id AND s.instrument_id = t.instrument_id
        AND s.date = t.date AND s.ts <= t.due
)
SELECT symbol, publisher_id, tau_ns, count(*) AS trade_count, sum(size)::BIGINT AS volume,
    sum(effective * size) / nullif(sum(size), 0) AS effective_spread,
    sum(realised * size) / nullif(sum(size), 0) AS realised_spread,
    sum((effective - realised) * size) / nullif(sum(size), 0) AS price_impact
FROM measured
WHERE effective IS NOT NULL AND realised IS NOT NULL AND size IS NOT NULL
GROUP BY ALL
ORDER BY ALL
