-- title: Turnover of the best levels
-- question: How often is the size at the best prices traded within an hour?
-- reads: states_1
-- param: tz ZONE = UTC  the time zone of hours
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: hour BIGINT  hour of the day in tz, over all dates
-- column: tz VARCHAR  the time zone of the hour
-- column: traded BIGINT  total size of the trades of that hour
-- column: bid_size DOUBLE  time-weighted mean size at the best bid
-- column: ask_size DOUBLE  time-weighted mean size at the best ask
-- column: turnover DOUBLE  traded / (bid_size + ask_size); null if no time counts
-- column: seconds DOUBLE  seconds of that hour that count, in which both sides had a price; the means
--   are over this time
-- column: left_out_seconds DOUBLE  seconds that were left out, since the market was not open
-- column: sessions_known BOOLEAN  whether the status of trading was known throughout; if not, only
--   crossed and locked books are left out
-- source: traded size over mean displayed size; a state holds until the next state of its book in
--   the same source. Displayed sizes of a market that is not open are left out (`is_open` of the
--   view); trades never are
WITH timed AS (
    -- A book's time is its greatest ts_recv so far; one with F_BAD_TS_RECV (8) outside a snapshot
    -- (32) does not count.
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, source,
        position, action, size, ask_sz_00 AS ask_sz, is_open, status IS NOT NULL AS known,
        epoch_ns(ts_status_end) AS status_end,
        CASE WHEN bid_px_00 IS NOT NULL AND ask_px_00 IS NOT NULL THEN bid_sz_00 END AS bid_sz,
        max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY position, action <> 'T'
            ROWS UNBOUNDED PRECEDING
        ) AS ts
    FROM states_1
),
states AS (
    SELECT symbol, publisher_id, ts, bid_sz, ask_sz, is_open, known, status_end,
        lead(ts) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY position
        ) AS next_ts
    FROM timed
    -- The row of a trade (T) is not a state: it has the book before the trade.
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
parts AS (
    -- A state that holds across the turn of a quarter of an hour is part of each of these quarters.
    SELECT symbol, publisher_id, counts, known, since, until, bid_sz, ask_sz,
        unnest(range(since // 900000000000, (until - 1) // 900000000000 + 1)) AS quarter
    FROM segments
    WHERE bid_sz IS NOT NULL AND until > since
),
weighted AS (
    SELECT symbol, publisher_id, quarter, counts, known, bid_sz, ask_sz,
        least(until, (quarter + 1) * 900000000000) - greatest(since, quarter * 900000000000) AS ns
    FROM parts
),
resting AS (
    -- Sums of integers do not depend on the order of addition; sums of floats do.
    SELECT symbol, publisher_id, quarter, sum(ns) FILTER (counts) AS ns,
        sum(bid_sz::HUGEINT * ns) FILTER (counts) AS bid,
        sum(ask_sz::HUGEINT * ns) FILTER (counts) AS ask,
        sum(ns) FILTER (NOT counts) AS left_out_ns, bool_and(known) AS known
    FROM weighted
    GROUP BY symbol, publisher_id, quarter
),
trading AS (
    SELECT symbol, publisher_id, ts // 900000000000 AS quarter, sum(size) AS traded
    FROM timed
    WHERE action = 'T' AND ts IS NOT NULL
    GROUP BY ALL
),
quarters AS (SELECT * FROM resting FULL JOIN trading USING (symbol, publisher_id, quarter)),
clock AS (
    -- Hours of every time zone begin at a quarter of an hour in UTC.
    SELECT quarter, hour(local_time(make_timestamp_ns(quarter * 900000000000), $tz)) AS hour
    FROM (SELECT DISTINCT quarter FROM quarters)
),
hours AS (
    SELECT symbol, publisher_id, hour, sum(traded) AS traded, sum(ns) AS ns, sum(bid) AS bid,
        sum(ask) AS ask, sum(left_out_ns) AS left_out_ns, bool_and(known) AS known
    FROM quarters
    JOIN clock USING (quarter)
    GROUP BY symbol, publisher_id, hour
)
SELECT symbol, publisher_id, hour, $tz::VARCHAR AS tz, coalesce(traded, 0)::BIGINT AS traded,
    bid / ns AS bid_size, ask / ns AS ask_size,
    coalesce(traded, 0) / (nullif(bid + ask, 0) / ns) AS turnover,
    coalesce(ns, 0) / 1e9 AS seconds, coalesce(left_out_ns, 0) / 1e9 AS left_out_seconds,
    coalesce(known, false) AS sessions_known
FROM hours
ORDER BY symbol, publisher_id, hour
