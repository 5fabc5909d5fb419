-- title: Candidates for iceberg orders
-- question: Which orders were filled for their whole displayed size, and then displayed or filled
--   more?
-- reads: orders
-- param: ratio DOUBLE = 1  least ratio of filled size to first size
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: order_id UBIGINT  the order
-- column: side VARCHAR  B: bid, A: ask
-- column: ts_start TIMESTAMP  ts_event of the record that placed it, UTC
-- column: price_start PRICE  its first price
-- column: size_start BIGINT  its first displayed size
-- column: filled BIGINT  its filled size
-- column: hidden BIGINT  size beyond its first size: refills, increases, and fills beyond its
--   displayed size
-- column: filled_ratio DOUBLE  filled / size_start
-- column: modifies BIGINT  how many modifies it had, refills among them
-- column: requeues BIGINT  how many modifies sent it to the back of a queue, as a refill does
-- column: ended VARCHAR  how it ended: filled, cancelled, replaced, cleared or alive
-- column: left_censored BOOLEAN  whether it was placed before the records begin: its first size is
--   then the size that was left
-- source: a heuristic after Zotikov and Antonov, "CME Iceberg Order Detection and Prediction"
--   (2019, arXiv:1909.09495): fills beyond the displayed size, and modifies that follow them

-- An order that its owner enlarged by hand, and that was then filled, looks the same. Icebergs that
-- the software of a member refills get another id with each refill and are not found.
SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, order_id, side, ts_start,
    price_start, size_start, filled,
    added - size_start AS hidden, filled / size_start AS filled_ratio, modifies, requeues,
    "end" AS ended, left_censored
FROM orders
WHERE added > size_start AND size_start > 0 AND filled >= greatest($ratio, 1) * size_start
ORDER BY symbol, publisher_id, filled DESC, ts_start, order_id
