-- title: Spread by hour
-- question: How wide is the quoted spread over the day, on average and at its quantiles?
-- reads: states_1
-- param: tz ZONE = UTC  the time zone of hours
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: hour BIGINT  hour of the day in tz, over all dates
-- column: tz VARCHAR  the time zone of the hour
-- column: spread PRICE_DOUBLE  time-weighted mean of ask less bid
-- column: spread_p05 PRICE  5th percentile of the spread over time
-- column: spread_p50 PRICE  median of the spread over time
-- column: spread_p95 PRICE  95th percentile of the spread over time
-- column: seconds DOUBLE  seconds of that hour that count, in which both sides had a price
-- column: left_out_seconds DOUBLE  seconds that were left out, since the market was not open
-- column: sessions_known BOOLEAN  whether the status of trading was known throughout; if not, only
--   crossed and locked books are left out
-- source: quoted spread, time-weighted: a state holds until the next state of its book in the same
--   source. States of a market that is not open are left out: books that are crossed or locked, as
--   before an opening, and times without trading (`is_open` of the view)
WITH timed AS (
    -- A book's time is its greatest ts_recv so far; one with F_BAD_TS_RECV (8) outside a snapshot
    -- (32) does not count.
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, source,
        position, action, is_open, status IS NOT NULL AS known,
        epoch_ns(ts_status_end) AS status_end,
        ask_px_00 - bid_px_00 AS spread,
        max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY position, action <> 'T'
            ROWS UNBOUNDED PRECEDING
        ) AS ts
    FROM states_1
),
states AS (
    -- The row of a trade is not a state: it has the book before the trade. Of several rows at the
    -- same time the last one holds; the others last no time.
    SELECT symbol, publisher_id, spread, ts, is_open, known, status_end,
        lead(ts) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY position
        ) AS next_ts
    FROM timed
    WHERE action <> 'T'
),
segments AS (
    -- A state counts while the market is open: if its book is not crossed or locked, until its
    -- status ends. The rest of its time is left out.
    SELECT *, true AS counts, ts AS since, least(next_ts, coalesce(status_end, next_ts)) AS until
    FROM states
    WHERE is_open AND next_ts IS NOT NULL
    UNION ALL
    SELECT *, false AS counts, if(is_open, coalesce(status_end, next_ts), ts) AS since,
        next_ts AS until
    FROM states
),
-- A state that holds across the turn of a quarter of an hour is divided there.
pieces AS (
    SELECT symbol, publisher_id, if(counts, spread, NULL) AS spread, counts, known, since, until,
        unnest(range(since // 900000000000, (until - 1) // 900000000000 + 1)) AS quarter
    FROM segments
    WHERE spread IS NOT NULL AND until > since
),
-- Sums of integers do not depend on the order of addition.
sums AS (
    SELECT symbol, publisher_id, quarter, counts, spread, bool_and(known) AS known,
        sum(least(until, (quarter + 1) * 900000000000) - greatest(since, quarter * 900000000000))
            AS ns
    FROM pieces
    GROUP BY ALL
),
clock AS (
    -- Hours of every time zone begin at a quarter of an hour in UTC.
    SELECT quarter, hour(local_time(make_timestamp_ns(quarter * 900000000000), $tz)) AS hour
    FROM (SELECT DISTINCT quarter FROM sums)
),
spreads AS (
    SELECT symbol, publisher_id, hour, counts, spread, bool_and(known) AS known, sum(ns) AS ns
    FROM sums
    JOIN clock USING (quarter)
    GROUP BY ALL
),
ranked AS (
    SELECT *, sum(ns) OVER narrower AS ns_up_to, sum(ns) OVER hours AS ns_all
    FROM spreads
    WINDOW hours AS (PARTITION BY symbol, publisher_id, hour, counts),
        narrower AS (PARTITION BY symbol, publisher_id, hour, counts ORDER BY spread)
)
SELECT symbol, publisher_id, hour, $tz::VARCHAR AS tz,
    sum(spread * ns) / sum(ns) FILTER (counts) AS spread,
    min(spread) FILTER (ns_up_to * 100 >= ns_all * 5) AS spread_p05,
    min(spread) FILTER (ns_up_to * 100 >= ns_all * 50) AS spread_p50,
    min(spread) FILTER (ns_up_to * 100 >= ns_all * 95) AS spread_p95,
    coalesce(sum(ns) FILTER (counts), 0) / 1e9 AS seconds,
    coalesce(sum(ns) FILTER (NOT counts), 0) / 1e9 AS left_out_seconds,
    bool_and(known) AS sessions_known
FROM ranked
GROUP BY ALL
ORDER BY ALL
