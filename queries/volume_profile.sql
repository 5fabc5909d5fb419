-- title: Volume profile
-- question: How much was traded at each price of a day?
-- reads: trades
-- param: width PRICE = 0.000000001  prices within a range of this width make one row
-- param: data COVERAGE = lake  the times that the lake covers; no other value is possible
-- column: date DATE  the day, UTC
-- column: symbol VARCHAR  the instrument
-- column: publisher_id USMALLINT  the publisher
-- column: price PRICE  lowest price of the range, a multiple of the width
-- column: volume BIGINT  total size of all trades in the range, in units
-- column: buy_volume BIGINT  total size of trades whose aggressor bought, in units
-- column: sell_volume BIGINT  total size of trades whose aggressor sold, in units
-- column: trade_count BIGINT  how many trades the range has
-- column: share DOUBLE  share of the day's volume, from 0 to 1
-- column: complete BOOLEAN  whether the lake has records from the beginning of the day to its end
-- source: the volume of trades by price; trades without a price are left out
WITH priced AS (
    SELECT date, coalesce(symbol, instrument_id::VARCHAR) AS symbol, publisher_id, side, size, source,
        -- Rounded down for negative prices too; integer division rounds towards 0.
        price - ((price % $width) + $width) % $width AS price
    FROM trades
    WHERE price IS NOT NULL AND if($width > 0, true, error('width: a price above 0 is expected'))
),
profile AS (
    SELECT date, symbol, publisher_id, price, coalesce(sum(size), 0) AS volume,
        coalesce(sum(size) FILTER (side = 'B'), 0)::BIGINT AS buy_volume,
        coalesce(sum(size) FILTER (side = 'A'), 0)::BIGINT AS sell_volume,
        count(*) AS trade_count, min(source) AS first_source, max(source) AS last_source
    FROM priced
    GROUP BY date, symbol, publisher_id, price
),
days AS (
    SELECT * EXCLUDE (first_source, last_source), min(first_source) OVER of_day AS first_source,
        max(last_source) OVER of_day AS last_source
    FROM profile
    WINDOW of_day AS (PARTITION BY date, symbol, publisher_id)
),
coverage AS (SELECT unnest($data, recursive := true))
SELECT date, symbol, publisher_id, price, volume::BIGINT AS volume, buy_volume, sell_volume,
    trade_count,
    volume / nullif(sum(volume) OVER (PARTITION BY date, symbol, publisher_id), 0) AS share,
    coalesce(opening.last_ns + 1 >= closing.first_ns, false) AS complete
FROM days
LEFT JOIN coverage AS opening ON opening.source = epoch_ns(first_source)
    AND opening.first_ns <= epoch_ns(date) AND opening.last_ns >= epoch_ns(date)
LEFT JOIN coverage AS closing ON closing.source = epoch_ns(last_source)
    AND closing.first_ns <= epoch_ns(date + 1) - 1 AND closing.last_ns >= epoch_ns(date + 1) - 1
ORDER BY date, symbol, publisher_id, price
