-- title: Price impact of trades by size
-- question: How far does the mid move in a trade's direction after a delay, by the size of the
--   trade?
-- reads: states_1
-- param: horizon DURATION = 1s  delay after each trade at which the mid is taken
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: size_from BIGINT  least size in the bucket, a power of two, in units
-- column: size_to BIGINT  greatest size in the bucket, in units
-- column: trade_count BIGINT  how many trades with a known impact the bucket has, over all dates
-- column: volume BIGINT  total size of these trades, in units
-- column: impact PRICE_DOUBLE  mean of d (mid at t + horizon - mid before the trade) over trades; d
--   is 1 for a buy and -1 for a sell
-- column: impact_bps DOUBLE  impact relative to the mean of the mids before the trades, taken without
--   their signs, in units of 1e-4
-- column: left_out BIGINT  how many trades were left out, since the market was not open at the
--   trade or at the time of the later mid
-- column: sessions_known BOOLEAN  whether the status of trading was known throughout; if not, only
--   crossed and locked books are left out
-- source: the signed change of the mid after a trade, by size as in Hasbrouck, "Measuring the
--   information content of stock trades" (1991), without his model. Trades of side N are signed by
--   the rule of Lee and Ready, "Inferring trade direction from intraday data" (1991). The impact of
--   a trade is unknown if one of the mids is, if the book was cleared in between, or if the book
--   has no row after t + horizon in that source
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
        -- The last time at which the book has a row. After a join DuckDB would expect so few rows
        -- that it would compare each of them with all states.
        max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
            PARTITION BY publisher_id, instrument_id, source
        ) AS last_ts,
        -- FILTER would make this window far slower.
        count(if(action = 'R' OR (action <> 'T' AND (flags & 32) <> 0), 1, NULL)) OVER (
            book ROWS UNBOUNDED PRECEDING
        ) AS series
    FROM states_1
    WINDOW book AS (
        PARTITION BY publisher_id, instrument_id, source ORDER BY position, action <> 'T'
    )
),
-- The last state at each time; -1: no time is known yet.
states AS (
    SELECT publisher_id, instrument_id, source, coalesce(ts, -1) AS ts, max(series) AS series,
        arg_max_null(twice_mid, n) AS twice_mid, arg_max(is_open, n) AS is_open,
        arg_max(known, n) AS known, arg_max_null(status_end, n) AS status_end
    FROM ordered
    WHERE NOT is_trade
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
    SELECT *, ts + $horizon AS due, CASE
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
moves AS (
    -- A state is of an open market until its status ends.
    SELECT t.symbol, t.publisher_id, t.size, t.twice_mid,
        t.is_open AND s.is_open AND coalesce(t.due < s.status_end, true) AS counts,
        t.known AND s.known AS known,
        if(s.series = t.series, t.d * (s.twice_mid - t.twice_mid), NULL) AS twice_move,
        floor(log2(t.size))::BIGINT AS bucket
    FROM signed t
    ASOF JOIN states s
        ON s.publisher_id = t.publisher_id AND s.instrument_id = t.instrument_id
        AND s.source = t.source AND s.ts <= t.due
    WHERE t.last_ts > t.due AND t.size > 0
)
SELECT symbol, publisher_id, 1::BIGINT << bucket AS size_from,
    (1::BIGINT << (bucket + 1)) - 1 AS size_to,
    count(*) FILTER (counts) AS trade_count,
    coalesce(sum(size) FILTER (counts), 0)::BIGINT AS volume,
    sum(twice_move) FILTER (counts) / nullif(count(*) FILTER (counts), 0) / 2 AS impact,
    sum(twice_move) FILTER (counts) / nullif(sum(abs(twice_mid)) FILTER (counts), 0) * 1e4
        AS impact_bps,
    count(*) FILTER (NOT counts) AS left_out, bool_and(known) AS sessions_known
FROM moves
WHERE twice_move IS NOT NULL
GROUP BY ALL
ORDER BY ALL
