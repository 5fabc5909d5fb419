"""Why rows of a comparison differ: what is known of the input's books, and of the other file.

The rule here: a reason is a fact about the records or about the other file, never about how large a
difference is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.schemas.schema import Schema
from batonics.model.mbo import Action, Flag, MboBatch, record_keys

OVER_32_BITS = "sizes over 32 bits"
_SIZE_MAX = 2**32 - 1
_LEVELS = ("bid_", "ask_", "depth")
_LAST_TRADE = ("ts_event", "price", "size", "side")
"""Columns of bbo-INTERVAL that have the book's last trade."""


class BookHistory:
    """What the records say of each book and of the span of time that they cover.

    Attributes:
        since_ns: by book, the time since when it is complete; None: it is a lower bound.
        first_ns: the time of the first record; None: there is none yet.
        last_ns: the latest time so far.
        ended: whether all records were added.
    """

    def __init__(self) -> None:
        self.since_ns: dict[int, int | None] = {}
        self.first_ns: int | None = None
        self.last_ns = -1
        self.ended = False
        self._first_event_end_ns: dict[int, int | None] = {}  # by book that may begin amid an event
        self._open_since_ns: dict[int, int] = {}  # by book with an open event

    def add(self, batch: MboBatch) -> None:
        """Add a batch of records."""
        keys = record_keys(batch)
        times = np.minimum(batch.ts_recv, np.uint64(2**63 - 1)).astype(np.int64)
        known = times[times < 2**63 - 1]
        if len(known):
            self.first_ns = int(known[0]) if self.first_ns is None else self.first_ns
            self.last_ns = max(self.last_ns, int(known.max()))
        completes = (batch.action == Action.CLEAR) | (batch.flags & Flag.SNAPSHOT != 0)
        for key, first in zip(*_firsts(keys), strict=True):
            if key not in self.since_ns and times[first] == self.first_ns and not completes[first]:
                self._first_event_end_ns[key] = None
            self.since_ns.setdefault(key, None)
        for key, first in zip(*_firsts(keys, np.flatnonzero(completes)), strict=True):
            if self.since_ns[key] is None:
                self.since_ns[key] = int(times[first])
        self._add_event_ends(keys, times, batch.flags & Flag.LAST != 0)

    def _add_event_ends(
        self, keys: NDArray[np.int64], times: NDArray[np.int64], ends: NDArray[np.bool_]
    ) -> None:
        end_rows = np.flatnonzero(ends)
        if None in self._first_event_end_ns.values():
            for key, first in zip(*_firsts(keys, end_rows), strict=True):
                if self._first_event_end_ns.get(key, 0) is None:
                    self._first_event_end_ns[key] = int(times[first])
        books, book = np.unique(keys, return_inverse=True)
        last_end = np.full(len(books), -1)
        last_end[book[end_rows]] = end_rows  # the last of each book stays
        for key in books[last_end >= 0].tolist():
            self._open_since_ns.pop(key, None)
        opened = np.flatnonzero(np.arange(len(keys)) > last_end[book])
        for key, first in zip(*_firsts(keys, opened), strict=True):
            self._open_since_ns.setdefault(key, int(times[first]))

    def are_cold(self, keys: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the book of each row was incomplete at the time of the row."""
        since = {key: -1 if ns is None else ns for key, ns in self.since_ns.items()}
        start = np.array([since.get(key, 0) for key in keys.tolist()], np.int64)
        result: NDArray[np.bool_] = (start < 0) | (times < start)
        return result

    def are_cut_off(
        self, keys: NDArray[np.int64], times: NDArray[np.int64], schema: Schema
    ) -> NDArray[np.bool_]:
        """Whether the input begins or ends within the event or the interval of each row.

        Args:
            keys: by row, its book.
            times: by row, the value of the schema's time column.
            schema: the schema of the rows.
        """
        first_ns = -1 if self.first_ns is None else self.first_ns
        if schema.interval_ns is not None:
            starts = times - schema.interval_ns if schema.time_is_interval_end else times
            ends = starts + schema.interval_ns
            cut = (starts < first_ns) & (first_ns < ends)
            return cut | ((starts <= self.last_ns) & (self.last_ns < ends) & self.ended)
        latest = {key: ns for key, ns in self._first_event_end_ns.items() if ns is not None}
        until = np.array([latest.get(key, -1) for key in keys.tolist()], np.int64)
        cut = (times >= first_ns) & (times <= until)
        if self.ended:
            since = self._open_since_ns
            opened = np.array([since.get(key, 2**63 - 1) for key in keys.tolist()], np.int64)
            cut |= (times >= opened) & (times <= self.last_ns)
        return cut


@dataclass
class SideGeneration:
    """Whether the other file is of the old generation, in which only trades have sides (rule 25).

    Attributes:
        applies: whether rows of the schema have sides that rule 25 describes.
        changes: the number of their rows that are no trades.
        sides: the number of these rows that have a side.
        not_compared: the number of pairs whose sides differ because theirs has none.
        reasons: the number of pairs that differ in nothing else, by the reason that they have if
            the file is not of the old generation.
        examples: the first of the latter that are unexplained, as JSON has them.
    """

    applies: bool
    changes: int = 0
    sides: int = 0
    not_compared: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_old(self) -> bool | None:
        """Whether none of the rows that are no trades has a side; None: there is no such row."""
        return self.sides == 0 if self.changes else None

    def add(self, theirs: pl.DataFrame) -> None:
        """Add rows of the other file."""
        if self.applies and theirs.height and {"action", "side"} <= set(theirs.columns):
            changes = theirs.filter(pl.col("action") != "T")["side"]
            self.changes += len(changes)
            self.sides += int((changes != "N").sum())

    def lack_side(self, ours: pl.DataFrame, theirs: pl.DataFrame) -> NDArray[np.bool_]:
        """Which pairs have no side in their row, where the row is no trade and ours has one."""
        if not self.applies or self.sides or not {"action", "side"} <= set(theirs.columns):
            return np.zeros(ours.height, np.bool_)
        lacks = (ours["action"] != "T") & (theirs["side"] == "N") & (ours["side"] != "N")
        return lacks.to_numpy()


def has_change_sides(schema: Schema) -> bool:
    """Whether the schema is an mbp-N, in which `side` describes a change (rule 25)."""
    return schema.name.startswith("mbp-")


def differ_in_what_precedes(
    ours: pl.DataFrame, unequal: pl.DataFrame, schema: Schema
) -> NDArray[np.bool_]:
    """Which pairs differ only in what may be from before the first record of a book.

    That is levels, the depth and side of a change of them, and the last trade if we have none.

    Args:
        ours: our rows of the pairs.
        unequal: by column, whether it differs.
        schema: the schema of the rows.
    """
    preceding = {name: pl.lit(value=True) for name in unequal.columns if name.startswith(_LEVELS)}
    if has_change_sides(schema):
        preceding["side"] = pl.lit(ours["action"] != "T")
    elif schema.name.startswith("bbo-"):
        preceding |= dict.fromkeys(_LAST_TRADE, pl.lit(ours["ts_event"].is_null()))
    others = [pl.col(name) & ~preceding.get(name, pl.lit(value=False)) for name in unequal.columns]
    return ~unequal.select(pl.any_horizontal(others).alias("others")).to_series().to_numpy()


def exceed_32_bits(rows: pl.DataFrame) -> NDArray[np.bool_]:
    """Which rows have the greatest 32-bit size, in place of a size or count that may exceed it."""
    sizes = [name for name in rows.columns if "_sz_" in name or "_ct_" in name]
    sizes = [name for name in sizes if rows.schema[name] == pl.UInt32()]
    if not sizes or rows.is_empty():
        return np.zeros(rows.height, np.bool_)
    return rows.select(pl.any_horizontal(pl.col(sizes) == _SIZE_MAX)).to_series().to_numpy()


def _firsts(
    keys: NDArray[np.int64], rows: NDArray[np.intp] | None = None
) -> tuple[list[int], list[int]]:
    """Each key among some rows, or all, and the first of these rows that has it."""
    if rows is None:
        rows = np.arange(len(keys))
    found, first = np.unique(keys[rows], return_index=True)
    return found.tolist(), rows[first].tolist()
