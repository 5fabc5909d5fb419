"""The files that the vendor puts beside the data of a batch download.

    manifest.json    every file of the download, with its size and SHA-256
    metadata.json    the request
    condition.json   the condition of each day
    symbology.json   symbols and instrument ids, by date

The rule here: a file is what the vendor writes, or one line says what is wrong in it. A name in the
manifest is compared with the names that are there; it is never a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

import orjson

from batonics.codec.metadata import (
    STYPE_CONTINUOUS,
    STYPE_INSTRUMENT_ID,
    STYPE_PARENT,
    STYPE_RAW_SYMBOL,
    DatedSymbol,
    Metadata,
    SymbolMapping,
    symbol_intervals,
)
from batonics.model.day_conditions import DayCondition, DoubtfulDays, doubtful_days
from batonics.model.errors import InputError
from batonics.model.symbols import MappingInterval, SymbolMap, is_instrument_id

MANIFEST, REQUEST, CONDITIONS, SYMBOLOGY = (
    "manifest.json",
    "metadata.json",
    "condition.json",
    "symbology.json",
)
SUPPORT_FILES = (MANIFEST, REQUEST, CONDITIONS, SYMBOLOGY)
SUPPORT_BYTES_MAX = 256 << 20
"""Largest file of these; the symbols of all options of a year take less."""
NAME_BYTES_MAX = 255

_STYPES = {
    "instrument_id": STYPE_INSTRUMENT_ID,
    "raw_symbol": STYPE_RAW_SYMBOL,
    "continuous": STYPE_CONTINUOUS,
    "parent": STYPE_PARENT,
}
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class ManifestFile(NamedTuple):
    """A file of a download.

    Attributes:
        size: its bytes.
        digest: its SHA-256 in hex.
    """

    size: int
    digest: str


class BatchFacts:
    """What a batch download says of its data.

    Args:
        name: name of the directory or archive, for messages.
        documents: the text of each of `SUPPORT_FILES` that is there.

    Attributes:
        name: see above.
        job_id: the vendor's number of the download; None: not known.
        files: the files of the manifest, by name; None: there is no manifest.
        doubtful_days: the days whose condition is not `available`.
        mappings: the mappings of `symbology.json`, as the metadata of a DBN file has them.

    Raises:
        InputError: a document is not what the vendor writes.
    """

    def __init__(self, name: str, documents: Mapping[str, bytes]) -> None:
        self.name = name
        self.job_id: str | None = None
        self.files: dict[str, ManifestFile] | None = None
        self.doubtful_days: DoubtfulDays = ()
        self.mappings: tuple[SymbolMapping, ...] = ()
        self._stype_in, self._stype_out = STYPE_RAW_SYMBOL, STYPE_INSTRUMENT_ID
        parsers: dict[str, Callable[[Any], None]] = {
            MANIFEST: self._read_manifest,
            REQUEST: self._read_request,
            CONDITIONS: self._read_conditions,
            SYMBOLOGY: self._read_symbology,
        }
        for document, parse in parsers.items():
            if document in documents:
                try:
                    parse(orjson.loads(documents[document]))
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    reason = f"no {error}" if isinstance(error, KeyError) else str(error)
                    raise InputError(
                        f"{name}/{document}: not as the vendor writes it: {reason}"
                    ) from None

    @cached_property
    def intervals(self) -> list[MappingInterval]:
        """The symbols of instruments, by date."""
        return list(symbol_intervals(self.add_mappings(Metadata())))

    @cached_property
    def symbols(self) -> SymbolMap:
        """The same, to look up."""
        symbols = SymbolMap()
        for interval in self.intervals:
            symbols.add(interval)
        return symbols

    def add_mappings(self, metadata: Metadata) -> Metadata:
        """The metadata of a file of the download, with mappings: its own, or those of it all."""
        if metadata.mappings or not self.mappings:
            return metadata
        return replace(
            metadata,
            stype_in=self._stype_in,
            stype_out=self._stype_out,
            mappings=self.mappings,
        )

    def check_symbols(self, metadata: Metadata, source: str) -> None:
        """Compare the mappings of a file with those of the download.

        Raises:
            InputError: they name an instrument differently.
        """
        if not self.mappings or metadata.stype_in != self._stype_in:
            return
        for interval in symbol_intervals(metadata):
            for other in self.symbols.intervals_of(interval.instrument_id):
                at_ns = max(interval.start_ns, other.start_ns)
                if interval.symbol == other.symbol or at_ns >= min(interval.end_ns, other.end_ns):
                    continue
                # An instrument may have several symbols at once.
                known = self.symbols.symbols_at(interval.instrument_id, at_ns)
                if interval.symbol not in known:
                    raise InputError(
                        f"{source}: instrument {interval.instrument_id} is {interval.symbol}, but"
                        f" {known[0]} in {self.name}/{SYMBOLOGY}; download the files again"
                    )

    def _read_manifest(self, document: Any) -> None:
        self.job_id = _text(document["job_id"], "job_id")
        self.files = {}
        for entry in document["files"]:
            name = _text(entry["filename"], "filename")
            if not is_file_name(name):
                raise ValueError(f"filename {name[:80]!r} is no name of a file beside it")
            if name in self.files:
                raise ValueError(f"filename {name} is there twice")
            digest = _DIGEST.fullmatch(_text(entry["hash"], "hash"))
            size = entry["size"]
            if digest is None or not isinstance(size, int) or size < 0:
                raise ValueError(f"{name} has no size or no SHA-256")
            self.files[name] = ManifestFile(size, digest[1])

    def _read_request(self, document: Any) -> None:
        self.job_id = self.job_id or _text(document["job_id"], "job_id")

    def _read_conditions(self, document: Any) -> None:
        if not isinstance(document, list):
            raise TypeError("expected a list of days")
        self.doubtful_days = doubtful_days(
            DayCondition(
                date.fromisoformat(_text(entry["date"], "date")),
                _text(entry["condition"], "condition"),
            )
            for entry in document
        )

    def _read_symbology(self, document: Any) -> None:
        self._stype_in = _STYPES[document["stype_in"]]
        self._stype_out = _STYPES[document["stype_out"]]
        by_id = self._stype_in == STYPE_INSTRUMENT_ID
        if not by_id and self._stype_out != STYPE_INSTRUMENT_ID:
            raise ValueError("neither stype_in nor stype_out is instrument_id")
        self.mappings = tuple(
            SymbolMapping(
                symbol,
                tuple(_parse_interval(symbol, entry, by_id=by_id) for entry in entries),
            )
            for symbol, entries in document["result"].items()
        )


def is_file_name(name: str) -> bool:
    """Whether a text can name a file of a directory, and nothing outside of it."""
    return (
        name not in ("", ".", "..")
        and not any(mark in name for mark in "/\\\0")
        and len(name.encode("utf-8", "surrogateescape")) <= NAME_BYTES_MAX
    )


def _parse_interval(symbol: str, entry: Any, *, by_id: bool) -> DatedSymbol:
    found = _text(entry["s"], "s")
    number = symbol if by_id else found
    if found and not is_instrument_id(number):
        raise ValueError(f"{number[:40]!r} is no instrument_id")
    start, end = (date.fromisoformat(_text(entry[name], name)) for name in ("d0", "d1"))
    return DatedSymbol(_date_number(start), _date_number(end), found)


def _date_number(day: date) -> int:
    return day.year * 10_000 + day.month * 100 + day.day


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value
