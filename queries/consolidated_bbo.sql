-- title: Consolidated best bid and ask
-- question: What are the best bid and ask of a symbol over all its publishers, over time?
-- reads: states_1
-- column: ts TIMESTAMP  ts_recv from which the row holds, UTC
-- column: symbol VARCHAR  the instrument
-- column: bid_price PRICE  the highest bid; null if there is no bid
-- column: bid_size BIGINT  total size at that price, in units
-- column: bid_publishers BIGINT  how many publishers are at that price
-- column: ask_price PRICE  the lowest ask; null if there is no ask
-- column: ask_size BIGINT  total size at that price, in units
-- column: ask_publishers BIGINT  how many publishers are at that price
-- source: the best price of each side over the books of all publishers at one moment; a book is as
--   its last event of that date left it. The answer has a row where any column changes, and one
--   where a date begins. Bids may be above asks: the clocks of publishers differ, and no rule keeps
--   them apart
WITH timed AS (
    -- A book's time is its greatest ts_recv so far; one with F_BAD_TS_RECV (8) outside a snapshot
    -- (32) does not count.
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, date, source, position,
        action, bid_px_00 AS bid, bid_sz_00::BIGINT AS bid_size, ask_px_00 AS ask,
        ask_sz_00::BIGINT AS ask_size,
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
ends AS (SELECT symbol, date, max(n) AS last_n FROM numbered GROUP BY symbol, date),
states AS (
    SELECT numbered.*, coalesce(lead(n) OVER book, last_n + 1) AS next_n
    FROM numbered
    JOIN ends USING (symbol, date)
    WINDOW book AS (PARTITION BY symbol, date, publisher_id ORDER BY source, position)
),
-- Each state at every time at which it holds, so that a time has one state of each publisher with a
-- row on that date so far.
standing AS (
    SELECT symbol, date, unnest(range(n, next_n)) AS n, ts AS since,
        bid, bid_size, ask, ask_size
    FROM states
    WHERE next_n > n
),
quotes AS (
    SELECT *, max(bid) OVER moment AS best_bid, min(ask) OVER moment AS best_ask
    FROM standing
    WINDOW moment AS (PARTITION BY symbol, date, n)
),
consolidated AS (
    SELECT symbol, date, n, max(best_bid) AS bid_price,
        coalesce(sum(bid_size) FILTER (bid = best_bid), 0)::BIGINT AS bid_size,
        count(*) FILTER (bid = best_bid) AS bid_publishers, min(best_ask) AS ask_price,
        coalesce(sum(ask_size) FILTER (ask = best_ask), 0)::BIGINT AS ask_size,
        count(*) FILTER (ask = best_ask) AS ask_publishers,
        -- The time is that of the states that begin then.
        max(since) AS ts
    FROM quotes
    GROUP BY symbol, date, n
),
changed AS (
    SELECT * FROM consolidated
    WINDOW series AS (PARTITION BY symbol, date ORDER BY n)
    QUALIFY row_number() OVER series = 1
        OR bid_price IS DISTINCT FROM lag(bid_price) OVER series
        OR ask_price IS DISTINCT FROM lag(ask_price) OVER series
        OR bid_size <> lag(bid_size) OVER series OR ask_size <> lag(ask_size) OVER series
        OR bid_publishers <> lag(bid_publishers) OVER series
        OR ask_publishers <> lag(ask_publishers) OVER series
)
SELECT make_timestamp_ns(ts) AS ts, symbol, bid_price, bid_size, bid_publishers,
    ask_price, ask_size, ask_publishers
FROM changed
ORDER BY ts, symbol
