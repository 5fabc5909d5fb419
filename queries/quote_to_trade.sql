-- title: Messages and size per trade
-- question: How many messages, and how much added size, does it take for one trade, by hour?
-- reads: mbo
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: hour BIGINT  hour of the day, UTC, over all dates; null of records without a time
-- column: messages BIGINT  adds, cancels and modifies; also a cancel or modify that only removes
--   what a fill took
-- column: trades BIGINT  trades
-- column: messages_per_trade DOUBLE  messages / trades; null without a trade
-- column: size_added BIGINT  size of the adds of orders; what modifies added is not in it
-- column: size_traded BIGINT  size of the trades
-- column: added_per_traded DOUBLE  size_added / size_traded; null if nothing was traded
-- source: order-to-trade ratio, of messages and of size: plain counts of records by action

-- A snapshot (F_SNAPSHOT, 32) is the vendor's, no message of the market. An add of a top-of-book
-- publisher or of a level (F_TOB, F_MBP: 64, 16) is a message, but its size was not added.
WITH hours AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id,
        epoch_ns(ts_recv) // 3600000000000 % 24 AS hour,
        count(*) FILTER (WHERE action IN ('A', 'C', 'M')) AS messages,
        count(*) FILTER (WHERE action = 'T') AS trades,
        sum(size) FILTER (WHERE action = 'A' AND (flags & 80) = 0) AS size_added,
        sum(size) FILTER (WHERE action = 'T') AS size_traded
    FROM mbo
    WHERE (flags & 32) = 0
    GROUP BY ALL
)
SELECT symbol, publisher_id, hour, messages, trades,
    messages / nullif(trades, 0) AS messages_per_trade,
    coalesce(size_added, 0)::BIGINT AS size_added,
    coalesce(size_traded, 0)::BIGINT AS size_traded,
    coalesce(size_added, 0) / nullif(size_traded, 0) AS added_per_traded
FROM hours
ORDER BY symbol, publisher_id, hour
