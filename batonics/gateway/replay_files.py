"""The files of a replay: their dataset, their names, and the symbols a client may subscribe to.

The rule here: all names are known before the first client connects, from metadata or from the
mapping records at the beginning of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

from batonics.codec.gateway import ALL_SYMBOLS, SubscriptionRequest
from batonics.codec.metadata import STYPE_INSTRUMENT_ID, STYPE_RAW_SYMBOL, symbol_intervals
from batonics.frames.schemas.table import find_schema
from batonics.gateway.dbn_feed import check_regular_files
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.symbols import MappingInterval, SymbolMap
from batonics.sources.file_order import order_paths
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.stream import MboStream, read_metadata

STYPES = {"raw_symbol": STYPE_RAW_SYMBOL, "instrument_id": STYPE_INSTRUMENT_ID}
"""Symbologies that a client may use, and their numbers in DBN."""


class ResolvedSymbols(NamedTuple):
    """The instruments of a subscription.

    Attributes:
        instrument_ids: the instruments; None: all.
        mappings: the symbols asked for and their intervals, in the order of the intervals' starts.
        unknown: symbols that the files do not have.
    """

    instrument_ids: set[int] | None
    mappings: list[tuple[str, MappingInterval]]
    unknown: list[str]


class ReplayFiles:
    """The files of a replay.

    Args:
        paths: the files.
        options: how they are read.

    Attributes:
        paths: the files, in the order of their time.
        options: how they are read.
        dataset: the vendor's code of the dataset; "" if the files do not have it.
        first_ns: the ts_recv of the first record.
        symbols: names of instruments.

    Raises:
        InputError: a file cannot be read, is damaged at its beginning, or has no MBO.
        UsageError: an input can be read only once, or the files repeat or overlap each other.
    """

    def __init__(self, paths: Sequence[str], options: InputOptions = DEFAULT_OPTIONS) -> None:
        check_regular_files(paths)
        self.paths, self.options = order_paths(paths, options), options
        self.symbols = SymbolMap()
        self.dataset = ""
        for path in self.paths:
            metadata = read_metadata(path)
            if metadata is not None:
                self.dataset = self.dataset or metadata.dataset
                for interval in symbol_intervals(metadata):
                    self.symbols.add(interval)
        stream = MboStream(self.paths, options)
        with closing(stream.batches()) as batches:
            first = next(batches, None)
        for interval in stream.symbols.intervals():
            self.symbols.add(interval)
        self.first_ns = 0 if first is None else int(first.ts_recv[0])
        if self.first_ns == UNDEF_TIMESTAMP:
            self.first_ns = 0

    def resolve_symbols(self, subscription: SubscriptionRequest) -> ResolvedSymbols:
        """The instruments of a subscription.

        Raises:
            UsageError: the schema or the symbology is not offered.
        """
        # UsageError: there is no such schema, or no DBN record for it.
        find_schema(subscription.schema).check_dbn()
        if subscription.stype_in not in STYPES:
            raise UsageError(
                f"stype_in {subscription.stype_in!r} is not resolved by a replay;"
                f" there are {', '.join(STYPES)}"
            )
        if subscription.snapshot and subscription.schema != "mbo":
            raise UsageError(f"a snapshot goes with mbo, not with {subscription.schema}")
        known = self.symbols.intervals()
        if subscription.symbols == (ALL_SYMBOLS,):
            mappings = [(interval.symbol, interval) for interval in known]
            return ResolvedSymbols(None, sorted(mappings, key=_start_of), [])
        by_id = subscription.stype_in == "instrument_id"
        names = set(subscription.symbols)
        named = (
            (str(interval.instrument_id) if by_id else interval.symbol, interval)
            for interval in known
        )
        mappings = [(name, interval) for name, interval in named if name in names]
        ids = {interval.instrument_id for _, interval in mappings}
        resolved = {name for name, _ in mappings}
        unknown = [name for name in subscription.symbols if name not in resolved]
        if by_id and not known:  # the files have no names at all: any id may occur
            ids |= {int(name) for name in unknown if name.isdecimal() and int(name) < 2**32}
            unknown = [name for name in unknown if not name.isdecimal()]
        return ResolvedSymbols(ids, sorted(mappings, key=_start_of), unknown)


def _start_of(mapping: tuple[str, MappingInterval]) -> int:
    return mapping[1].start_ns
