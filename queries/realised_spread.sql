-- title: Effective and realised spread
-- question: What do trades pay over the mid, and how much of it remains for liquidity providers
--   after each of several delays?
-- reads: states_1
-- param: taus VARCHAR = 0.1,1,5,30,300  delays after each trade at which the mid is taken, in
--   seconds
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: tau_ns BIGINT  delay after the trade, in nanoseconds
-- column: trade_count BIGINT  how many trades have all three measures, over all dates
-- column: volume BIGINT  total size of these trades, in units
-- column: effective_spread PRICE_DOUBLE  size-weighted mean of 2 d (p - mid before the trade); d is
--   1 for a buy and -1 for a sell, p is the price
-- column: realised_spread PRICE_DOUBLE  size-weighted mean of 2 d (p - mid at t + tau)
-- column: price_impact PRICE_DOUBLE  size-weighted mean of 2 d (mid at t + tau - mid before the
--   trade): effective_spread less realised_spread
-- column: left_out BIGINT  how many trades were left out, since the market was not open at the
--   trade or at the time of the later mid
-- column: sessions_known BOOLEAN  whether the status of trading was known throughout; if not, only
--   crossed and locked books are left out
-- source: twice the distance from a mid, weighted by size, as in SEC Rule 605, but relative to the
--   time of the trade; each trade is as in `.mbo.trade_measures`. Trades of side N are signed by
--   the rule of Lee and Ready, "Inferring trade direction from intraday data" (1991). The mid at t
--   + tau is unknown if a side is empty, if the book was cleared in between, or if the book has no
--   row after t + tau on that date
WITH ordered AS (
    -- A book's time is its greatest ts_recv so far; one with F_BAD_TS_RECV (8) outside a snapshot
    -- (32) does not count.
    -- A series restarts where the book is cleared (R, snapshot) and with each source.
    SELECT publisher_id, instrument_id, source,
        coalesce(symbol, instrument_id::VARCHAR) AS symbol,
        max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
            book ROWS UNBOUNDED PRECEDING
        ) AS ts,
        action = 'T' AS is_trade, side, price, size::BIGINT AS size,
        bid_px_00 + ask_px_00 AS twice_mid, is_open, status IS NOT NULL AS known,
        epoch_ns(ts_status_end) AS status_end,
        row_number() OVER book AS n,
        -- FILTER would make this window far slower.
        count(if(action = 'R' OR (action <> 'T' AND (flags & 32) <> 0), 1, NULL)) OVER (
            book ROWS UNBOUNDED PRECEDING
        ) AS series
    FROM states_1
    WINDOW book AS (
        PARTITION BY publisher_id, instrument_id, source ORDER BY position, action <> 'T'
    )
),
-- The last state at each time (-1: none is known yet), and the last time at which each book has a
-- row.
states AS (
    SELECT publisher_id, instrument_id, source, coalesce(ts, -1) AS ts, max(series) AS series,
        arg_max_null(twice_mid, n) AS twice_mid, arg_max(is_open, n) AS is_open,
        arg_max(known, n) AS known, arg_max_null(status_end, n) AS status_end
    FROM ordered
    WHERE NOT is_trade
    GROUP BY ALL
),
ends AS (
    SELECT publisher_id, instrument_id, source, max(ts) AS last_ts
    FROM ordered
    GROUP BY ALL
),
met AS (
    SELECT *, lag(price IGNORE NULLS) OVER (
        PARTITION BY publisher_id, instrument_id, source, series ORDER BY n
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
                PARTITION BY publisher_id, instrument_id, source, series ORDER BY n
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
    JOIN ends e USING (publisher_id, instrument_id, source)
    JOIN taus ON e.last_ts > t.ts + tau_ns
),
-- Sums of integers do not depend on the order of addition.
measured AS (
    -- A state is of an open market until its status ends.
    SELECT t.symbol, t.publisher_id, t.tau_ns, t.size::HUGEINT AS size,
        t.is_open AND s.is_open AND coalesce(t.due < s.status_end, true) AS counts,
        t.known AND s.known AS known,
        t.d * (2 * t.price - t.twice_mid) AS effective,
        if(s.series = t.series, t.d * (2 * t.price - s.twice_mid), NULL) AS realised
    FROM due t
    ASOF JOIN states s
        ON s.publisher_id = t.publisher_id AND s.instrument_id = t.instrument_id
        AND s.source = t.source AND s.ts <= t.due
)
SELECT symbol, publisher_id, tau_ns, count(*) FILTER (counts) AS trade_count,
    coalesce(sum(size) FILTER (counts), 0)::BIGINT AS volume,
    sum(effective * size) FILTER (counts) / nullif(sum(size) FILTER (counts), 0)
        AS effective_spread,
    sum(realised * size) FILTER (counts) / nullif(sum(size) FILTER (counts), 0)
        AS realised_spread,
    sum((effective - realised) * size) FILTER (counts) / nullif(sum(size) FILTER (counts), 0)
        AS price_impact,
    count(*) FILTER (NOT counts) AS left_out, bool_and(known) AS sessions_known
FROM measured
WHERE effective IS NOT NULL AND realised IS NOT NULL AND size IS NOT NULL
GROUP BY ALL
ORDER BY ALL
