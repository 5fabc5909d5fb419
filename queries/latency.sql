-- title: Latency from the venue's clock to the capture
-- question: How long after the venue's timestamp was a record received, by hour?
-- reads: mbo
-- param: tz ZONE = UTC  the time zone of hours
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: hour BIGINT  hour of the day of ts_recv in tz, over all dates
-- column: tz VARCHAR  the time zone of the hour
-- column: records BIGINT  how many records
-- column: negative BIGINT  how many records were received before the venue's timestamp: the clocks
--   differ by more than the latency
-- column: min_ns BIGINT  minimum of ts_recv less ts_event, in ns
-- column: p50_ns BIGINT  median of ts_recv less ts_event, in ns
-- column: p90_ns BIGINT  90th percentile of ts_recv less ts_event, in ns
-- column: p99_ns BIGINT  99th percentile of ts_recv less ts_event, in ns
-- column: p999_ns BIGINT  99.9th percentile of ts_recv less ts_event, in ns
-- column: max_ns BIGINT  maximum of ts_recv less ts_event, in ns
-- source: ts_recv less ts_event; it includes the difference between the two clocks

-- Records are counted, not packets: a packet of many records counts many times. Records with
-- F_BAD_TS_RECV (8) are left out since their ts_recv is wrong, and those of snapshots
-- (F_SNAPSHOT, 32) since their ts_event is that of much older orders.
WITH times AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id,
        epoch_ns(ts_recv) // 900000000000 AS quarter,
        epoch_ns(ts_recv) - epoch_ns(ts_event) AS ns
    FROM mbo
    WHERE ts_recv IS NOT NULL AND ts_event IS NOT NULL AND (flags & 40) = 0
),
clock AS (
    -- Hours of every time zone begin at a quarter of an hour in UTC.
    SELECT quarter, hour(local_time(make_timestamp_ns(quarter * 900000000000), $tz)) AS hour
    FROM (SELECT DISTINCT epoch_ns(ts_recv) // 900000000000 AS quarter FROM mbo)
),
counted AS (
    SELECT symbol, publisher_id, hour, count(*) AS records,
        count(*) FILTER (WHERE ns < 0) AS negative,
        quantile_disc(ns, [0, 0.5, 0.9, 0.99, 0.999, 1]) AS ns
    FROM times
    JOIN clock USING (quarter)
    GROUP BY symbol, publisher_id, hour
)
SELECT symbol, publisher_id, hour, $tz::VARCHAR AS tz, records, negative, ns[1] AS min_ns, ns[2] AS p50_ns,
    ns[3] AS p90_ns, ns[4] AS p99_ns, ns[5] AS p999_ns, ns[6] AS max_ns
FROM counted
ORDER BY symbol, publisher_id, hour
