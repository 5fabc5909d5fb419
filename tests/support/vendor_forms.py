"""Records of a DBN file in the forms that the vendor's client and data frames write.

The rule here: the writers are those of other projects, with the settings that users have.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import databento
import polars as pl

from batonics.codec.dbn import encode_records
from batonics.codec.metadata import PREFIX_BYTES, encode_metadata, parse_metadata, parse_prefix
from tests.support.dbn_files import decompress
from tests.support.real_files import read_mbo


def cut_records(path: Path, records: int) -> bytes:
    """DBN of the first MBO records of a file, with its metadata."""
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = decompress(data)
    batch = read_mbo(path)
    first = type(batch)._make(column[:records] for column in batch)
    return data[: parse_prefix(data[:PREFIX_BYTES])] + encode_records(first)


def without_names(dbn: bytes) -> bytes:
    """The same DBN without names of instruments."""
    size = parse_prefix(dbn[:PREFIX_BYTES])
    metadata = replace(parse_metadata(dbn[:size]), mappings=(), symbols=())
    return encode_metadata(metadata) + dbn[size:]


Writer = Callable[[Any, Path], None]


def _frame(store: Any, price_type: str) -> Any:
    return store.to_df(price_type=price_type)


def _polars(store: Any, price_type: str) -> pl.DataFrame:
    return pl.from_pandas(_frame(store, price_type), include_index=True)


NAMED: dict[str, Writer] = {
    "vendor.csv": lambda store, path: store.to_csv(path),
    "vendor.csv.zst": lambda store, path: store.to_csv(path, compression="zstd"),
    "raw.csv": lambda store, path: store.to_csv(path, pretty_ts=False, pretty_px=False),
    "vendor.json": lambda store, path: store.to_json(path),
    "raw.json": lambda store, path: store.to_json(path, pretty_ts=False, pretty_px=False),
    "vendor.parquet": lambda store, path: store.to_parquet(path),
    "fixed.parquet": lambda store, path: store.to_parquet(path, price_type="fixed"),
    "raw.parquet": lambda store, path: store.to_parquet(path, pretty_ts=False),
    "pandas-float.csv": lambda store, path: _frame(store, "float").to_csv(path),
    "pandas-decimal.csv.gz": lambda store, path: _frame(store, "decimal").to_csv(path),
    "pandas-fixed.parquet": lambda store, path: _frame(store, "fixed").to_parquet(path),
    "pandas-decimal.parquet": lambda store, path: _frame(store, "decimal").to_parquet(path),
    "pandas-float.feather": lambda store, path: (
        _frame(store, "float").reset_index().to_feather(path)
    ),
    "polars-float.csv": lambda store, path: _polars(store, "float").write_csv(path),
    "polars-decimal.parquet": lambda store, path: _polars(store, "decimal").write_parquet(path),
    "polars-fixed.ndjson": lambda store, path: _polars(store, "fixed").write_ndjson(path),
    "polars-float.arrows": lambda store, path: _polars(store, "float").write_ipc_stream(path),
}
"""By name: writes records with the names of their instruments."""
NAMELESS: dict[str, Writer] = {
    "nameless.csv": lambda store, path: store.to_csv(path, map_symbols=False),
    "nameless.json": lambda store, path: store.to_json(path, map_symbols=False),
    "nameless.parquet": lambda store, path: store.to_parquet(path, map_symbols=False),
}
"""The same without names."""


def write_form(name: str, dbn: bytes, directory: Path) -> Path:
    """A file of the records in a form."""
    path = directory / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own, of its libraries
        store = databento.DBNStore.from_bytes(dbn)
        (NAMED | NAMELESS)[name](store, path)
    return path
