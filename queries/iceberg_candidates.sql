-- title: Candidates for icebergs
-- question: Which orders were filled for all that they showed, and then showed or filled more?
-- reads: orders
-- param: ratio DOUBLE = 1  how often its first size an order was filled for, at least
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: order_id UBIGINT  the order
-- column: side VARCHAR  B: bid, A: ask
-- column: ts_start TIMESTAMP_NS  when it came, by the venue's clock, UTC
-- column: price_start BIGINT  its price then, in units of 1e-9
-- column: size_start BIGINT  the size that it showed then
-- column: filled BIGINT  the size for which it was filled
-- column: hidden BIGINT  size that it had beyond its first: refills, increases, and fills beyond
--   what it showed
-- column: filled_ratio DOUBLE  filled / size_start
-- column: modifies BIGINT  how many modifies it had, refills among them
-- column: requeues BIGINT  how often a modify sent it to the back of a queue, as a refill does
-- column: ended VARCHAR  filled, cancelled, replaced, cleared or alive
-- column: left_censored BOOLEAN  it was there before: its first size is what was left by then
-- source: a heuristic after Zotikov and Antonov, "CME Iceberg Order Detection and Prediction"
--   (2019, arXiv:1909.09495): fills beyond the size shown, and modifies that follow them

-- A heuristic: an order that its owner made larger by hand, and that was then filled, looks the
-- same; icebergs that a member's own software refills have another id each time and are not found.
SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, order_id, side, ts_start,
    price_start, size_start, filled,
    added - size_start AS hidden, filled / size_start AS filled_ratio, modifies, requeues,
    "end" AS ended, left_censored
FROM orders
WHERE added > size_start AND size_start > 0 AND filled >= greatest($ratio, 1) * size_start
ORDER BY symbol, publisher_id, filled DESC, ts_start, order_id
