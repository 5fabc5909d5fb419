-- title: Crossed and locked spells
-- question: When did a book's best bid stand at or above its best ask, and for how long?
-- reads: states_1
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: ts_start TIMESTAMP  ts_recv of the event that crossed the book, UTC
-- column: ts_end TIMESTAMP  ts_recv of the event that uncrossed the book, UTC; null: the book was
--   still crossed in the last state of its source
-- column: duration_ns BIGINT  ts_end less ts_start, in ns; null without an end
-- column: ts_last TIMESTAMP  ts_recv of the last crossed state that has a row, UTC
-- column: states BIGINT  how many states of the best levels the spell had
-- column: crossed_by PRICE  the greatest bid less ask of the spell; 0: the book was only locked
-- source: a book is crossed if bid > ask and locked if bid = ask; auctions cross books (rule 22 of
--   ARCHITECTURE.md)
WITH timed AS (
    -- A book's time is its greatest ts_recv so far; one with F_BAD_TS_RECV (8) outside a snapshot
    -- (32) does not count.
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, source,
        position, action, bid_px_00, ask_px_00,
        max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY position, action <> 'T'
            ROWS UNBOUNDED PRECEDING
        ) AS ts
    FROM states_1
),
states AS (
    SELECT symbol, publisher_id, instrument_id, source, ts, bid_px_00 - ask_px_00 AS crossed_by,
        position AS n,
        coalesce(bid_px_00 >= ask_px_00, false) AS crossed,
        coalesce(lag(bid_px_00) OVER book >= lag(ask_px_00) OVER book, false) AS crossed_before,
        lead(ts) OVER book AS next_ts
    FROM timed
    -- The row of a trade (T) is not a state: it has the book before the trade.
    WHERE action <> 'T' AND ts IS NOT NULL
    WINDOW book AS (PARTITION BY publisher_id, instrument_id, source ORDER BY position)
),
spells AS (
    -- All crossed states of a spell have the same number of starts before them. Crossed states are
    -- few; only they are counted.
    SELECT *,
        sum((NOT crossed_before)::INTEGER) OVER (
            PARTITION BY publisher_id, instrument_id, source ORDER BY n ROWS UNBOUNDED PRECEDING
        ) AS spell
    FROM states
    WHERE crossed
),
ends AS (
    SELECT symbol, publisher_id, min(ts) AS ts_start, max(ts) AS ts_last,
        CASE WHEN count(*) = count(next_ts) THEN max(next_ts) END AS ts_end,
        count(*) AS states, max(crossed_by) AS crossed_by
    FROM spells
    GROUP BY symbol, publisher_id, instrument_id, source, spell
)
SELECT symbol, publisher_id, make_timestamp_ns(ts_start) AS ts_start,
    make_timestamp_ns(ts_end) AS ts_end, ts_end - ts_start AS duration_ns,
    make_timestamp_ns(ts_last) AS ts_last, states, crossed_by
FROM ends
ORDER BY ALL
