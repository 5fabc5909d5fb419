-- title: Flickering quotes
-- question: How many best quotes live only for a moment, and how many of them go back at once?
-- reads: mbp_1
-- param: shorter DURATION = 100ms  a quote that lives less than this flickers
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: side VARCHAR  B: best bids, A: best asks
-- column: hour BIGINT  hour of the day in which the quote began, UTC, over all dates
-- column: quotes BIGINT  best prices that came and went, whatever their size did meanwhile
-- column: flickers BIGINT  those that lived less than `shorter`
-- column: returned BIGINT  flickers after which the best price was again what it had been before
-- column: flicker_share DOUBLE  flickers / quotes
-- column: p50_ns BIGINT  median life of all quotes, in ns
-- source: a quote lives from the event that made its price the best to the event after which it is
--   not; compare the fleeting orders of Hasbrouck and Saar, "Technology and liquidity provision"
--   (2009), which live less than two seconds

-- The first quote of a book's day began at a time that is not known, and the last one ended at
-- none: neither is counted. An empty side ends a quote and is none.
WITH states AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, date,
        epoch_ns(ts_recv) AS ts,
        bid_px_00 AS bid, ask_px_00 AS ask, row_number() OVER book AS n,
        lag(bid_px_00) OVER book AS bid_before, lag(ask_px_00) OVER book AS ask_before
    FROM mbp_1
    -- A row of a T is no state of its own: it shows the book before the trade.
    WHERE action <> 'T' AND ts_recv IS NOT NULL
    -- Events of one packet may have one `sequence`; their `ts_event` then puts them in order.
    WINDOW book AS (
        PARTITION BY publisher_id, instrument_id, date ORDER BY ts_recv, sequence, ts_event
    )
),
quotes AS (
    SELECT symbol, publisher_id, instrument_id, date, 'B' AS side, n, ts, bid AS price
    FROM states
    WHERE n = 1 OR bid IS DISTINCT FROM bid_before
    UNION ALL
    SELECT symbol, publisher_id, instrument_id, date, 'A' AS side, n, ts, ask AS price
    FROM states
    WHERE n = 1 OR ask IS DISTINCT FROM ask_before
),
lives AS (
    SELECT symbol, publisher_id, side, n, ts, price, lead(ts) OVER quote - ts AS life_ns,
        lag(price) OVER quote AS price_before, lead(price) OVER quote AS price_after
    FROM quotes
    WINDOW quote AS (PARTITION BY publisher_id, instrument_id, date, side ORDER BY n)
)
SELECT symbol, publisher_id, side, ts // 3600000000000 % 24 AS hour,
    count(*) AS quotes,
    count(*) FILTER (WHERE life_ns < $shorter) AS flickers,
    count(*) FILTER (WHERE life_ns < $shorter AND price_before = price_after) AS returned,
    count(*) FILTER (WHERE life_ns < $shorter) / count(*) AS flicker_share,
    quantile_disc(life_ns, 0.5) AS p50_ns
FROM lives
WHERE n > 1 AND price IS NOT NULL AND life_ns IS NOT NULL
GROUP BY ALL
ORDER BY symbol, publisher_id, side, hour
