-- title: Time at the best bid and ask by publisher
-- question: For what share of the time is each publisher at the best bid and ask of a symbol?
-- reads: states_1
-- column: date DATE  the day, UTC
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the publisher
-- column: bid_share DOUBLE  share of the time with a bid of any publisher, from 0 to 1; null if
--   there was none
-- column: ask_share DOUBLE  share of the time with an ask of any publisher, from 0 to 1; null if
--   there was none
-- column: bid_alone_share DOUBLE  share of the same time in which it was alone at the best bid
-- column: ask_alone_share DOUBLE  share of the same time in which it was alone at the best ask
-- column: both_share DOUBLE  share of the time with a bid and an ask in which it was at both best
--   prices
-- column: bid_seconds DOUBLE  seconds in which any publisher had a bid
-- column: ask_seconds DOUBLE  seconds in which any publisher had an ask
-- column: left_out_seconds DOUBLE  seconds in which its book was left out, since its market was not
--   open
-- column: sessions_known BOOLEAN  whether the status of trading was known throughout for this
--   publisher; if not, only crossed and locked books are left out
-- source: the best price of each side over the books of all publishers at one moment; a state holds
--   until the next change of any book of the symbol on that date. Ties count for each publisher, so
--   that shares may add up to more than 1. A book of a market that is not open counts as empty
--   (`is_open` of the view; a state's whole time, also if its status ends before)
WITH timed AS (
    -- A book's time is its greatest ts_recv so far; one with F_BAD_TS_RECV (8) outside a snapshot
    -- (32) does not count.
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, date, source, position,
        action, if(is_open, bid_px_00, NULL) AS bid, if(is_open, ask_px_00, NULL) AS ask,
        is_open, status IS NOT NULL AS known,
        max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY position, action <> 'T'
            ROWS UNBOUNDED PRECEDING
        ) AS ts
    FROM states_1
),
numbered AS (
    -- The row of a trade is not a state: it has the book before the trade. Of several rows of a
    -- publisher at the same time the last one holds. A symbol is the same at all publishers, its
    -- instrument ids may differ. n counts the times at which a book of the symbol changed.
    SELECT *, dense_rank() OVER (PARTITION BY symbol, date ORDER BY ts) AS n
    FROM timed
    WHERE action <> 'T' AND ts IS NOT NULL
),
moments AS (
    SELECT symbol, date, n, ts,
        lead(ts) OVER (PARTITION BY symbol, date ORDER BY n) - ts AS ns
    FROM (SELECT DISTINCT symbol, date, n, ts FROM numbered)
),
ends AS (SELECT symbol, date, max(n) AS last_n FROM moments GROUP BY symbol, date),
states AS (
    SELECT numbered.*, if(lag(n) OVER book IS NULL, 1, n) AS from_n,
        coalesce(lead(n) OVER book, last_n + 1) AS next_n
    FROM numbered
    JOIN ends USING (symbol, date)
    WINDOW book AS (PARTITION BY symbol, date, publisher_id ORDER BY source, position)
),
-- Each state at every time at which it holds, so that a time has one state of each publisher;
-- before the first state of a publisher it has no prices.
spread_out AS (SELECT *, unnest(range(from_n, next_n)) AS moment_n FROM states),
standing AS (
    SELECT symbol, date, moment_n AS n, publisher_id, known,
        moment_n >= n AND NOT is_open AS is_left_out,
        if(moment_n < n, NULL, bid) AS bid, if(moment_n < n, NULL, ask) AS ask
    FROM spread_out
),
quotes AS (
    SELECT *, max(bid) OVER moment AS best_bid, min(ask) OVER moment AS best_ask
    FROM standing
    WINDOW moment AS (PARTITION BY symbol, date, n)
),
counted AS (
    -- FILTER would make this window far slower.
    SELECT *, count(if(bid = best_bid, 1, NULL)) OVER moment AS bids,
        count(if(ask = best_ask, 1, NULL)) OVER moment AS asks
    FROM quotes
    WINDOW moment AS (PARTITION BY symbol, date, n)
)
SELECT date, symbol, publisher_id,
    coalesce(sum(ns) FILTER (bid = best_bid), 0) / sum(ns) FILTER (bids > 0) AS bid_share,
    coalesce(sum(ns) FILTER (ask = best_ask), 0) / sum(ns) FILTER (asks > 0) AS ask_share,
    coalesce(sum(ns) FILTER (bid = best_bid AND bids = 1), 0)
        / sum(ns) FILTER (bids > 0) AS bid_alone_share,
    coalesce(sum(ns) FILTER (ask = best_ask AND asks = 1), 0)
        / sum(ns) FILTER (asks > 0) AS ask_alone_share,
    coalesce(sum(ns) FILTER (bid = best_bid AND ask = best_ask), 0)
        / sum(ns) FILTER (bids > 0 AND asks > 0) AS both_share,
    coalesce(sum(ns) FILTER (bids > 0), 0) / 1e9 AS bid_seconds,
    coalesce(sum(ns) FILTER (asks > 0), 0) / 1e9 AS ask_seconds,
    coalesce(sum(ns) FILTER (is_left_out), 0) / 1e9 AS left_out_seconds,
    bool_and(known) AS sessions_known
FROM counted
JOIN moments USING (symbol, date, n)
GROUP BY date, symbol, publisher_id
ORDER BY date, symbol, publisher_id
