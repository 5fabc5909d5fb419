-- title: Realised variance
-- question: How much did the mid move, day by day?
-- reads: bbo_1s
-- param: every DURATION = 5m  distance between the mids that are compared
-- param: data COVERAGE = lake  the times that the lake covers; no other value is possible
-- column: date DATE  the day, UTC
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: returns BIGINT  how many returns the sum has; intervals without a change are not counted
-- column: variance DOUBLE  sum of squared returns of the day
-- column: volatility DOUBLE  square root of variance: 0.01 is 1 % per day; not annualised
-- column: left_out BIGINT  how many seconds with a mid were left out, since the market was not open
-- column: sessions_known BOOLEAN  whether the status of trading was known throughout; if not, only
--   crossed and locked books are left out
-- column: complete BOOLEAN  whether the lake has records from the beginning of the day to its end
-- source: Andersen, Bollerslev, Diebold and Labys, "Modeling and forecasting realized volatility"
--   (2003): the sum of squared changes of the mid's logarithm, at the last second of each interval
--   (T - every, T]. A mid that is unknown, because a side is empty, or not positive is skipped;
--   so is that of a market that is not open (`is_open` of the view)
WITH mids AS (
    SELECT date, coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, instrument_id,
        (epoch_ns(ts_recv) + $every - 1) // $every AS w,
        arg_max(if(is_open, bid_px_00 + ask_px_00, NULL), ts_recv) AS twice_mid,
        count(*) FILTER (NOT is_open) AS left_out, bool_and(status IS NOT NULL) AS known,
        min(source) AS first_source, max(source) AS last_source
    FROM bbo_1s
    WHERE bid_px_00 + ask_px_00 > 0
    GROUP BY ALL
),
changes AS (
    SELECT date, symbol, publisher_id, w, left_out, known, first_source, last_source,
        ln(twice_mid) - ln(lag(twice_mid IGNORE NULLS) OVER (
            PARTITION BY date, publisher_id, instrument_id ORDER BY w
        )) AS change
    FROM mids
),
days AS (
    -- Summed in order, so that the sum is the same each time.
    SELECT date, symbol, publisher_id, count(nullif(change, 0)) AS returns,
        sum(change * change ORDER BY w) AS variance, sum(left_out)::BIGINT AS left_out,
        bool_and(known) AS sessions_known, min(first_source) AS first_source,
        max(last_source) AS last_source
    FROM changes
    GROUP BY ALL
    HAVING count(change) > 0 OR sum(left_out) > 0
),
coverage AS (SELECT unnest($data, recursive := true))
SELECT date, symbol, publisher_id, returns, variance, sqrt(variance) AS volatility, left_out,
    sessions_known, coalesce(opening.last_ns + 1 >= closing.first_ns, false) AS complete
FROM days
LEFT JOIN coverage AS opening ON opening.source = epoch_ns(first_source)
    AND opening.first_ns <= epoch_ns(date) AND opening.last_ns >= epoch_ns(date)
LEFT JOIN coverage AS closing ON closing.source = epoch_ns(last_source)
    AND closing.first_ns <= epoch_ns(date + 1) - 1 AND closing.last_ns >= epoch_ns(date + 1) - 1
ORDER BY ALL
