-- title: Spread by hour
-- question: How wide is the quoted spread over the day, in its time-weighted mean?
-- reads: mbp_1
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: hour BIGINT  hour of the day, UTC
-- column: spread DOUBLE  mean of ask less bid, weighted by how long it stood, in units of 1e-9
-- column: seconds DOUBLE  how long both sides had a price in that hour, over all days
-- source: quoted spread, time-weighted: a state holds until the book's next row
WITH states AS (
    SELECT symbol, publisher_id, epoch_ns(ts_recv) AS ts, ask_px_00 - bid_px_00 AS spread,
        lead(epoch_ns(ts_recv)) OVER (
            PARTITION BY publisher_id, instrument_id, date ORDER BY ts_recv, sequence
        ) AS next_ts
    FROM mbp_1
)
SELECT symbol, publisher_id, ts // 3600000000000 % 24 AS hour,
    sum(spread::DOUBLE * (next_ts - ts)) / sum(next_ts - ts) AS spread,
    sum(next_ts - ts) / 1e9 AS seconds
FROM states
WHERE spread IS NOT NULL AND next_ts > ts
GROUP BY ALL
ORDER BY ALL
