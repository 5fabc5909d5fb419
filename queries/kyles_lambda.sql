-- title: Kyle's lambda
-- question: How far does each unit of signed volume move the mid, window by window?
-- reads: states_1
-- param: every DURATION = 5m  the length of a window
-- param: data COVERAGE = lake  the times that the lake covers; no other value is possible
-- column: ts TIMESTAMP  end T of the window (T - every, T], UTC
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: trade_count BIGINT  how many trades the window has
-- column: volume BIGINT  total size of these trades, in units
-- column: signed_volume BIGINT  size bought less size sold, in units
-- column: mid_start MID  mid of the last state before the window
-- column: mid_end MID  mid of the last state in or before the window
-- column: mid_change MID  mid_end less mid_start; null if the book was cleared in between, and in
--   the first window of a date
-- column: kyle_lambda PRICE_DOUBLE  slope of the mid's change on signed volume, trade by trade: a
--   price per unit of size; null if all signed volumes are equal
-- column: left_out BIGINT  how many states were left out, since the market was not open
-- column: sessions_known BOOLEAN  whether the status of trading was known throughout; if not, only
--   crossed and locked books are left out
-- column: complete BOOLEAN  whether the lake has records from the beginning of the window to its end
-- source: Kyle, "Continuous auctions and insider trading" (1985): a least squares line with
--   intercept. Steps are as in `.mbo.window_measures`: from the mid just before a trade to the mid
--   just before the next trade, and from the last trade to mid_end. Trades of side N are signed by
--   the rule of Lee and Ready, "Inferring trade direction from intraday data" (1991).
--   States of a market that is not open are left out (`is_open` of the view), and the series of
--   states restarts after them; trades are never left out
WITH ordered AS (
    -- A series restarts where the book is cleared (R, snapshot) and with each source.
    SELECT publisher_id, instrument_id, source,
        coalesce(symbol, instrument_id::VARCHAR) AS symbol,
        -- A book's time is its greatest ts_recv so far, or its first known one; one with
        -- F_BAD_TS_RECV (8) outside a snapshot (32) does not count.
        (coalesce(
            max(if((flags & 40) = 8, NULL, epoch_ns(ts_recv))) OVER (book ROWS UNBOUNDED PRECEDING),
            first_value(if((flags & 40) = 8, NULL, epoch_ns(ts_recv)) IGNORE NULLS) OVER (
                book ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
            )
        ) + $every - 1) // $every AS w,
        action = 'T' AS is_trade, side, price, size::BIGINT AS size,
        bid_px_00 + ask_px_00 AS twice_mid, is_open, status IS NOT NULL AS known,
        row_number() OVER book AS n,
        -- FILTER would make this window far slower.
        count(if(action = 'R' OR (action <> 'T' AND (flags & 32) <> 0), 1, NULL)) OVER (
            book ROWS UNBOUNDED PRECEDING
        ) AS clears,
        count(if(action <> 'T' AND NOT is_open, 1, NULL)) OVER (
            book ROWS UNBOUNDED PRECEDING
        ) AS left_out_so_far
    FROM states_1
    WINDOW book AS (
        PARTITION BY publisher_id, instrument_id, source ORDER BY position, action <> 'T'
    )
),
numbered AS (
    -- Rows of one series are of an open market, without a state left out or a clear between them.
    SELECT *, 2 * (clears + left_out_so_far) + is_open::BIGINT AS series FROM ordered
),
per_window AS (
    SELECT symbol, publisher_id, instrument_id, source, w, arg_max(series, n) AS series,
        count(*) FILTER (is_trade) AS trade_count,
        coalesce(sum(size) FILTER (is_trade), 0) AS volume,
        -- The struct keeps a state with an empty side apart from no state.
        max({'n': n, 'twice_mid': twice_mid}) FILTER (NOT is_trade AND is_open) AS state,
        count(*) FILTER (NOT is_trade AND NOT is_open) AS left_out, bool_and(known) AS known
    FROM numbered
    GROUP BY ALL
),
ends AS (
    SELECT * EXCLUDE (state),
        struct_extract(
            last_value(state IGNORE NULLS) OVER (
                PARTITION BY publisher_id, instrument_id, source ORDER BY w ROWS UNBOUNDED PRECEDING
            ), 'twice_mid') AS twice_end
    FROM per_window
),
windows AS (
    SELECT *, lag(twice_end) OVER book AS twice_start, lag(series) OVER book AS series_start
    FROM ends
    WINDOW book AS (PARTITION BY publisher_id, instrument_id, source ORDER BY w)
),
met AS (
    SELECT *, lag(price IGNORE NULLS) OVER since_clear AS price_before,
        if(is_open, twice_mid, NULL) AS open_mid, lead(series) OVER in_window AS next_series,
        lead(if(is_open, twice_mid, NULL)) OVER in_window AS next_mid
    FROM numbered
    WHERE is_trade
    WINDOW since_clear AS (PARTITION BY publisher_id, instrument_id, source, clears ORDER BY n),
        in_window AS (PARTITION BY publisher_id, instrument_id, source, w ORDER BY n)
),
signed AS (
    SELECT *, CASE
        WHEN side = 'B' THEN size
        WHEN side = 'A' THEN -size
        WHEN price IS NULL THEN NULL
        ELSE size * coalesce(
            nullif(sign(2 * price - twice_mid), 0),
            last_value(nullif(sign(price - price_before), 0) IGNORE NULLS) OVER (
                PARTITION BY publisher_id, instrument_id, source, clears ORDER BY n
                ROWS UNBOUNDED PRECEDING
            )) END::HUGEINT AS x
    FROM met
),
steps AS (
    SELECT publisher_id, instrument_id, source, w, signed.x,
        CASE
            WHEN signed.next_series = signed.series THEN next_mid - open_mid
            WHEN signed.next_series IS NULL AND windows.series = signed.series
                THEN twice_end - open_mid
        END AS y
    FROM signed
    JOIN windows USING (publisher_id, instrument_id, source, w)
),
coverage AS (SELECT unnest($data, recursive := true)),
-- Sums of integers do not depend on the order of addition. y is doubled.
sums AS (
    SELECT publisher_id, instrument_id, source, w, sum(x) AS signed_volume,
        count(x * y)::HUGEINT AS n,
        sum(x) FILTER (y IS NOT NULL) AS sx, sum(y) FILTER (x IS NOT NULL) AS sy,
        sum(x * x) FILTER (y IS NOT NULL) AS sxx, sum(x * y) AS sxy
    FROM steps
    GROUP BY ALL
)
SELECT make_timestamp_ns(w * $every) AS ts, symbol, publisher_id, trade_count,
    volume::BIGINT AS volume, coalesce(signed_volume, 0)::BIGINT AS signed_volume,
    twice_start / 2 AS mid_start, twice_end / 2 AS mid_end,
    if(series = series_start, (twice_end - twice_start) / 2, NULL) AS mid_change,
    (n * sxy - sx * sy)::DOUBLE / nullif(n * sxx - sx * sx, 0)::DOUBLE / 2 AS kyle_lambda,
    left_out, known AS sessions_known,
    coalesce(opening.last_ns + 1 >= closing.first_ns, false) AS complete
FROM windows
LEFT JOIN sums USING (publisher_id, instrument_id, source, w)
LEFT JOIN coverage AS opening ON opening.source = epoch_ns(windows.source)
    AND opening.first_ns <= (w - 1) * $every + 1 AND opening.last_ns >= (w - 1) * $every + 1
LEFT JOIN coverage AS closing ON closing.source = epoch_ns(windows.source)
    AND closing.first_ns <= w * $every AND closing.last_ns >= w * $every
ORDER BY ts, symbol, publisher_id, instrument_id
