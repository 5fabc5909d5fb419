-- title: Time to fill by the queue ahead
-- question: How long until an order is first filled, by the size ahead of it when it was placed?
-- reads: orders
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: ahead_from BIGINT  least size ahead in this bucket: 0, 1, 2, 4, 8 and so on
-- column: ahead_to BIGINT  greatest size ahead in this bucket
-- column: orders BIGINT  how many orders were placed with such a size ahead: the sum of the next
--   four counts
-- column: filled BIGINT  how many of them had a fill
-- column: cancelled BIGINT  how many were cancelled or replaced before a fill (censored)
-- column: still_open BIGINT  how many were alive at the end, or cleared with their book, before a
--   fill (censored)
-- column: requeued BIGINT  how many a modify sent to the back of a queue; no other column counts
--   them
-- column: filled_share DOUBLE  filled / (filled + cancelled + still_open)
-- column: p10_ns BIGINT  10th percentile of the time from placing to the first fill, over filled
--   orders, by the venue's clock, in ns
-- column: p50_ns BIGINT  median of the time to the first fill, in ns
-- column: p90_ns BIGINT  90th percentile of the time to the first fill, in ns
-- source: size ahead as in `.mbo.orders()`; cancelled orders are censored as in Lo, MacKinlay and
--   Zhang, "Econometric models of limit-order executions" (2002)

-- The quantiles cover filled orders alone. Orders that were cancelled or are still open would have
-- been filled later, if at all, so the quantiles are lower bounds. Orders with an unknown start
-- (left_censored) are left out: the size ahead of them is unknown too.
WITH entered AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, ahead_size,
        epoch_ns(ts_first_fill) - epoch_ns(ts_start) AS wait_ns,
        CASE
            WHEN requeues > 0 THEN 'requeued'
            WHEN fill_ahead_orders IS NOT NULL THEN 'filled'
            WHEN right_censored THEN 'open'
            ELSE 'cancelled'
        END AS outcome
    FROM orders
    WHERE NOT left_censored
),
bucketed AS (
    SELECT *,
        -- The highest bit; a logarithm might round.
        CASE WHEN ahead_size > 0 THEN 1::BIGINT << (length(bin(ahead_size)) - 1) ELSE 0 END AS least
    FROM entered
),
counted AS (
    SELECT symbol, publisher_id, least, count(*) AS orders,
        count(*) FILTER (WHERE outcome = 'filled') AS filled,
        count(*) FILTER (WHERE outcome = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE outcome = 'open') AS still_open,
        count(*) FILTER (WHERE outcome = 'requeued') AS requeued,
        quantile_disc(wait_ns, [0.1, 0.5, 0.9]) FILTER (WHERE outcome = 'filled') AS waits
    FROM bucketed
    GROUP BY symbol, publisher_id, least
)
SELECT symbol, publisher_id, least AS ahead_from, greatest(2 * least - 1, 0) AS ahead_to, orders,
    filled, cancelled, still_open, requeued,
    filled / nullif(filled + cancelled + still_open, 0) AS filled_share,
    waits[1] AS p10_ns, waits[2] AS p50_ns, waits[3] AS p90_ns
FROM counted
ORDER BY symbol, publisher_id, ahead_from
