-- title: Records by action
-- question: What happens in a book, by hour: adds, cancels, modifies, clears, trades, fills?
-- reads: mbo
-- param: tz ZONE = UTC  the time zone of hours
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: hour BIGINT  hour of the day in tz, over all dates; null for records before the first time
--   of their book
-- column: tz VARCHAR  the time zone of the hour
-- column: records BIGINT  all records, snapshots included
-- column: adds BIGINT  records with action A
-- column: cancels BIGINT  records with action C
-- column: modifies BIGINT  records with action M
-- column: clears BIGINT  records with action R
-- column: trades BIGINT  records with action T
-- column: fills BIGINT  records with action F
-- column: snapshot BIGINT  how many of these records belong to a snapshot (F_SNAPSHOT)
-- source: actions of MBO records, rules 6 to 14 of ARCHITECTURE.md
WITH timed AS (
    -- A book's time is its greatest ts_recv so far; one with F_BAD_TS_RECV (8) outside a snapshot
    -- (32) does not count.
    SELECT *, max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
        PARTITION BY publisher_id, instrument_id, source ORDER BY position ROWS UNBOUNDED PRECEDING
    ) AS ts
    FROM mbo
),
quarters AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id,
        ts // 900000000000 AS quarter,
        count(*) AS records,
        count(*) FILTER (WHERE action = 'A') AS adds,
        count(*) FILTER (WHERE action = 'C') AS cancels,
        count(*) FILTER (WHERE action = 'M') AS modifies,
        count(*) FILTER (WHERE action = 'R') AS clears,
        count(*) FILTER (WHERE action = 'T') AS trades,
        count(*) FILTER (WHERE action = 'F') AS fills,
        count(*) FILTER (WHERE (flags & 32) <> 0) AS snapshot
    FROM timed
    GROUP BY ALL
),
clock AS (
    -- Hours of every time zone begin at a quarter of an hour in UTC.
    SELECT quarter, hour(local_time(make_timestamp_ns(quarter * 900000000000), $tz)) AS hour
    FROM (SELECT DISTINCT quarter FROM quarters)
)
SELECT symbol, publisher_id, hour, $tz::VARCHAR AS tz, sum(records)::BIGINT AS records,
    sum(adds)::BIGINT AS adds,
    sum(cancels)::BIGINT AS cancels,
    sum(modifies)::BIGINT AS modifies,
    sum(clears)::BIGINT AS clears,
    sum(trades)::BIGINT AS trades,
    sum(fills)::BIGINT AS fills,
    sum(snapshot)::BIGINT AS snapshot
FROM quarters
LEFT JOIN clock USING (quarter)
GROUP BY symbol, publisher_id, hour
ORDER BY symbol, publisher_id, hour
