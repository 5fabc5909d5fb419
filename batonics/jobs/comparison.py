"""Our rows of a schema against another's file of it, row by row.

The rule: both are walked once, in order of time; a row is paired with the other side's row of the
same book, event and place in it, and every column that both have must be equal. What is left over
on a side, and what differs, is counted by why.

| reason          | of                         | when                                              |
|-----------------|----------------------------|---------------------------------------------------|
| no records      | rows of theirs             | the input has no record of that book              |
| before, after   | rows of theirs, or of ours | outside the span of the other side                |
| cold            | rows of ours, and pairs    | the book began mid-session: a lower bound; of     |
|                 | whose levels differ alone  | pairs, only levels and depth can differ by it     |
| unexplained     | any                        | none of these                                     |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.columns.mbo_frame import TIME_TYPE
from batonics.frames.scan.sources import BOOK_KEY
from batonics.frames.schemas.table import find_schema
from batonics.jobs.convert import Conversion, RowOptions
from batonics.model.mbo import Action, Flag, MboBatch, record_keys
from batonics.model.times import format_time
from batonics.sources.tables import read_table

EXAMPLES_MAX = 10
CHUNK_ROWS = 131_072
"""So many rows of each side are compared at once."""
_PLACE = "place"
_LEVELS = ("bid_", "ask_", "depth")


@dataclass
class Comparison:
    """What came of it.

    Attributes:
        schema: of the rows.
        ours, theirs: rows of each side.
        pairs: rows that have a counterpart.
        equal: pairs that are equal in every column that both have.
        columns: of the pairs, in how many a column differs; those in which one does.
        only_ours, only_theirs: rows without a counterpart, by reason.
        differing: pairs that differ, by reason.
        examples: the first differences: what, where, ours and theirs.
    """

    schema: str
    ours: int = 0
    theirs: int = 0
    pairs: int = 0
    equal: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    only_ours: Counter[str] = field(default_factory=Counter)
    only_theirs: Counter[str] = field(default_factory=Counter)
    differing: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether rows are equal, if there are any at all, and nothing is unexplained."""
        counts = (self.only_ours, self.only_theirs, self.differing)
        met = self.equal > 0 or self.ours + self.theirs == 0
        return met and not any(count["unexplained"] for count in counts)

    def report(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "schema": self.schema,
            "rows": {"ours": self.ours, "theirs": self.theirs},
            "pairs": {"all": self.pairs, "equal": self.equal},
            "columns_that_differ": dict(sorted(self.columns.items())),
            "differing_pairs": dict(sorted(self.differing.items())),
            "only_ours": dict(sorted(self.only_ours.items())),
            "only_theirs": dict(sorted(self.only_theirs.items())),
            "examples": self.examples,
            "agrees": self.agrees,
        }


def compare(conversion: Conversion, path: str) -> Comparison:
    """Compare the rows of a conversion with those of a file of the same schema.

    Raises:
        InputError: the file cannot be read, or is of another schema.
    """
    books = _Books()
    conversion.seen = books.see
    schema = conversion.request.schema
    index = find_schema(schema).time_column
    result = Comparison(schema)
    differ = _Differ(result, books)
    with (
        closing(conversion.frames(RowOptions(symbol=False))) as our_frames,
        closing(read_table(path, schema)) as their_frames,
    ):
        ours, theirs = (_Side(frames, index) for frames in (our_frames, their_frames))
        while ours.has_more or theirs.has_more:
            ours.fill()
            theirs.fill()
            # Up to here both sides have all they have.
            bounds = [side.last_ns for side in (ours, theirs) if not side.ended]
            until_ns = min(bounds) if bounds else None
            differ.compare(ours.take(until_ns), theirs.take(until_ns), (ours, theirs))
    return result


