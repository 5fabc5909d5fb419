-- title: Gaps in a book's records
-- question: When did a book have no record for long, and how many records had the other books of
--   its publisher then?
-- reads: mbo
-- param: longer DURATION = 60s  only gaps longer than this
-- param: others BIGINT = 0  only gaps in which other books had at least this many records; 0: all
--   gaps
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: ts_start TIMESTAMP  ts_recv of the last record before the gap, UTC
-- column: ts_end TIMESTAMP  ts_recv of the first record after the gap, UTC
-- column: gap_ns BIGINT  ts_end less ts_start, in ns
-- column: others BIGINT  how many records the publisher's other books had during the gap, among the
--   symbols of the query
-- source: the time between two consecutive records of a book on one date

-- The time before the first record of a day and after the last one is not a gap. If many books have
-- no record at once, the cause is the feed or a halt, not the book.
WITH records AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, date,
        epoch_ns(ts_recv) AS ts
    FROM mbo
    -- The ts_recv of a record with F_BAD_TS_RECV (8) outside a snapshot (32) does not order it.
    WHERE ts_recv IS NOT NULL AND (flags & 40) <> 8
),
counted AS (
    -- All records of one time are peers, so that neither count depends on the order among them.
    SELECT *, rank() OVER feed - 1 AS earlier, count(*) OVER feed AS up_to_now
    FROM records
    WINDOW feed AS (PARTITION BY publisher_id, date ORDER BY ts)
),
silences AS (
    SELECT symbol, publisher_id, lag(ts) OVER book AS last_ts, ts,
        earlier - lag(up_to_now) OVER book AS others
    FROM counted
    WINDOW book AS (PARTITION BY publisher_id, instrument_id, date ORDER BY ts)
)
SELECT symbol, publisher_id, make_timestamp_ns(last_ts) AS ts_start,
    make_timestamp_ns(ts) AS ts_end, ts - last_ts AS gap_ns, others
FROM silences
WHERE ts - last_ts > $longer AND others >= $others
ORDER BY symbol, publisher_id, ts_start
