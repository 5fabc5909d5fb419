-- title: Mid at trades
-- question: What was the quote when each trade was received?
-- reads: states_1
-- param: delay DURATION = 1ns  least age of the quote, relative to the trade
-- column: ts_recv TIMESTAMP  time at which the trade was received, UTC
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the publisher
-- column: sequence UINTEGER  sequence number of the trade
-- column: side VARCHAR  side of the aggressor: B, A, or N if it is not known
-- column: price PRICE  price of the trade
-- column: size BIGINT  size of the trade, in units
-- column: bid_price PRICE  best bid of the book before the trade
-- column: bid_size BIGINT  size of the best bid, in units
-- column: ask_price PRICE  best ask of the book before the trade
-- column: ask_size BIGINT  size of the best ask, in units
-- column: mid MID  mean of the best bid and ask; null if a side is empty
-- column: quote_age_ns BIGINT  time from the quote to the trade, in nanoseconds
-- column: is_open BOOLEAN  whether the quote was of an open market at the trade: its book neither
--   crossed nor locked, its status, where it is known, of trading; null without a quote
-- source: the prevailing quote: the last state of the book whose time is at most the trade's time
--   less `delay`, in the same source; with 1 ns, a strictly earlier state. tbbo has the book just
--   before the trade, which may be a later state with the same time
WITH timed AS (
    -- A book's time is its greatest ts_recv so far; one with F_BAD_TS_RECV (8) outside a snapshot
    -- (32) does not count.
    SELECT *,
        max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY position, action <> 'T'
            ROWS UNBOUNDED PRECEDING
        ) AS ts
    FROM states_1
),
states AS (
    -- The last state at each time. The row of a trade is not a state: it has the book before the
    -- trade.
    SELECT publisher_id, instrument_id, source, ts, bid_px_00, bid_sz_00, ask_px_00, ask_sz_00,
        is_open, epoch_ns(ts_status_end) AS status_end
    FROM timed
    WHERE action <> 'T' AND ts IS NOT NULL
    QUALIFY lead(ts) OVER (
        PARTITION BY publisher_id, instrument_id, source ORDER BY position
    ) IS DISTINCT FROM ts
)
SELECT t.ts_recv, coalesce(t.symbol, t.instrument_id::VARCHAR) AS symbol, t.publisher_id,
    t.sequence, t.side, t.price, t.size::BIGINT AS size,
    s.bid_px_00 AS bid_price, s.bid_sz_00::BIGINT AS bid_size,
    s.ask_px_00 AS ask_price, s.ask_sz_00::BIGINT AS ask_size,
    (s.bid_px_00 + s.ask_px_00) / 2 AS mid, t.ts - s.ts AS quote_age_ns,
    s.is_open AND coalesce(t.ts < s.status_end, true) AS is_open
FROM (FROM timed WHERE action = 'T') t
ASOF LEFT JOIN states s
    ON s.publisher_id = t.publisher_id AND s.instrument_id = t.instrument_id
    AND s.source = t.source AND s.ts <= t.ts - $delay
ORDER BY t.source, t.position, symbol, t.publisher_id
