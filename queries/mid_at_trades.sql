-- title: Mid at trades
-- question: Which quote stood when each trade was received?
-- reads: trades, mbp_1
-- param: delay DURATION = 1ns  how much older than the trade the quote must be, at least
-- column: ts_recv TIMESTAMP_NS  when the trade was received, UTC
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the publisher
-- column: sequence UINTEGER  the trade's
-- column: side VARCHAR  its aggressor: B, A, or N where it is not known
-- column: price BIGINT  at which it traded, in units of 1e-9
-- column: size BIGINT  of the trade, in units
-- column: bid_price BIGINT  the best bid of its book before, in units of 1e-9
-- column: bid_size BIGINT  its size, in units
-- column: ask_price BIGINT  the best ask of its book before, in units of 1e-9
-- column: ask_size BIGINT  its size, in units
-- column: mid DOUBLE  of both, in units of 1e-9; null where a side is empty
-- column: quote_age_ns BIGINT  how long before the trade the quote was received, in nanoseconds
-- source: the prevailing quote: the book's last state of which ts_recv is the trade's less delay,
--   or earlier, on the same date; with 1 ns, strictly before. tbbo has the book that a trade met,
--   which may be a later one of the same ts_recv
WITH states AS (
    -- The last state at each time. A trade's row shows the book that it met: no state. Events of
    -- one packet have the same ts_recv, and may have the same sequence; ts_event tells their order.
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
-- Trades with the same ts_recv, sequence and ts_event are one sweep: from the best price on.
ORDER BY t.ts_recv, symbol, t.publisher_id, t.sequence, t.ts_event,
    if(t.side = 'A', -t.price, t.price), t.size
