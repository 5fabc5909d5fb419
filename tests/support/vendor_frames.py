"""Frames of vendor schemas for the tests of the sinks: from the vendor's files, and made up.

The rule: nothing here goes through the code that writes. Vendor files are read with the vendor's
own client.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import databento
import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.codec.metadata import DatedSymbol, Metadata, SymbolMapping
from batonics.frames.columns.mbo_frame import TIME_TYPE
from batonics.frames.schemas.table import find_schema
from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_PRICE, UNDEF_TIMESTAMP

VENUES = ("GLBX.MDP3", "IFEU.IMPACT", "NDEX.IMPACT", "XNAS.ITCH")
VENUE_SCHEMAS = ("mbo", "trades", "tbbo", "mbp-1", "mbp-10", "ohlcv-1s", "bbo-1s")
VENUE_FILES = [
    f"{venue}.{schema}"
    for venue in VENUES
    for schema in VENUE_SCHEMAS
    if (venue, schema) != ("XNAS.ITCH", "bbo-1s")
]
"""Of each there is `venues/NAME.dbn.zst`."""

START_NS = 20_000 * 86_400 * 10**9  # 2024-10-04
METADATA = Metadata(
    dataset="TEST.BATONICS",
    start=START_NS,
    end=START_NS + 86_400 * 10**9,
    symbols=("AAA", "BBB"),
    mappings=(
        SymbolMapping("AAA", (DatedSymbol(20241004, 20241005, "1"),)),
        SymbolMapping("BBB", (DatedSymbol(20241004, 20241005, "4294967295"),)),
    ),
)
SYMBOLS = {1: "AAA", 2**32 - 1: "BBB"}

_UNDEFINED = {"size": UNDEF_ORDER_SIZE, "ts_recv": UNDEF_TIMESTAMP, "ts_event": UNDEF_TIMESTAMP}
_NO_SIZES = ("bid_sz_", "ask_sz_", "bid_ct_", "ask_ct_")


def vendor_store(test_data: Path, name: str) -> Any:
    """The vendor's client on one of `VENUE_FILES`."""
    return databento.DBNStore.from_bytes((test_data / "venues" / f"{name}.dbn.zst").read_bytes())


def frame_of(records: NDArray[Any], schema: str) -> pl.DataFrame:
    """The frame of records as the vendor's client gives them (`to_ndarray`)."""
    columns = []
    for name, dtype in find_schema(schema).columns.items():
        values = records[name].tolist()
        if isinstance(dtype, pl.Enum):
            columns.append(pl.Series(name, [letter.decode() for letter in values], dtype))
            continue
        undefined = UNDEF_PRICE if dtype == pl.Int64 else _UNDEFINED.get(name)
        values = [None if value == undefined else value for value in values]
        stored = pl.Int64() if dtype == TIME_TYPE else dtype
        columns.append(pl.Series(name, values, stored).cast(dtype))
    return pl.DataFrame(columns)


def random_frame(schema: str, rows: int, seed: int = 0) -> pl.DataFrame:
    """Rows of any values that the schema's records can hold: nulls, and both ends of each range.

    Times are of one day, so that its symbols name the rows of instruments 1 and 2^32-1.
    """
    random = np.random.default_rng(seed)
    frame = pl.DataFrame(
        _random_column(random, schema, name, dtype, rows)
        for name, dtype in find_schema(schema).columns.items()
    )
    assert frame.schema == find_schema(schema).columns
    return frame


def _random_column(
    random: np.random.Generator, schema: str, name: str, dtype: pl.DataType, rows: int
) -> pl.Series:
    nullable = name in _UNDEFINED or dtype == pl.Int64
    # What the rows are indexed and named by is always there.
    nullable &= name != ("ts_event" if schema.startswith("ohlcv") else "ts_recv")
    if isinstance(dtype, pl.Enum):
        letters = [letter for letter in dtype.categories if letter != "m"]
        return pl.Series(name, random.choice(letters, rows).tolist(), dtype)
    if name == "rtype":
        return pl.Series(name, [find_schema(schema).rtype] * rows, dtype)
    if dtype == TIME_TYPE:
        values = (START_NS + random.integers(0, 86_400 * 10**9, rows)).tolist()
    elif name == "instrument_id":
        values = random.choice(list(SYMBOLS), rows).tolist()
    else:
        info = np.iinfo(str(dtype).lower())
        top = info.max - 1 if nullable else info.max
        pool = [info.min, info.min + 1, top, 0, 1, *random.integers(0, 100, 5).tolist()]
        pool += random.integers(info.min, top, 5, str(dtype).lower(), endpoint=True).tolist()
        values = [pool[at] for at in random.integers(0, len(pool), rows)]
    values = [None if nullable and random.random() < 0.2 else value for value in values]
    return pl.Series(name, values, pl.Int64() if dtype == TIME_TYPE else dtype).cast(dtype)
