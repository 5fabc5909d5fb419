-- title: Mid at trades
-- question: What was the quote when each trade was received?
-- reads: trades, mbp_1
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
-- column: quote_age_ns BIGINT  time from the quote's ts_recv to the trade's, in nanoseconds
-- source: the prevailing quote: the last state of the book whose ts_recv is at most the trade's
--   ts_recv less `delay`, on the same date; with 1 ns, a strictly earlier state. tbbo has the book
--   just before the trade, which may be a later state with the same ts_recv
WITH states AS (
    -- The last state at each time. The row of a trade is not a state: it has the book before the
    -- trade. Events of one packet share ts_recv, and may share sequence; then ts_event gives their
    -- order.
    SELECT publisher_id, instrument_id, date, epoch_ns(ts_recv) AS ts,
        bid_px_00, bid_sz_00, ask_px_00, ask_sz_00
    FROM mbp_1
    WHERE action <> 'T' AND ts_recv IS NOT NULL
    QUALIFY lead(epoch_ns(ts_recv)) OVER (
        PARTITION BY publisher_id, instrument_id, date ORDER BY ts_recv, sequence, ts_event
    ) IS DISTINCT FROM epoch_ns(ts_recv)
)
SELECT t.ts_recv, coalesce(t.symbol, t.instrument_id::VARCHAR) AS symbol, t.publisher_id,
    t.sequence, t.side, t.price, t.size::BIGINT AS size,
    s.bid_px_00 AS bid_price, s.bid_sz_00::BIGINT AS bid_size,
    s.ask_px_00 AS ask_price, s.ask_sz_00::BIGINT AS ask_size,
    (s.bid_px_00 + s.ask_px_00) / 2 AS mid, epoch_ns(t.ts_recv) - s.ts AS quote_age_ns
FROM trades t
ASOF LEFT JOIN states s
    ON s.publisher_id = t.publisher_id AND s.instrument_id = t.instrument_id AND s.date = t.date
    AND s.ts <= epoch_ns(t.ts_recv) - $delay
-- Trades with the same ts_recv, sequence and ts_event are one sweep, which begins at the best
-- price.
ORDER BY t.ts_recv, symbol, t.publisher_id, t.sequence, t.ts_event,
    if(t.side = 'A', -t.price, t.price), t.size
