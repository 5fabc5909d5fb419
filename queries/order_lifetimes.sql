-- title: Lifetimes of orders
-- question: How long do orders live, by how they ended?
-- reads: orders
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: ended VARCHAR  filled, cancelled, replaced (by another of its id), cleared or alive
-- column: orders BIGINT  orders that ended so
-- column: censored BIGINT  those whose start or end is not known: in no quantile
-- column: min_ns BIGINT  the shortest life, by the venue's clock, in ns
-- column: p10_ns BIGINT  tenth percentile of lives, in ns
-- column: p50_ns BIGINT  median of lives, in ns
-- column: p90_ns BIGINT  ninetieth percentile of lives, in ns
-- column: p99_ns BIGINT  99th percentile of lives, in ns
-- column: max_ns BIGINT  the longest life, in ns
-- source: lifetime: from the record that put an order into the book to the one that removed it
--   (ts_event); `.mbo.orders()` says which starts and ends are not known

-- All of those alive or cleared are censored, and so is who came with a snapshot or was there when
-- the records began. A life may be negative where the venue's clock ran backwards.
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
