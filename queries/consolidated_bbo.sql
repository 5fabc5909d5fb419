-- title: Consolidated best bid and ask
-- question: What are the best bid and ask of a symbol over all its publishers, over time?
-- reads: mbp_1
-- column: ts TIMESTAMP_NS  from when on it stands, by ts_recv, UTC
-- column: symbol VARCHAR  the instrument
-- column: bid_price BIGINT  the highest bid, in units of 1e-9; null if there is none
-- column: bid_size BIGINT  sizes at it added up, in units
-- column: bid_publishers BIGINT  how many publishers have it
-- column: ask_price BIGINT  the lowest ask, in units of 1e-9; null if there is none
-- column: ask_size BIGINT  sizes at it added up, in units
-- column: ask_publishers BIGINT  how many publishers have it
-- source: the best price of each side over the books that publishers have at a moment; a book is
--   the one after its last event of that date. A row where anything changed, or a date begins. Bids
--   may be above asks: publishers' clocks differ, and no rule keeps them apart
WITH numbered AS (
    -- A trade's row shows the book that it met: no state. Of a publisher's rows at the same time
    -- the last one holds: events of one packet have the same ts_recv, and may have the same
    -- sequence; ts_event tells their order. A symbol is the same at all publishers, its instrument
    -- ids need not be. n counts the moments in which one of the symbol's books changed.
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, date,
        epoch_ns(ts_recv) AS ts, sequence, ts_event, bid_px_00 AS bid,
        bid_sz_00::BIGINT AS bid_size, ask_px_00 AS ask, ask_sz_00::BIGINT AS ask_size,
        dense_rank() OVER series AS n
    FROM mbp_1
    WHERE action <> 'T' AND ts_recv IS NOT NULL
    WINDOW series AS (
        PARTITION BY coalesce(symbol, instrument_id::VARCHAR), date ORDER BY ts_recv
    )
),
ends AS (SELECT symbol, date, max(n) AS last_n FROM numbered GROUP BY symbol, date),
states AS (
    SELECT numbered.*, coalesce(lead(n) OVER book, last_n + 1) AS next_n
    FROM numbered
    JOIN ends USING (symbol, date)
    WINDOW book AS (PARTITION BY symbol, date, publisher_id ORDER BY n, sequence, ts_event)
),
-- Each state at every moment in which it stands: so a moment has one of each publisher that has
-- said anything on that date.
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
        -- The moment's time is that of the states which are new in it.
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
