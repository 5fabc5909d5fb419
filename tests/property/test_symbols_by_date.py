"""Symbols by date: the product against the vendor's client's own `map_symbols`.

The rule: mappings and records are random. Instrument ids are used again by other symbols, symbols
roll from id to id, and intervals may overlap.
"""

from __future__ import annotations

import datetime as dt
import warnings
from itertools import pairwise
from pathlib import Path

import databento
import numpy as np
import pytest

import batonics
from batonics.codec.metadata import DatedSymbol, Metadata, SymbolMapping, encode_metadata
from batonics.jobs.symbol_selection import SymbolSelection
from batonics.model.mbo import Action
from batonics.model.times import NS_PER_DAY
from batonics.sources.stream import MboStream
from tests.support.dbn_files import DAY_NS, encode, record

FIRST_DAY = dt.date(2024, 10, 4)
DAYS, IDS, NAMES, RECORDS = 8, 4, 5, 300
OVERLAPPING = 12
"""From this seed on, intervals of one id may overlap."""


def date_of(day: int) -> int:
    """The date of a day, the first of which is 0, such as 20241004."""
    return int(f"{FIRST_DAY + dt.timedelta(day):%Y%m%d}")


def random_mappings(rng: np.random.Generator, *, overlap: bool) -> tuple[SymbolMapping, ...]:
    """Intervals of random lengths; without `overlap` those of one id follow each other."""
    intervals: dict[str, list[DatedSymbol]] = {}

    def add(name: int, start: int, end: int, instrument_id: int) -> None:
        interval = DatedSymbol(date_of(start), date_of(end), str(instrument_id))
        intervals.setdefault(f"N{name}", []).append(interval)

    for instrument_id in range(1, IDS + 1):
        edges = np.unique(rng.integers(0, DAYS + 1, 6)).tolist()
        for start, end in pairwise(edges):
            if rng.random() < 0.8:
                stop = end + int(rng.integers(0, 3)) if overlap else end
                add(int(rng.integers(NAMES)), start, stop, instrument_id)
    return tuple(SymbolMapping(name, tuple(sorted(found))) for name, found in intervals.items())


def holding(mappings: tuple[SymbolMapping, ...], instrument_id: int, ts_ns: int) -> set[str]:
    """Every name of an id on a day, by a plain search."""
    date = date_of((ts_ns - DAY_NS) // NS_PER_DAY)
    return {
        mapping.raw_symbol
        for mapping in mappings
        for start, end, symbol in mapping.intervals
        if symbol == str(instrument_id) and start <= date < end
    }


@pytest.mark.filterwarnings("ignore:rows of .* have the symbol")
@pytest.mark.filterwarnings("ignore:uncovered. .* is another instrument")
@pytest.mark.parametrize("seed", range(24))
def test_names_are_those_of_the_vendors_client(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mappings = random_mappings(rng, overlap=seed >= OVERLAPPING)
    at = np.sort(rng.integers(-NS_PER_DAY, (DAYS + 1) * NS_PER_DAY, RECORDS))
    edges = rng.random(RECORDS) < 0.2  # midnights and the nanosecond before
    at[edges] = at[edges] // NS_PER_DAY * NS_PER_DAY - rng.integers(0, 2, edges.sum())
    rows = [
        record(
            Action.ADD,
            instrument_id=int(rng.integers(1, IDS + 1)),
            order_id=number,
            ts_recv=DAY_NS + offset,
        )
        for number, offset in enumerate(np.sort(at).tolist(), start=1)
    ]
    path = tmp_path / "random.dbn"
    path.write_bytes(encode_metadata(Metadata(mappings=mappings)) + encode(rows))
    names = [holding(mappings, row.instrument_id, row.ts_recv) for row in rows]

    ours = batonics.scan_mbo(path).collect()["symbol"].to_list()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, for the vendor's client
        frame = databento.DBNStore.from_bytes(path.read_bytes()).to_df(map_symbols=True)
    vendor = [name if isinstance(name, str) else None for name in frame["symbol"]]
    for our, theirs, held in zip(ours, vendor, names, strict=True):
        # Where the latest of overlapping intervals has ended, the vendor's client finds no name.
        is_hidden = theirs is None and seed >= OVERLAPPING
        assert our == theirs or (is_hidden and our in held)
        assert (our is None) == (not held)

    known = sorted({mapping.raw_symbol for mapping in mappings})
    for name in known:
        selection = SymbolSelection(stream := MboStream([path], batch_rows=64), [name])
        pieces = (piece for batch in stream.batches() for piece in selection.pieces(batch))
        found = [int(i) for piece in pieces for i in piece.order_id]
        expected = [row.order_id for row, held in zip(rows, names, strict=True) if name in held]
        assert found == expected
