-- title: Order flow imbalance and returns
-- question: How far does the mid move per unit of order flow imbalance, and how much of its
--   variance does that explain?
-- reads: states_1
-- param: every DURATION = 10s  the length of a window
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: date DATE  the day of a window's last nanosecond, UTC; each day has its own regression
-- column: windows BIGINT  how many windows the regression uses
-- column: slope PRICE_DOUBLE  change of the mid per unit of imbalance, a price per unit of size; null
--   if all imbalances are equal
-- column: intercept PRICE_DOUBLE  change of the mid at an imbalance of 0
-- column: r2 DOUBLE  share of the variance of the mid's change that the line explains, from 0 to 1
-- column: left_out BIGINT  how many states were left out, since the market was not open
-- column: sessions_known BOOLEAN  whether the status of trading was known throughout; if not, only
--   crossed and locked books are left out
-- source: Cont, Kukanov and Stoikov, "The price impact of order book events" (2014,
--   arXiv:1011.6402): a least squares line, with intercept, of the mid's change on OFI. Windows are
--   (T - every, T]; only those in which the book's best levels changed count. A window has no
--   change of the mid if a side is empty at one of its ends, or if the book was cleared (R,
--   snapshot) in it
WITH ordered AS (
    -- All rows but those of trades are states; the row of a trade has the book before the trade.
    -- A series restarts where the book is cleared, and with each source.
    SELECT publisher_id, instrument_id, source, action,
        coalesce(symbol, instrument_id::VARCHAR) AS symbol,
        -- A book's time is its greatest ts_recv so far, or its first known one; one with
        -- F_BAD_TS_RECV (8) outside a snapshot (32) does not count.
        (coalesce(
            max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (book ROWS UNBOUNDED PRECEDING),
            first_value(if((flags & 40) = 8, NULL, epoch_ns(ts_recv)) IGNORE NULLS) OVER (
                book ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
            )
        ) + $every - 1) // $every AS w,
        bid_px_00 AS b, ask_px_00 AS a, bid_sz_00::BIGINT AS qb, ask_sz_00::BIGINT AS qa,
        row_number() OVER book AS n,
        is_open, status IS NOT NULL AS known,
        action = 'R' OR (action <> 'T' AND (flags & 32) <> 0) AS is_restart
    FROM states_1
    WINDOW book AS (
        PARTITION BY publisher_id, instrument_id, source ORDER BY position, action <> 'T'
    )
),
states AS (
    SELECT *,
        -- FILTER would make this window far slower.
        count(if(is_restart, 1, NULL)) OVER (book ROWS UNBOUNDED PRECEDING) AS clears,
        count(if(NOT is_open, 1, NULL)) OVER (book ROWS UNBOUNDED PRECEDING) AS left_out_so_far,
        lag(is_open) OVER book AS open_before,
        lag(b) OVER book AS b_before, lag(a) OVER book AS a_before,
        lag(qb) OVER book AS qb_before, lag(qa) OVER book AS qa_before
    FROM ordered
    WHERE action <> 'T'
    WINDOW book AS (PARTITION BY publisher_id, instrument_id, source ORDER BY n)
),
per_window AS (
    SELECT symbol, publisher_id, instrument_id, source, w,
        -- Of one series are states of an open market, without one left out or a clear between them.
        arg_max(2 * (clears + left_out_so_far) + is_open::BIGINT, n) AS series,
        -- A comparison with a missing price is null, and so is the sum.
        sum(if(is_restart OR NOT is_open OR NOT open_before, NULL,
            (b >= b_before)::BIGINT * qb - (b <= b_before)::BIGINT * qb_before
            - (a <= a_before)::BIGINT * qa + (a >= a_before)::BIGINT * qa_before)) AS ofi,
        arg_max_null(b + a, n) AS twice_mid,
        count(*) FILTER (NOT is_open) AS left_out, bool_and(known) AS known
    FROM states
    GROUP BY ALL
),
changes AS (
    SELECT symbol, publisher_id,
        -- In integers: a cast to DATE rounds to microseconds.
        DATE '1970-01-01' + ((w * $every - 1) // 86400000000000)::INTEGER AS date,
        left_out, known, ofi AS x,
        if(series = lag(series) OVER book, twice_mid - lag(twice_mid) OVER book, NULL) AS y
    FROM per_window
    WINDOW book AS (PARTITION BY publisher_id, instrument_id, source ORDER BY w)
),
-- Sums of integers do not depend on the order of addition. y is doubled.
sums AS (
    SELECT symbol, publisher_id, date, count(x * y)::HUGEINT AS n,
        sum(x) FILTER (y IS NOT NULL) AS x, sum(y::HUGEINT) FILTER (x IS NOT NULL) AS y,
        sum(x * x) FILTER (y IS NOT NULL) AS xx, sum(x * y) AS xy,
        sum(y::HUGEINT * y) FILTER (x IS NOT NULL) AS yy,
        sum(left_out)::BIGINT AS left_out, bool_and(known) AS known
    FROM changes
    GROUP BY ALL
    HAVING count(x * y) > 0
),
moments AS (
    SELECT *, n * xx - x * x AS vx, (n * xy - x * y)::DOUBLE AS cxy,
        n::DOUBLE * yy::DOUBLE - y::DOUBLE * y::DOUBLE AS vy
    FROM sums
)
SELECT symbol, publisher_id, date, n::BIGINT AS windows,
    cxy / nullif(vx, 0)::DOUBLE / 2 AS slope,
    (y - cxy / nullif(vx, 0)::DOUBLE * x) / n / 2 AS intercept,
    cxy / nullif(vx, 0)::DOUBLE * (cxy / nullif(vy, 0)) AS r2,
    left_out, known AS sessions_known
FROM moments
ORDER BY ALL
