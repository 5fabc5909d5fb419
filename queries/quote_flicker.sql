-- title: Flickering quotes
-- question: How many best quotes live only briefly, and how many of them are reversed at once?
-- reads: states_1
-- param: shorter DURATION = 100ms  a quote with a shorter life than this flickers
-- param: tz ZONE = UTC  the time zone of hours
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: side VARCHAR  B: best bids, A: best asks
-- column: hour BIGINT  hour of the day in tz in which the quote began, over all dates
-- column: tz VARCHAR  the time zone of the hour
-- column: quotes BIGINT  how many best prices came and went, whatever their size did in between
-- column: flickers BIGINT  how many of them lived less than `shorter`
-- column: returned BIGINT  how many flickers were followed by the best price from before the
--   flicker
-- column: flicker_share DOUBLE  flickers / quotes; null if there are no quotes
-- column: p50_ns BIGINT  median life of all quotes, in ns
-- column: left_out BIGINT  how many quotes were left out, since the market was not open when they
--   began
-- column: sessions_known BOOLEAN  whether the status of trading was known throughout; if not, only
--   crossed and locked books are left out
-- source: a quote lives from the event that makes its price the best one to the event that ends
--   this; compare the fleeting orders of Hasbrouck and Saar, "Technology and liquidity provision"
--   (2009), which live less than two seconds

-- The first quote of a book in a source has an unknown start, and the last one no end: neither is
-- counted. An empty side ends a quote and is not a quote. A quote counts if it begins while the
-- market is open (`is_open` of the view).
WITH timed AS (
    -- A book's time is its greatest ts_recv so far; one with F_BAD_TS_RECV (8) outside a snapshot
    -- (32) does not count.
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, source,
        position, action, bid_px_00 AS bid, ask_px_00 AS ask, is_open, status IS NOT NULL AS known,
        max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY position, action <> 'T'
            ROWS UNBOUNDED PRECEDING
        ) AS ts
    FROM states_1
),
states AS (
    SELECT symbol, publisher_id, instrument_id, source, ts, bid, ask, is_open, known,
        row_number() OVER book AS n,
        lag(bid) OVER book AS bid_before, lag(ask) OVER book AS ask_before
    FROM timed
    -- The row of a trade (T) is not a state: it has the book before the trade.
    WHERE action <> 'T' AND ts IS NOT NULL
    WINDOW book AS (PARTITION BY publisher_id, instrument_id, source ORDER BY position)
),
quotes AS (
    SELECT symbol, publisher_id, instrument_id, source, 'B' AS side, n, ts, bid AS price,
        is_open, known
    FROM states
    WHERE n = 1 OR bid IS DISTINCT FROM bid_before
    UNION ALL
    SELECT symbol, publisher_id, instrument_id, source, 'A' AS side, n, ts, ask AS price,
        is_open, known
    FROM states
    WHERE n = 1 OR ask IS DISTINCT FROM ask_before
),
lives AS (
    SELECT symbol, publisher_id, side, n, ts // 900000000000 AS quarter, price, is_open, known,
        lead(ts) OVER quote - ts AS life_ns,
        lag(price) OVER quote AS price_before, lead(price) OVER quote AS price_after
    FROM quotes
    WINDOW quote AS (PARTITION BY publisher_id, instrument_id, source, side ORDER BY n)
),
clock AS (
    -- Hours of every time zone begin at a quarter of an hour in UTC.
    SELECT quarter, hour(local_time(make_timestamp_ns(quarter * 900000000000), $tz)) AS hour
    FROM (SELECT DISTINCT quarter FROM lives)
)
SELECT symbol, publisher_id, side, hour, $tz::VARCHAR AS tz,
    count(*) FILTER (is_open) AS quotes,
    count(*) FILTER (is_open AND life_ns < $shorter) AS flickers,
    count(*) FILTER (is_open AND life_ns < $shorter AND price_before = price_after) AS returned,
    count(*) FILTER (is_open AND life_ns < $shorter) / nullif(count(*) FILTER (is_open), 0)
        AS flicker_share,
    quantile_disc(life_ns, 0.5) FILTER (is_open) AS p50_ns,
    count(*) FILTER (NOT is_open) AS left_out, bool_and(known) AS sessions_known
FROM lives
JOIN clock USING (quarter)
WHERE n > 1 AND price IS NOT NULL AND life_ns IS NOT NULL
GROUP BY ALL
ORDER BY symbol, publisher_id, side, hour
