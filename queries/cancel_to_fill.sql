-- title: Cancelled and filled size by distance from the best price
-- question: How much of an order is cancelled and how much filled, by its distance from the best
--   price when it was placed?
-- reads: orders, states_1
-- param: tick PRICE = 0.01  the unit of distances
-- param: most BIGINT = 10  distances beyond this, on either side of the best price, are counted as
--   this
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: ticks BIGINT  how many ticks behind the best price of its side the order was placed,
--   rounded down; negative: ahead of the best price; null: its side was empty, not yet known in
--   that source, or of a market that was not open
-- column: orders BIGINT  how many orders were placed there
-- column: added BIGINT  size of these orders when they were placed, and size that modifies added
--   later
-- column: filled BIGINT  size that was filled
-- column: cancelled BIGINT  size that was cancelled
-- column: censored BIGINT  size that was still in the book when the order was last seen
-- column: fill_ratio DOUBLE  filled / added
-- column: cancel_ratio DOUBLE  cancelled / added
-- column: cancel_to_fill DOUBLE  cancelled / filled; null if nothing was filled
-- column: left_out BIGINT  how many of these orders have no distance since the market was not open
-- column: sessions_known BOOLEAN  whether the status of trading was known at all these orders; if
--   not, only crossed and locked books give no distance
-- source: fill ratio and cancel ratio relative to the size added, as in `.mbo.orders()`

-- Orders with an unknown start (left_censored) are left out: the time at which they were placed is
-- unknown too. The distance is that of the first price; later modifies do not change it.
WITH timed AS (
    -- A book's time is its greatest ts_recv so far; one with F_BAD_TS_RECV (8) outside a snapshot
    -- (32) does not count.
    SELECT publisher_id, instrument_id, source, position, action, bid_px_00, ask_px_00,
        is_open, status IS NOT NULL AS known, epoch_ns(ts_status_end) AS status_end,
        max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY position, action <> 'T'
            ROWS UNBOUNDED PRECEDING
        ) AS ts
    FROM states_1
),
states AS (
    SELECT publisher_id, instrument_id, source, ts, bid_px_00, ask_px_00, is_open, known,
        status_end
    FROM timed
    -- The row of a trade (T) is not a state: it has the book before the trade.
    WHERE action <> 'T' AND ts IS NOT NULL
    -- The last state of several at one time.
    QUALIFY lead(ts) OVER (
        PARTITION BY publisher_id, instrument_id, source ORDER BY position
    ) IS DISTINCT FROM ts
),
entered AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id,
        source, epoch_ns(ts_recv_start) AS ts, side, price_start, added, filled, cancelled, "left"
    FROM orders
    WHERE NOT left_censored AND ts_recv_start IS NOT NULL
        AND if($tick > 0, true, error('tick: a price above 0 is expected'))
        AND if($most >= 0, true, error('most: 0 or more is expected'))
),
placed AS (
    -- A state is of an open market until its status ends.
    SELECT entered.*, states.known,
        states.is_open AND coalesce(entered.ts < states.status_end, true) AS is_open,
        CASE side WHEN 'B' THEN bid_px_00 - price_start ELSE price_start - ask_px_00 END AS distance
    FROM entered
    -- Strictly before: a state of the same time may result from the order itself.
    ASOF LEFT JOIN states
        ON entered.publisher_id = states.publisher_id
        AND entered.instrument_id = states.instrument_id
        AND entered.source = states.source
        AND entered.ts > states.ts
)
SELECT symbol, publisher_id,
    -- greatest and least ignore nulls.
    CASE WHEN distance IS NOT NULL AND is_open
        THEN least(greatest(floor(distance / $tick), -$most), $most)::BIGINT
    END AS ticks,
    count(*) AS orders,
    sum(added)::BIGINT AS added,
    sum(filled)::BIGINT AS filled,
    sum(cancelled)::BIGINT AS cancelled,
    sum("left")::BIGINT AS censored,
    sum(filled) / nullif(sum(added), 0) AS fill_ratio,
    sum(cancelled) / nullif(sum(added), 0) AS cancel_ratio,
    sum(cancelled) / nullif(sum(filled), 0) AS cancel_to_fill,
    count(*) FILTER (distance IS NOT NULL AND NOT is_open) AS left_out,
    coalesce(bool_and(coalesce(known, false)), false) AS sessions_known
FROM placed
GROUP BY ALL
ORDER BY symbol, publisher_id, ticks
