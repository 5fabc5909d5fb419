-- title: Flickering quotes
-- question: How many best quotes live only briefly, and how many of them are reversed at once?
-- reads: mbp_1
-- param: shorter DURATION = 100ms  a quote with a shorter life than this flickers
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: side VARCHAR  B: best bids, A: best asks
-- column: hour BIGINT  hour of the day in which the quote began, UTC, over all dates
-- column: quotes BIGINT  how many best prices came and went, whatever their size did in between
-- column: flickers BIGINT  how many of them lived less than `shorter`
-- column: returned BIGINT  how many flickers were followed by the best price from before the
--   flicker
-- column: flicker_share DOUBLE  flickers / quotes
-- column: p50_ns BIGINT  median life of all quotes, in ns
-- column: left_out BIGINT  how many quotes were left out, since the market was not open when they
--   began
-- column: sessions_known BOOLEAN  whether the status of trading was known throughout; if not, only
--   crossed and locked books are left out
-- source: a quote lives from the event that makes its price the best one to the event that ends
--   this; compare the fleeting orders of Hasbrouck and Saar, "Technology and liquidity provision"
--   (2009), which live less than two seconds

-- The first quote of a book on a day has an unknown start, and the last one no end: neither is
-- counted. An empty side ends a quote and is not a quote.
WITH states AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, date,
        epoch_ns(ts_recv) AS ts,
        bid_px_00 AS bid, ask_px_00 AS ask, row_number() OVER book AS n,
        is_open, status IS NOT NULL AS known,
        lag(bid_px_00) OVER book AS bid_before, lag(ask_px_00) OVER book AS ask_before
    FROM mbp_1
    -- The row of a trade (T) is not a state: it has the book before the trade.
    WHERE action <> 'T' AND ts_recv IS NOT NULL
    -- Events of one packet may share `sequence`; then `ts_event` gives their order.
    WINDOW book AS (
        PARTITION BY publisher_id, instrument_id, date ORDER BY ts_recv, sequence, ts_event
    )
),
quotes AS (
    SELECT symbol, publisher_id, instrument_id, date, 'B' AS side, n, ts, bid AS price,
        is_open, known
    FROM states
    WHERE n = 1 OR bid IS DISTINCT FROM bid_before
    UNION ALL
    SELECT symbol, publisher_id, instrument_id, date, 'A' AS side, n, ts, ask AS price,
        is_open, known
    FROM states
    WHERE n = 1 OR ask IS DISTINCT FROM ask_before
),
lives AS (
    SELECT symbol, publisher_id, side, n, ts, price, is_open, known,
        lead(ts) OVER quote - ts AS life_ns,
        lag(price) OVER quote AS price_before, lead(price) OVER quote AS price_after
    FROM quotes
    WINDOW quote AS (PARTITION BY publisher_id, instrument_id, date, side ORDER BY n)
)
SELECT symbol, publisher_id, side, ts // 3600000000000 % 24 AS hour,
    count(*) FILTER (is_open) AS quotes,
    count(*) FILTER (is_open AND life_ns < $shorter) AS flickers,
    count(*) FILTER (is_open AND life_ns < $shorter AND price_before = price_after) AS returned,
    count(*) FILTER (is_open AND life_ns < $shorter) / nullif(count(*) FILTER (is_open), 0)
        AS flicker_share,
    quantile_disc(life_ns, 0.5) FILTER (is_open) AS p50_ns,
    count(*) FILTER (NOT is_open) AS left_out, bool_and(known) AS sessions_known
FROM lives
WHERE n > 1 AND price IS NOT NULL AND life_ns IS NOT NULL
GROUP BY ALL
ORDER BY symbol, publisher_id, side, hour
