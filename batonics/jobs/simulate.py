"""Writes a simulated market as a DBN file, and the exchange's own books beside it.

The rule: the same arguments give the same bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack

import orjson

from batonics.codec.dbn import encode_records
from batonics.codec.metadata import DatedSymbol, Metadata, SymbolMapping, encode_metadata
from batonics.model.errors import UsageError
from batonics.model.times import NS_PER_S
from batonics.sim.market import Market
from batonics.sinks.atomic import open_atomic
from batonics.sinks.file_names import check_file_name
from batonics.sinks.output_stream import OUTPUT_ZSTD_LEVEL

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DATASET = "SIM.BATONICS"
MARKET_START_NS = 1_767_623_400 * NS_PER_S  # 2026-01-05T14:30:00Z, a Monday
START_DATE, END_DATE = 20260105, 21000101
"""Dates of the symbols. No simulation lasts as long, and how long one lasts is not known before."""


def simulate(  # noqa: PLR0913 - settings, by keyword
    out: str,
    *,
    records: int,
    instruments: int = 5,
    live_orders: int = 2_000,
    seed: int = 1,
    truth: str | None = None,
) -> int:
    """Write a simulated market of at least `records` records; the number of records.

    Args:
        out: the file; compressed if its name ends in `.zst`; `-` is standard output.
        records: the least number of records; the stream ends with a whole event.
        instruments: the number of instruments.
        live_orders: the number of resting orders of all instruments.
        seed: the seed; the same seed gives the same bytes.
        truth: the file of the exchange's own books, as JSON; None: none is written.

    Raises:
        UsageError: the numbers make no market, or a file's name says another format.
        OutputError: a file cannot be written.
    """
    is_compressed = out.endswith(".zst")
    check_file_name(out, "dbn.zst" if is_compressed else "dbn")
    if truth is not None:
        check_file_name(truth, "json")
    try:
        market = Market(seed, instruments, target_live_orders=live_orders, start_ns=MARKET_START_NS)
    except ValueError as error:
        raise UsageError(str(error)) from None
    written = 0
    with ExitStack() as stack:
        file = stack.enter_context(open_atomic(out))
        truth_file = stack.enter_context(open_atomic(truth)) if truth is not None else None
        write: Callable[[bytes], object] = file.write
        compressor = zstd.ZstdCompressor(level=OUTPUT_ZSTD_LEVEL) if is_compressed else None
        if compressor is not None:
            write = lambda data: file.write(compressor.compress(data))  # noqa: E731
        write(encode_metadata(_metadata(market)))
        for batch in market.batches(records):
            write(encode_records(batch))
            written += len(batch.action)
        if compressor is not None:
            file.write(compressor.flush())
        if truth_file is not None:
            truth_file.write(_truth(market))
    return written


def _metadata(market: Market) -> Metadata:
    mappings = tuple(
        SymbolMapping(symbol, (DatedSymbol(START_DATE, END_DATE, str(instrument_id)),))
        for symbol, instrument_id in zip(
            market.symbols, market.instrument_ids.tolist(), strict=True
        )
    )
    return Metadata(
        dataset=DATASET, start=MARKET_START_NS, symbols=tuple(market.symbols), mappings=mappings
    )


def _truth(market: Market) -> bytes:
    """The exchange's books: `{symbol: {side: [[price_1e9, size, [[order_id, size], ...]]]}}`."""
    books = {
        symbol: {
            side: [
                [level.price_1e9, level.size, [[str(id_), size] for id_, size in level.orders]]
                for level in levels
            ]
            for side, levels in market.truth(instrument_id).items()
        }
        for symbol, instrument_id in zip(
            market.symbols, market.instrument_ids.tolist(), strict=True
        )
    }
    return orjson.dumps(books, option=orjson.OPT_APPEND_NEWLINE)
