"""The files of a replay: their dataset, their names, and the symbols a client may subscribe to.

The rule here: all names are known before the first client connects, from metadata or from the
mapping records at the beginning of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

from batonics.codec.gateway import SubscriptionRequest
from batonics.codec.metadata import (
    STYPE_CONTINUOUS,
    STYPE_INSTRUMENT_ID,
    STYPE_PARENT,
    STYPE_RAW_SYMBOL,
    Metadata,
    symbol_intervals,
)
from batonics.frames.schemas.table import find_schema
from batonics.gateway.dbn_feed import check_regular_files
from batonics.model.errors import UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.symbols import (
    ALL_SYMBOLS,
    OPEN_END_NS,
    IntervalMap,
    MappingInterval,
    SymbolMap,
    is_instrument_id,
)
from batonics.sources.file_order import order_paths
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.stream import MboStream, read_metadata

STYPES = {
    "raw_symbol": STYPE_RAW_SYMBOL,
    "instrument_id": STYPE_INSTRUMENT_ID,
    "continuous": STYPE_CONTINUOUS,
    "parent": STYPE_PARENT,
}
"""Symbologies that a client may use, and their numbers in DBN."""


class ResolvedSymbols(NamedTuple):
    """The instruments of a subscription.

    Attributes:
        spans: when records of which instruments are sent; None: all records.
        mappings: the symbols asked for and their intervals, in the order of the intervals' starts.
        unknown: symbols that the files do not have.
    """

    spans: IntervalMap[MappingInterval] | None
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
        self._children: dict[str, set[str]] = {}
        names_come_later = False
        for path in self.paths:
            metadata = read_metadata(path)
            names_come_later |= metadata is None
            if metadata is not None:
                self.dataset = self.dataset or metadata.dataset
                for interval in symbol_intervals(metadata):
                    self.symbols.add(interval)
                for parent, children in find_children(metadata).items():
                    self._children.setdefault(parent, set()).update(children)
        stream = MboStream(self.paths, options)
        with closing(stream.batches()) as batches:
            first = next(batches, None)
            self.first_ns = 0 if first is None else int(first.ts_recv[0])
            if names_come_later:
                # Names of tables and of ITCH stand in their rows: subscriptions need all of them.
                for _ in batches:
                    pass
        for interval in stream.symbols.intervals():
            self.symbols.add(interval)
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
        if subscription.symbols == (ALL_SYMBOLS,):
            every = [(interval.symbol, interval) for interval in self.symbols.intervals()]
            return ResolvedSymbols(None, every, [])
        by_id = subscription.stype_in == "instrument_id"
        spans = IntervalMap[MappingInterval]()
        mappings: list[tuple[str, MappingInterval]] = []
        unknown = []
        for name in dict.fromkeys(subscription.symbols):
            if not by_id:
                named = self._spans_of(name)
            elif is_instrument_id(name):
                named = self.symbols.intervals_of(int(name))
            else:
                named = []
            mappings += [(name, interval) for interval in named]
            if by_id and (named or (not len(self.symbols) and is_instrument_id(name))):
                # Files without any names may have any instrument.
                named = [MappingInterval(0, OPEN_END_NS, int(name), name)]
            for span in named:
                spans.add(span)
            if not named:
                unknown.append(name)
        return ResolvedSymbols(spans, sorted(mappings, key=_start_of), unknown)

    def _spans_of(self, name: str) -> list[MappingInterval]:
        """When a symbol, a continuous symbol or the children of a parent hold.

        A name that the files do not have is that of another case, if there is one such: the
        vendor's client sends raw symbols in capitals.
        """
        if not self.symbols.instrument_ids(name) and name not in self._children:
            wanted = name.casefold()
            known = {*self.symbols.symbols(), *self._children}
            alike = [symbol for symbol in known if symbol.casefold() == wanted]
            name = alike[0] if len(alike) == 1 else name
        symbols = {name, *self._children.get(name, ())}
        return [span for symbol in sorted(symbols) for span in self.symbols.spans(symbol)]


def find_children(metadata: Metadata) -> dict[str, set[str]]:
    """The symbols of each parent that a file was requested by.

    A file's mappings name the children, not their parents. So a child of several parents belongs to
    the one whose root its name begins with; parents that cannot be told apart have none.
    """
    if metadata.stype_in != STYPE_PARENT:
        return {}
    roots = {parent: parent.partition(".")[0] for parent in metadata.symbols}
    children: dict[str, set[str]] = {parent: set() for parent in roots}
    for mapping in metadata.mappings:
        symbol = mapping.raw_symbol
        if symbol in roots:
            continue
        lengths = {parent: len(root) for parent, root in roots.items() if symbol.startswith(root)}
        if len(roots) == 1:
            lengths = dict.fromkeys(roots, 0)
        nearest = [parent for parent, size in lengths.items() if size == max(lengths.values())]
        if len(nearest) == 1:
            children[nearest[0]].add(symbol)
    return {parent: symbols for parent, symbols in children.items() if symbols}


def _start_of(mapping: tuple[str, MappingInterval]) -> int:
    return mapping[1].start_ns
