-- title: Messages and added size per trade
-- question: How many messages and how much added size are there per trade, by hour?
-- reads: mbo
-- param: tz ZONE = UTC  the time zone of hours
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: hour BIGINT  hour of the day in tz, over all dates; null for records before the first time
--   of their book
-- column: tz VARCHAR  the time zone of the hour
-- column: messages BIGINT  how many adds, cancels and modifies, including those that only remove
--   filled size
-- column: trades BIGINT  how many trades
-- column: messages_per_trade DOUBLE  messages / trades; null without trades
-- column: size_added BIGINT  total size of added orders; it excludes size that modifies add
-- column: size_traded BIGINT  total size of the trades
-- column: added_per_traded DOUBLE  size_added / size_traded; null without traded size
-- source: order-to-trade ratio, by messages and by size: counts of records by action

-- Snapshots (F_SNAPSHOT, 32) come from the vendor and are not messages of the market. An add of a
-- top-of-book publisher or of a price level (F_TOB, F_MBP: 64, 16) is a message, but adds no size.
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
        count(*) FILTER (WHERE action IN ('A', 'C', 'M')) AS messages,
        count(*) FILTER (WHERE action = 'T') AS trades,
        sum(size) FILTER (WHERE action = 'A' AND (flags & 80) = 0) AS size_added,
        sum(size) FILTER (WHERE action = 'T') AS size_traded
    FROM timed
    WHERE (flags & 32) = 0
    GROUP BY ALL
),
clock AS (
    -- Hours of every time zone begin at a quarter of an hour in UTC.
    SELECT quarter, hour(local_time(make_timestamp_ns(quarter * 900000000000), $tz)) AS hour
    FROM (SELECT DISTINCT quarter FROM quarters)
),
hours AS (
    SELECT symbol, publisher_id, hour, sum(messages)::BIGINT AS messages,
        sum(trades)::BIGINT AS trades, sum(size_added) AS size_added,
        sum(size_traded) AS size_traded
    FROM quarters
    LEFT JOIN clock USING (quarter)
    GROUP BY symbol, publisher_id, hour
)
SELECT symbol, publisher_id, hour, $tz::VARCHAR AS tz, messages, trades,
    messages / nullif(trades, 0) AS messages_per_trade,
    coalesce(size_added, 0)::BIGINT AS size_added,
    coalesce(size_traded, 0)::BIGINT AS size_traded,
    coalesce(size_added, 0) / nullif(size_traded, 0) AS added_per_traded
FROM hours
ORDER BY symbol, publisher_id, hour
