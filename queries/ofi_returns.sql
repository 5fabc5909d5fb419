-- title: Order flow imbalance and returns
-- question: How far does the mid move per unit of order flow imbalance, and how much does that
--   explain?
-- reads: mbp_1
-- param: every DURATION = 10s  the length of a window
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: date DATE  the day, UTC; each is a regression of its own
-- column: windows BIGINT  how many windows the line goes through
-- column: slope DOUBLE  the mid's change per unit of imbalance, in units of 1e-9 per unit of size;
--   null if all imbalances are equal
-- column: intercept DOUBLE  the mid's change where the imbalance is 0, in units of 1e-9
-- column: r2 DOUBLE  what share of the change's variance the line explains, from 0 to 1
-- source: Cont, Kukanov and Stoikov, "The price impact of order book events" (2014,
--   arXiv:1011.6402): a least squares line, with intercept, of the mid's change on OFI. Windows are
--   (T - every, T], those in which the book's best levels changed. A window has no change of the
--   mid where a side is empty at one of its ends, or the book was cleared (R, snapshot) in it
WITH ordered AS (
    -- States are the rows that are not of a trade, which shows the book that it met. Events of one
    -- packet have the same ts_recv, and may have the same sequence; ts_event then tells their
    -- order. A series restarts where the book is cleared, and with each
    -- date.
    SELECT publisher_id, instrument_id, date,
        coalesce(symbol, instrument_id::VARCHAR) AS symbol,
        -- By the book's clock: F_BAD_TS_RECV (8), as a snapshot's, has the time of the row before,
        -- or of the date's first that has one.
        (coalesce(
            max(if((flags & 8) = 0, epoch_ns(ts_recv), NULL)) OVER (book ROWS UNBOUNDED PRECEDING),
            min(if((flags & 8) = 0, epoch_ns(ts_recv), NULL)) OVER (
                PARTITION BY publisher_id, instrument_id, date
            ),
            epoch_ns(ts_recv)
        ) + $every - 1) // $every AS w,
        bid_px_00 AS b, ask_px_00 AS a, bid_sz_00::BIGINT AS qb, ask_sz_00::BIGINT AS qa,
        row_number() OVER book AS n,
        -- Not by FILTER, which windows take far longer for.
        count(if(action = 'R' OR (flags & 32) <> 0, 1, NULL)) OVER (
            book ROWS UNBOUNDED PRECEDING
        ) AS series,
        lag(bid_px_00) OVER book AS b_before, lag(ask_px_00) OVER book AS a_before,
        lag(bid_sz_00::BIGINT) OVER book AS qb_before,
        lag(ask_sz_00::BIGINT) OVER book AS qa_before,
        action = 'R' OR (flags & 32) <> 0 AS is_restart
    FROM mbp_1
    WHERE action <> 'T' AND ts_recv IS NOT NULL
    WINDOW book AS (
        PARTITION BY publisher_id, instrument_id, date ORDER BY ts_recv, sequence, ts_event
    )
),
per_window AS (
    SELECT symbol, publisher_id, instrument_id, date, w, max(series) AS series,
        -- A comparison with a price that is not there is null, and so is the sum.
        sum(if(is_restart, NULL,
            (b >= b_before)::BIGINT * qb - (b <= b_before)::BIGINT * qb_before
            - (a <= a_before)::BIGINT * qa + (a >= a_before)::BIGINT * qa_before)) AS ofi,
        arg_max_null(b + a, n) AS twice_mid
    FROM ordered
    GROUP BY ALL
),
changes AS (
    SELECT symbol, publisher_id, date, ofi AS x,
        if(series = lag(series) OVER book, twice_mid - lag(twice_mid) OVER book, NULL) AS y
    FROM per_window
    WINDOW book AS (PARTITION BY publisher_id, instrument_id, date ORDER BY w)
),
-- Sums of integers: they do not depend on the order in which they were made. y is doubled.
sums AS (
    SELECT symbol, publisher_id, date, count(*)::HUGEINT AS n, sum(x) AS x,
        sum(y::HUGEINT) AS y, sum(x * x) AS xx, sum(x * y) AS xy, sum(y::HUGEINT * y) AS yy
    FROM changes
    WHERE x IS NOT NULL AND y IS NOT NULL
    GROUP BY ALL
),
moments AS (
    SELECT *, n * xx - x * x AS vx, (n * xy - x * y)::DOUBLE AS cxy,
        n::DOUBLE * yy::DOUBLE - y::DOUBLE * y::DOUBLE AS vy
    FROM sums
)
SELECT symbol, publisher_id, date, n::BIGINT AS windows,
    cxy / nullif(vx, 0)::DOUBLE / 2 AS slope,
    (y - cxy / nullif(vx, 0)::DOUBLE * x) / n / 2 AS intercept,
    cxy / nullif(vx, 0)::DOUBLE * (cxy / nullif(vy, 0)) AS r2
FROM moments
ORDER BY ALL