class _Side:
    """One side's rows, in chunks."""

    def __init__(self, frames: Iterator[pl.DataFrame], index: str) -> None:
        self.ended = False
        self.first_ns: int | None = None
        self.last_ns = -1
        self._frames = frames
        self._index = index
        self._held: list[pl.DataFrame] = []

    @property
    def has_more(self) -> bool:
        """Whether rows are left to take."""
        return not self.ended or bool(self._held)

    def fill(self) -> None:
        """Have a chunk, or all that is left."""
        while not self.ended and sum(frame.height for frame in self._held) < CHUNK_ROWS:
            self._fetch()

    def take(self, until_ns: int | None) -> pl.DataFrame:
        """The rows before a time; None: all."""
        if not self._held:
            return pl.DataFrame()
        rows = pl.concat(self._held)
        if until_ns is None:
            self._held = []
            return rows
        before = pl.col(self._index).cast(pl.Int64).fill_null(0) < until_ns
        taken, rest = rows.filter(before), rows.filter(~before)
        self._held = [rest] if rest.height else []
        # A chunk all of one time cannot be cut: more must come.
        if taken.is_empty() and not self.ended and until_ns == self.last_ns:
            self._fetch()
        return taken

    def _fetch(self) -> None:
        """Hold one more frame, if there is one."""
        frame = next(self._frames, None)
        self.ended = frame is None
        if frame is None or frame.height == 0:
            return
        times = frame[self._index].cast(pl.Int64)
        latest: Any = times.max()
        earliest: Any = times.min()
        self.last_ns = max(self.last_ns, latest or 0)
        self.first_ns = earliest if self.first_ns is None else self.first_ns
        self._held.append(frame)


