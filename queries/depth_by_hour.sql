-- title: Depth by hour
-- question: How much size do the best levels of each side have over the day?
-- reads: states_10
-- param: levels BIGINT = 10  how many levels of each side are added up, from 1 to 10
-- param: tz ZONE = UTC  the time zone of hours
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: hour BIGINT  hour of the day in tz, over all dates
-- column: tz VARCHAR  the time zone of the hour
-- column: depth_bid DOUBLE  time-weighted mean size of the best bids, in units
-- column: depth_ask DOUBLE  time-weighted mean size of the best asks, in units
-- column: seconds_bid DOUBLE  seconds of that hour in which there was a bid
-- column: seconds_ask DOUBLE  seconds of that hour in which there was an ask
-- column: left_out_seconds DOUBLE  seconds that were left out, since the market was not open
-- column: sessions_known BOOLEAN  whether the status of trading was known throughout; if not, only
--   crossed and locked books are left out
-- source: depth(k) is the sum of the sizes of the best k levels, time-weighted: a state holds until
--   the next state of its book in the same source. An empty side has no depth; it does not count
--   as 0. States of a market that is not open are left out (`is_open` of the view)
WITH timed AS (
    -- A book's time is its greatest ts_recv so far; one with F_BAD_TS_RECV (8) outside a snapshot
    -- (32) does not count.
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, source,
        position, action, is_open, status IS NOT NULL AS known,
        epoch_ns(ts_status_end) AS status_end,
        if(bid_px_00 IS NULL, NULL, bid_sz_00::BIGINT
            + if($levels > 1, bid_sz_01, 0) + if($levels > 2, bid_sz_02, 0)
            + if($levels > 3, bid_sz_03, 0) + if($levels > 4, bid_sz_04, 0)
            + if($levels > 5, bid_sz_05, 0) + if($levels > 6, bid_sz_06, 0)
            + if($levels > 7, bid_sz_07, 0) + if($levels > 8, bid_sz_08, 0)
            + if($levels > 9, bid_sz_09, 0)) AS bid,
        if(ask_px_00 IS NULL, NULL, ask_sz_00::BIGINT
            + if($levels > 1, ask_sz_01, 0) + if($levels > 2, ask_sz_02, 0)
            + if($levels > 3, ask_sz_03, 0) + if($levels > 4, ask_sz_04, 0)
            + if($levels > 5, ask_sz_05, 0) + if($levels > 6, ask_sz_06, 0)
            + if($levels > 7, ask_sz_07, 0) + if($levels > 8, ask_sz_08, 0)
            + if($levels > 9, ask_sz_09, 0)) AS ask,
        max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY position, action <> 'T'
            ROWS UNBOUNDED PRECEDING
        ) AS ts
    FROM states_10
    WHERE if($levels BETWEEN 1 AND 10, true, error('levels: 1 to 10 is expected'))
),
states AS (
    -- The row of a trade is not a state: it has the book before the trade. Of several rows at the
    -- same time the last one holds; the others last no time.
    SELECT symbol, publisher_id, bid, ask, ts, is_open, known, status_end,
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
quarters AS (
    SELECT *, unnest(range(since // 900000000000, (until - 1) // 900000000000 + 1)) AS quarter
    FROM segments
    WHERE until > since AND (bid IS NOT NULL OR ask IS NOT NULL)
),
pieces AS (
    SELECT symbol, publisher_id, quarter, counts, known,
        if(counts, bid, NULL) AS bid, if(counts, ask, NULL) AS ask,
        (least(until, (quarter + 1) * 900000000000)
            - greatest(since, quarter * 900000000000))::HUGEINT AS ns
    FROM quarters
),
-- Sums of integers do not depend on the order of addition.
sums AS (
    SELECT symbol, publisher_id, quarter, sum(bid * ns) AS bid, sum(ask * ns) AS ask,
        sum(ns) FILTER (bid IS NOT NULL) AS bid_ns, sum(ns) FILTER (ask IS NOT NULL) AS ask_ns,
        sum(ns) FILTER (NOT counts) AS left_out_ns, bool_and(known) AS known
    FROM pieces
    GROUP BY ALL
),
clock AS (
    -- Hours of every time zone begin at a quarter of an hour in UTC.
    SELECT quarter, hour(local_time(make_timestamp_ns(quarter * 900000000000), $tz)) AS hour
    FROM (SELECT DISTINCT quarter FROM sums)
)
SELECT symbol, publisher_id, hour, $tz::VARCHAR AS tz,
    sum(bid) / sum(bid_ns) AS depth_bid,
    sum(ask) / sum(ask_ns) AS depth_ask,
    coalesce(sum(bid_ns), 0) / 1e9 AS seconds_bid,
    coalesce(sum(ask_ns), 0) / 1e9 AS seconds_ask,
    coalesce(sum(left_out_ns), 0) / 1e9 AS left_out_seconds,
    bool_and(known) AS sessions_known
FROM sums
JOIN clock USING (quarter)
GROUP BY ALL
ORDER BY ALL
