-- title: Spread by hour
-- question: How wide is the quoted spread over the day, on average and at its quantiles?
-- reads: states_1
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: hour BIGINT  hour of the day, UTC, over all dates
-- column: spread PRICE_DOUBLE  time-weighted mean of ask less bid
-- column: spread_p05 PRICE  5th percentile of the spread over time
-- column: spread_p50 PRICE  median of the spread over time
-- column: spread_p95 PRICE  95th percentile of the spread over time
-- column: seconds DOUBLE  seconds of that hour in which both sides had a price
-- source: quoted spread, time-weighted: a state holds until the next state of its book in the same
--   source. A crossed book, as before an opening, has a negative spread
WITH timed AS (
    -- A book's time is its greatest ts_recv so far; one with F_BAD_TS_RECV (8) outside a snapshot
    -- (32) does not count.
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, source,
        position, action, ask_px_00 - bid_px_00 AS spread,
        max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY position, action <> 'T'
            ROWS UNBOUNDED PRECEDING
        ) AS ts
    FROM states_1
),
states AS (
    -- The row of a trade is not a state: it has the book before the trade. Of several rows at the
    -- same time the last one holds; the others last no time.
    SELECT symbol, publisher_id, spread, ts,
        lead(ts) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY position
        ) AS next_ts
    FROM timed
    WHERE action <> 'T'
),
-- A state that holds across the turn of an hour is divided there.
pieces AS (
    SELECT symbol, publisher_id, spread, ts, next_ts,
        unnest(range(ts // 3600000000000, (next_ts - 1) // 3600000000000 + 1)) AS hour
    FROM states
    WHERE spread IS NOT NULL AND next_ts > ts
),
-- Sums of integers do not depend on the order of addition.
spreads AS (
    SELECT symbol, publisher_id, hour % 24 AS hour, spread,
        sum(least(next_ts, (hour + 1) * 3600000000000) - greatest(ts, hour * 3600000000000)) AS ns
    FROM pieces
    GROUP BY ALL
),
ranked AS (
    SELECT *, sum(ns) OVER narrower AS ns_up_to, sum(ns) OVER hours AS ns_all
    FROM spreads
    WINDOW hours AS (PARTITION BY symbol, publisher_id, hour),
        narrower AS (PARTITION BY symbol, publisher_id, hour ORDER BY spread)
)
SELECT symbol, publisher_id, hour,
    sum(spread * ns) / sum(ns) AS spread,
    min(spread) FILTER (ns_up_to * 100 >= ns_all * 5) AS spread_p05,
    min(spread) FILTER (ns_up_to * 100 >= ns_all * 50) AS spread_p50,
    min(spread) FILTER (ns_up_to * 100 >= ns_all * 95) AS spread_p95,
    sum(ns) / 1e9 AS seconds
FROM ranked
GROUP BY ALL
ORDER BY ALL
