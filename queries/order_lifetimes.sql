-- title: Lifetimes of orders
-- question: How long do orders live, by how they end?
-- reads: orders
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: ended VARCHAR  how the orders ended: filled, cancelled, replaced (by another order with
--   the same id), cleared or alive
-- column: orders BIGINT  how many orders ended so
-- column: censored BIGINT  how many of them have an unknown start or end, and are in no quantile
-- column: min_ns BIGINT  shortest lifetime, by the venue's clock, in ns
-- column: p10_ns BIGINT  10th percentile of lifetimes, in ns
-- column: p50_ns BIGINT  median of lifetimes, in ns
-- column: p90_ns BIGINT  90th percentile of lifetimes, in ns
-- column: p99_ns BIGINT  99th percentile of lifetimes, in ns
-- column: max_ns BIGINT  longest lifetime, in ns
-- source: a lifetime lasts from the record that adds an order to the record that removes it
--   (ts_event); `.mbo.orders()` defines which starts and ends are unknown

-- Orders that are alive or cleared are censored, as are those that were first seen in a snapshot or
-- were placed before the records begin. An order that a later snapshot has again is one order. A lifetime is negative where the venue's clock ran backwards.
WITH lives AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, "end" AS ended,
        left_censored OR right_censored AS censored,
        epoch_ns(ts_end) - epoch_ns(ts_start) AS life_ns
    FROM orders
),
counted AS (
    SELECT symbol, publisher_id, ended, count(*) AS orders,
        count(*) FILTER (WHERE censored) AS censored,
        quantile_disc(life_ns, [0, 0.1, 0.5, 0.9, 0.99, 1]) FILTER (WHERE NOT censored) AS lives_ns
    FROM lives
    GROUP BY symbol, publisher_id, ended
)
SELECT symbol, publisher_id, ended, orders, censored, lives_ns[1] AS min_ns, lives_ns[2] AS p10_ns,
    lives_ns[3] AS p50_ns, lives_ns[4] AS p90_ns, lives_ns[5] AS p99_ns, lives_ns[6] AS max_ns
FROM counted
ORDER BY symbol, publisher_id, ended
