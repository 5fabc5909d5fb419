-- title: Cancelled and filled by distance from the best
-- question: What becomes of orders, by how far from the best of their side they were placed?
-- reads: orders, mbp_1
-- param: tick PRICE = 0.01  the unit of distances
-- param: most BIGINT = 10  greater distances, on either side of the best, are put together with it
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: ticks BIGINT  how many ticks worse than the best of its side an order was placed, rounded
--   down; negative: better than the best; null: its side was empty, or not known yet that day
-- column: orders BIGINT  orders placed there
-- column: added BIGINT  their size: what they were placed with, and what was added to it later
-- column: filled BIGINT  size that was filled
-- column: cancelled BIGINT  size that was cancelled
-- column: censored BIGINT  size that was still there when the order was last seen
-- column: fill_ratio DOUBLE  filled / added
-- column: cancel_ratio DOUBLE  cancelled / added
-- column: cancel_to_fill DOUBLE  cancelled / filled; null if nothing was filled
-- source: fill ratio and cancel ratio as in `.mbo.orders()`: of the size that was added

-- Orders whose start is not known (left_censored) were placed at a time that is not known either,
-- and are left out. The price is that of the start: where it went later does not count.
WITH states AS (
    SELECT publisher_id, instrument_id, date, epoch_ns(ts_recv) AS ts, bid_px_00, ask_px_00
    FROM mbp_1
    -- A row of a T is no state of its own: it shows the book before the trade.
    WHERE action <> 'T' AND ts_recv IS NOT NULL
    -- Of several states of one moment, the last; `sequence` may be one for events of one packet,
    -- which their `ts_event` then puts in order.
    QUALIFY lead(epoch_ns(ts_recv)) OVER (
        PARTITION BY publisher_id, instrument_id, date ORDER BY ts_recv, sequence, ts_event
    ) IS DISTINCT FROM epoch_ns(ts_recv)
),
entered AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id,
        ts_recv_start::DATE AS date,
        epoch_ns(ts_recv_start) AS ts, side, price_start, added, filled, cancelled, "left"
    FROM orders
    WHERE NOT left_censored AND ts_recv_start IS NOT NULL
        AND if($tick > 0, true, error('tick: a price above 0 is expected'))
        AND if($most >= 0, true, error('most: 0 or more is expected'))
),
placed AS (
    SELECT entered.*,
        CASE side WHEN 'B' THEN bid_px_00 - price_start ELSE price_start - ask_px_00 END AS distance
    FROM entered
    -- Strictly before: a state of the same moment may be the one that the order itself made.
    ASOF LEFT JOIN states
        ON entered.publisher_id = states.publisher_id
        AND entered.instrument_id = states.instrument_id
        AND entered.date = states.date
        AND entered.ts > states.ts
)
SELECT symbol, publisher_id,
    -- Of a null and a number, greatest and least are the number.
    CASE WHEN distance IS NOT NULL
        THEN least(greatest(floor(distance / $tick), -$most), $most)::BIGINT
    END AS ticks,
    count(*) AS orders,
    sum(added)::BIGINT AS added,
    sum(filled)::BIGINT AS filled,
    sum(cancelled)::BIGINT AS cancelled,
    sum("left")::BIGINT AS censored,
    sum(filled) / nullif(sum(added), 0) AS fill_ratio,
    sum(cancelled) / nullif(sum(added), 0) AS cancel_ratio,
    sum(cancelled) / nullif(sum(filled), 0) AS cancel_to_fill
FROM placed
GROUP BY ALL
ORDER BY symbol, publisher_id, ticks