class _Books:
    """Which books the records are of, and since when each is known whole."""

    def __init__(self) -> None:
        self.since_ns: dict[int, int | None] = {}
        self.first_ns: int | None = None
        self.last_ns = -1

    def see(self, batch: MboBatch) -> None:
        """Take note of a batch of records."""
        keys = record_keys(batch)
        for key in np.unique(keys).tolist():
            self.since_ns.setdefault(key, None)
        whole = (batch.action == Action.CLEAR) | (batch.flags & Flag.SNAPSHOT != 0)
        found, first = np.unique(keys[whole], return_index=True)
        times = np.minimum(batch.ts_recv[whole][first], np.uint64(2**63 - 1))
        for key, time in zip(found.tolist(), times.tolist(), strict=True):
            if self.since_ns[key] is None:
                self.since_ns[key] = time
        known = batch.ts_recv[batch.ts_recv < 2**63]
        if len(known):
            self.first_ns = int(known[0]) if self.first_ns is None else self.first_ns
            self.last_ns = max(self.last_ns, int(known.max()))

    def cold(self, keys: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows are of a book that was not known whole at their time."""
        since = {key: -1 if ns is None else ns for key, ns in self.since_ns.items()}
        start = np.array([since.get(key, 0) for key in keys.tolist()], np.int64)
        result: NDArray[np.bool_] = (start < 0) | (times < start)
        return result


class _Differ:
    """Pairs rows and counts what differs."""

    def __init__(self, result: Comparison, books: _Books) -> None:
        self._result, self._books = result, books
        self._index = find_schema(result.schema).time_column

    def compare(self, ours: pl.DataFrame, theirs: pl.DataFrame, sides: tuple[_Side, _Side]) -> None:
        result = self._result
        result.ours, result.theirs = result.ours + ours.height, result.theirs + theirs.height
        if ours.is_empty() or theirs.is_empty():
            self._left_over(ours, result.only_ours, "ours", sides[1])
            self._left_over(theirs, result.only_theirs, "theirs", sides[0])
            return
        ours, theirs = self._placed(ours), self._placed(theirs)
        key = [*self._key(ours), _PLACE]
        marked = ours.with_row_index("our_row"), theirs.with_row_index("their_row")
        pairs = (
            marked[0]
            .select(*key, "our_row")
            .join(
                marked[1].select(*key, "their_row"), on=key, nulls_equal=True, maintain_order="left"
            )
        )
        self._pairs(ours[pairs["our_row"]], theirs[pairs["their_row"]])
        for rows, paired, count, side, other in (
            (marked[0], pairs["our_row"], result.only_ours, "ours", sides[1]),
            (marked[1], pairs["their_row"], result.only_theirs, "theirs", sides[0]),
        ):
            alone = rows.filter(~pl.col(rows.columns[0]).is_in(paired.implode()))
            self._left_over(alone, count, side, other)

    def _key(self, rows: pl.DataFrame) -> list[str]:
        """The columns that tell a row's book and event."""
        names = (self._index, *BOOK_KEY, "sequence")
        return [name for name in names if name in rows.columns]

    def _placed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with their place among those of the same book and event."""
        return rows.with_columns(pl.int_range(pl.len()).over(self._key(rows)).alias(_PLACE))

    def _pairs(self, ours: pl.DataFrame, theirs: pl.DataFrame) -> None:
        result = self._result
        names = [n for n in ours.columns if n in theirs.columns and n != _PLACE]
        unequal = pl.DataFrame({name: ours[name].ne_missing(theirs[name]) for name in names})
        differs = unequal.select(pl.any_horizontal(pl.all())).to_series()
        result.pairs += ours.height
        result.equal += ours.height - int(differs.sum())
        for name, count in unequal.sum().row(0, named=True).items():
            if count:
                result.columns[name] += count
        strange = differs.arg_true()
        if len(strange) == 0:
            return
        # Levels that were there before the records began can be missing; nothing else can differ.
        firm = [name for name in names if not name.startswith(_LEVELS)]
        of_levels = ~unequal.select(pl.any_horizontal(firm)).to_series().gather(strange).to_numpy()
        cold = self._cold(ours[strange]) & of_levels
        result.differing.update(np.where(cold, "cold", "unexplained").tolist())
        for row in strange.gather(np.flatnonzero(~cold)).head(self._examples_left()).to_list():
            columns = [name for name in names if unequal[name][row]]
            self._example(
                "differs",
                ours[row],
                {name: (_shown(ours[name], row), _shown(theirs[name], row)) for name in columns},
            )

    def _left_over(self, rows: pl.DataFrame, count: Counter[str], side: str, other: _Side) -> None:
        if rows.is_empty():
            return
        times = rows[self._index].cast(pl.Int64).fill_null(0).to_numpy()
        cold = self._cold(rows) & (side == "ours")
        if side == "theirs":
            span = self._books.first_ns or 0, self._books.last_ns
            unknown = ~np.isin(_keys(rows), np.fromiter(self._books.since_ns, np.int64))
        else:
            span = other.first_ns or 0, other.last_ns if other.ended else 2**63 - 1
            unknown = np.zeros(rows.height, np.bool_)
        reasons = np.select(
            [unknown, times < span[0], times > span[1], cold],
            ["no records", "before", "after", "cold"],
            "unexplained",
        )
        count.update(reasons.tolist())
        for row in np.flatnonzero(reasons == "unexplained")[: self._examples_left()].tolist():
            self._example(f"only {side}", rows[row], {})

    def _cold(self, rows: pl.DataFrame) -> NDArray[np.bool_]:
        times = rows[self._index].cast(pl.Int64).fill_null(0).to_numpy()
        return self._books.cold(_keys(rows), times)

    def _examples_left(self) -> int:
        return EXAMPLES_MAX - len(self._result.examples)

    def _example(self, what: str, row: pl.DataFrame, columns: dict[str, Any]) -> None:
        named = (self._index, *BOOK_KEY, "sequence", "action")
        place = {name: _shown(row[name], 0) for name in named if name in row.columns}
        self._result.examples.append({"what": what, **place, "ours_and_theirs": columns})


def _keys(rows: pl.DataFrame) -> NDArray[np.int64]:
    key = pl.col("publisher_id").cast(pl.Int64) * 2**32 + pl.col("instrument_id").cast(pl.Int64)
    return rows.select(key).to_series().to_numpy()


def _shown(column: pl.Series, row: int) -> int | str | None:
    """A value as JSON has it."""
    if column.dtype == TIME_TYPE:  # a datetime of Python has no nanoseconds
        ts_ns: int | None = column.cast(pl.Int64)[row]
        return None if ts_ns is None else format_time(ts_ns)
    value: int | str | None = column[row]
    return value
