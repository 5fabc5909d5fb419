-- title: Time to fill by the queue ahead
-- question: How long until an order is first filled, by how much stood ahead of it when it came?
-- reads: orders
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: ahead_from BIGINT  least size ahead at its level in this bucket: 0, 1, 2, 4, 8 and so on
-- column: ahead_to BIGINT  greatest size ahead in this bucket
-- column: orders BIGINT  orders that came with so much ahead: the four counts that follow added up
-- column: filled BIGINT  those of them that had a fill
-- column: cancelled BIGINT  censored: they left, or were replaced, without one
-- column: still_open BIGINT  censored: alive at the end or cleared with their book, without a fill
-- column: requeued BIGINT  a modify sent them to the back of a queue: in none of the other figures
-- column: filled_share DOUBLE  filled / (filled + cancelled + still_open)
-- column: p10_ns BIGINT  tenth percentile of the time from entry to the first fill of those that
--   had one, by the venue's clock, in ns
-- column: p50_ns BIGINT  the median of it, in ns
-- column: p90_ns BIGINT  the ninetieth percentile of it, in ns
-- source: queue ahead as in `.mbo.orders()`; that cancelled orders are censored is the view of Lo,
--   MacKinlay and Zhang, "Econometric models of limit-order executions" (2002)

-- The quantiles are those of filled ones alone. Who was cancelled or is still there would have been
-- filled later, if at all, so they are too short by what the two censored counts hide.
-- Orders whose start is not known (left_censored) met a queue that is not known, and are left out.
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
        -- The highest bit, without a logarithm that might round.
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
