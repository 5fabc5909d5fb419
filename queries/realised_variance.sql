-- title: Realised variance
-- question: How much did the mid move, day by day?
-- reads: bbo_1s
-- param: every DURATION = 5m  how far apart the mids are that are compared
-- column: date DATE  the day, UTC
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: returns BIGINT  how many returns there were; one of an interval without a change is 0,
--   and is not counted
-- column: variance DOUBLE  the sum of their squares, of the day
-- column: volatility DOUBLE  its square root: 0.01 is 1 % in a day; not annualised
-- source: Andersen, Bollerslev, Diebold and Labys, "Modeling and forecasting realized volatility"
--   (2003): the sum of squared changes of the mid's logarithm, at the last second of each interval
--   (T - every, T]. A mid that is unknown, since a side is empty, or not positive is passed over
WITH mids AS (
    SELECT date, coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id,
        (epoch_ns(ts_recv) + $every - 1) // $every AS w,
        arg_max(bid_px_00 + ask_px_00, ts_recv) AS twice_mid
    FROM bbo_1s
    WHERE bid_px_00 + ask_px_00 > 0
    GROUP BY ALL
),
changes AS (
    SELECT date, symbol, publisher_id, w, ln(twice_mid) - ln(lag(twice_mid) OVER (
        PARTITION BY date, publisher_id, instrument_id ORDER BY w
    )) AS change
    FROM mids
)
-- Added up in order: so the sum is the same each time.
SELECT date, symbol, publisher_id, count(change) AS returns,
    sum(change * change ORDER BY w) AS variance, sqrt(sum(change * change ORDER BY w)) AS volatility
FROM changes
GROUP BY ALL
HAVING count(change) > 0
ORDER BY ALL
