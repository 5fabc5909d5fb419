-- title: VPIN
-- question: How one-sided is trading, in buckets of equal volume?
-- reads: states_1
-- param: bucket_volume BIGINT = 1000  the volume V of each bucket, in units
-- param: n BIGINT = 50  how many buckets the mean covers
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the book's publisher
-- column: bucket BIGINT  number of the bucket, from 0; numbers continue from one date to the next
-- column: ts TIMESTAMP  ts_recv of the trade that filled the bucket, UTC
-- column: buy_volume BIGINT  size bought in the bucket, in units
-- column: sell_volume BIGINT  size sold in the bucket, in units
-- column: vpin DOUBLE  mean of abs(buy_volume - sell_volume) / V over the last n buckets, from 0 to
--   1; null for the first n - 1 buckets
-- source: Easley, López de Prado and O'Hara, "Flow toxicity and liquidity in a high-frequency
--   world" (2012), as in `.mbo.vpin`: they classify volume in bulk; here each trade has its own
--   sign, by its side or, for side N, by the rule of Lee and Ready, "Inferring trade direction from
--   intraday data" (1991). A trade without a sign is in no bucket. A trade that overfills a bucket
--   is divided
WITH ordered AS (
    -- The last tick is forgotten where the book is cleared (R, snapshot). Neither a clear
    -- nor a new date ends a bucket; instrument ids may change from date to date.
    SELECT coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, ts_recv,
        action = 'T' AS is_trade, side, price, size::BIGINT AS size,
        bid_px_00 + ask_px_00 AS twice_mid,
        row_number() OVER book AS n,
        count(if(action <> 'T', 1, NULL)) OVER (book ROWS UNBOUNDED PRECEDING) AS series
    FROM states_1
    WHERE action IN ('T', 'R') OR (flags & 32) <> 0
    WINDOW book AS (
        PARTITION BY publisher_id, coalesce(symbol, instrument_id::VARCHAR)
        ORDER BY source, position, action <> 'T'
    )
),
met AS (
    SELECT *, lag(price IGNORE NULLS) OVER (
        PARTITION BY publisher_id, symbol, series ORDER BY n
    ) AS price_before
    FROM ordered
    WHERE is_trade
),
signed AS (
    SELECT *, CASE
        WHEN side = 'B' THEN 1
        WHEN side = 'A' THEN -1
        WHEN price IS NULL THEN NULL
        ELSE coalesce(
            nullif(sign(2 * price - twice_mid), 0),
            last_value(nullif(sign(price - price_before), 0) IGNORE NULLS) OVER (
                PARTITION BY publisher_id, symbol, series ORDER BY n ROWS UNBOUNDED PRECEDING
            )) END AS d
    FROM met
),
filling AS (
    SELECT *, sum(size) OVER (
        PARTITION BY publisher_id, symbol ORDER BY n ROWS UNBOUNDED PRECEDING
    )::BIGINT AS until
    FROM signed
    WHERE d IS NOT NULL AND size > 0
        AND if($bucket_volume > 0, true, error('bucket_volume: 1 or more is expected'))
        AND if($n > 0, true, error('n: 1 or more is expected'))
),
parts AS (
    SELECT *, unnest(range(
        (until - size) // $bucket_volume, (until - 1) // $bucket_volume + 1
    )) AS bucket
    FROM filling
),
divided AS (
    SELECT *, least(until, (bucket + 1) * $bucket_volume)
        - greatest(until - size, bucket * $bucket_volume) AS part
    FROM parts
),
buckets AS (
    SELECT symbol, publisher_id, bucket, arg_max_null(ts_recv, n) AS ts,
        coalesce(sum(part) FILTER (d > 0), 0)::BIGINT AS buy_volume,
        coalesce(sum(part) FILTER (d < 0), 0)::BIGINT AS sell_volume
    FROM divided
    GROUP BY symbol, publisher_id, bucket
    HAVING sum(part) = $bucket_volume
)
SELECT symbol, publisher_id, bucket, ts, buy_volume, sell_volume,
    if(bucket + 1 < $n, NULL, sum(abs(buy_volume - sell_volume)) OVER (
        PARTITION BY symbol, publisher_id ORDER BY bucket ROWS $n - 1 PRECEDING
    ) / ($n * $bucket_volume)) AS vpin
FROM buckets
ORDER BY symbol, publisher_id, bucket
