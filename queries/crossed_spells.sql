-- title: Crossed and locked spells
-- question: When did a book's best bid stand at or above its best ask, and for how long?
-- reads: mbp_1
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: ts_start TIMESTAMP_NS  of the event that crossed the book (ts_recv), UTC
-- column: ts_end TIMESTAMP_NS  of the event after which it was not crossed any more, UTC; null: it
--   was crossed in its last state of that day
-- column: duration_ns BIGINT  from the one to the other, in ns; null without an end
-- column: ts_last TIMESTAMP_NS  of the last crossed state that there is a row of, UTC
-- column: states BIGINT  how many states of the best levels the spell had
-- column: crossed_by BIGINT  bid less ask where it was greatest, in units of 1e-9; 0: only locked
-- source: crossed: bid > ask, locked: bid = ask; auctions cross (rule 22 of ARCHITECTURE.md)
WITH states AS (
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id, date,
        epoch_ns(ts_recv) AS ts, bid_px_00 - ask_px_00 AS crossed_by, row_number() OVER book AS n,
        coalesce(bid_px_00 >= ask_px_00, false) AS crossed,
        coalesce(lag(bid_px_00) OVER book >= lag(ask_px_00) OVER book, false) AS crossed_before,
        lead(epoch_ns(ts_recv)) OVER book AS next_ts
    FROM mbp_1
    -- A row of a T is no state of its own: it shows the book before the trade.
    WHERE action <> 'T' AND ts_recv IS NOT NULL
    -- Events of one packet may have one `sequence`; their `ts_event` then puts them in order.
    WINDOW book AS (
        PARTITION BY publisher_id, instrument_id, date ORDER BY ts_recv, sequence, ts_event
    )
),
spells AS (
    -- All crossed states of a spell have the same number of starts up to them. They are few, and
    -- counted among themselves.
    SELECT *,
        sum((NOT crossed_before)::INTEGER) OVER (
            PARTITION BY publisher_id, instrument_id, date ORDER BY n ROWS UNBOUNDED PRECEDING
        ) AS spell
    FROM states
    WHERE crossed
),
ends AS (
    SELECT symbol, publisher_id, min(ts) AS ts_start, max(ts) AS ts_last,
        CASE WHEN count(*) = count(next_ts) THEN max(next_ts) END AS ts_end,
        count(*) AS states, max(crossed_by) AS crossed_by
    FROM spells
    GROUP BY symbol, publisher_id, instrument_id, date, spell
)
SELECT symbol, publisher_id, make_timestamp_ns(ts_start) AS ts_start,
    make_timestamp_ns(ts_end) AS ts_end, ts_end - ts_start AS duration_ns,
    make_timestamp_ns(ts_last) AS ts_last, states, crossed_by
FROM ends
ORDER BY ALL
