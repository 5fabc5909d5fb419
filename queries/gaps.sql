-- title: Silences
-- question: When did a book have no record for long, and how many had others of its publisher then?
-- reads: mbo
-- param: longer DURATION = 60s  only silences longer than this
-- param: others BIGINT = 0  only those in which other books had at least so many records; 0: all
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: ts_start TIMESTAMP_NS  of the last record before the silence (ts_recv), UTC
-- column: ts_end TIMESTAMP_NS  of the first record after it, UTC
-- column: gap_ns BIGINT  from the one to the other, in ns
-- column: others BIGINT  records of the publisher's other books in between, of those asked for
-- source: plain definition: the time between two consecutive records of a book on one date

-- Before its first record of a day and after its last, a book is not silent but not active. Where
-- none of many books had a record, it was the feed or a halt, not the book.
WITH records AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, date,
        epoch_ns(ts_recv) AS ts
    FROM mbo
    -- With F_BAD_TS_RECV (8) a record's own time orders nothing.
    WHERE ts_recv IS NOT NULL AND (flags & 8) = 0
),
counted AS (
    -- Of one moment all records are peers: so both counts depend on no order among them.
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
