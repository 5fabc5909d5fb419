"""Compares our rows of a schema with the rows of another program's file, row by row.

The rule: the job reads both sides once, in order of time. It pairs a row with the other side's row
of the same book and event, at the same position in the event, and compares every column that both
sides have. It counts rows without a counterpart, and pairs that differ, by reason.

| reason        | applies to                  | when                                              |
|---------------|-----------------------------|---------------------------------------------------|
| no records    | their rows                  | the input has no record of the book               |
| before, after | their rows and our rows     | the row is outside the time span of the other side|
| cold          | our rows, and pairs in      | the book began mid-session: it is a lower bound   |
|               | which only levels differ    |                                                   |
| unexplained   | any row or pair             | no other reason applies                           |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.columns.mbo_frame import TIME_TYPE
from batonics.frames.schemas.table import find_schema
from batonics.jobs.convert import Conversion, ConvertRequest, RowOptions
from batonics.jobs.progress import ReadProgress
from batonics.model.errors import UsageError
from batonics.model.mbo import Action, Flag, MboBatch, record_keys
from batonics.model.times import format_time
from batonics.sources.chunks import STDIN
from batonics.sources.tables import detect_schema, read_table

EXAMPLES_MAX = 10
CHUNK_ROWS = 131_072
"""Rows of each side that are compared at once."""
_POSITION = "position"
_LEVELS = ("bid_", "ask_", "depth")


@dataclass
class Comparison:
    """The result of a comparison.

    Attributes:
        schema: the schema of the rows.
        ours: the number of our rows.
        theirs: the number of their rows.
        pairs: the number of rows that have a counterpart.
        equal: the number of pairs that are equal in every column that both sides have.
        columns: the number of pairs in which a column differs, by column; none that never differs.
        only_ours: the number of our rows without a counterpart, by reason.
        only_theirs: the number of their rows without a counterpart, by reason.
        differing: the number of pairs that differ, by reason.
        examples: the first differences, as JSON has them.
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
        """Whether some rows are equal, or there are none, and no difference is unexplained."""
        counts = (self.only_ours, self.only_theirs, self.differing)
        has_equal = self.equal > 0 or self.ours + self.theirs == 0
        return has_equal and not any(count["unexplained"] for count in counts)

    def report(self) -> dict[str, Any]:
        """The result, as JSON has it."""
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


def find_other_schema(
    path: str | None, schema: str | None, input_paths: Sequence[str]
) -> str | None:
    """The schema of another program's file; None if there is no file.

    Args:
        path: the file; None: there is none.
        schema: the schema that is asked for; None: the file says it.
        input_paths: the files of the records that are compared with it.

    Raises:
        UsageError: the records cannot be read twice, or there is no such schema.
        InputError: the file cannot be read, or does not say its schema.
    """
    if path is None:
        if schema is not None:
            raise UsageError("--schema is the schema of --against: give both")
        return None
    if STDIN in input_paths:
        raise UsageError("--against reads the records a second time: give files, not -")
    if schema is None:
        return detect_schema(path)
    find_schema(schema)
    return schema


def compare_with_file(
    request: ConvertRequest, path: str, progress: ReadProgress | None = None
) -> dict[str, Any]:
    """Compare the rows of a conversion with a file of the same schema; the result, as JSON has it.

    Args:
        request: the conversion.
        path: the file.
        progress: called with the input after each batch.

    Raises:
        InputError: the file cannot be read, or has another schema.
    """
    conversion = Conversion(request)
    conversion.progress = progress
    return {"file": path, **compare(conversion, path).report()}


def compare(conversion: Conversion, path: str) -> Comparison:
    """Compare the rows of a conversion with those of a file of the same schema.

    Raises:
        InputError: the file cannot be read, or has another schema.
    """
    books = _BookHistory()
    conversion.on_batch = books.add
    schema = conversion.request.schema
    index = find_schema(schema).time_column
    result = Comparison(schema)
    comparer = _RowComparer(result, books)
    with (
        closing(conversion.frames(RowOptions(symbol=False))) as our_frames,
        closing(read_table(path, schema)) as their_frames,
    ):
        ours, theirs = (_Side(frames, index) for frames in (our_frames, their_frames))
        while ours.has_more or theirs.has_more:
            ours.fill()
            theirs.fill()
            # Both sides hold all of their rows before this time.
            bounds = [side.last_ns for side in (ours, theirs) if not side.ended]
            until_ns = min(bounds) if bounds else None
            comparer.compare(ours.take(until_ns), theirs.take(until_ns), (ours, theirs))
    return result


class _Side:
    """The rows of one side, in chunks."""

    def __init__(self, frames: Iterator[pl.DataFrame], index: str) -> None:
        self.ended = False
        self.first_ns: int | None = None
        self.last_ns = -1
        self._frames = frames
        self._index = index
        self._frames_held: list[pl.DataFrame] = []

    @property
    def has_more(self) -> bool:
        """Whether rows are left to take."""
        return not self.ended or bool(self._frames_held)

    def fill(self) -> None:
        """Hold a chunk of rows, or all rows that are left."""
        while not self.ended and sum(frame.height for frame in self._frames_held) < CHUNK_ROWS:
            self._fetch()

    def take(self, until_ns: int | None) -> pl.DataFrame:
        """The rows before a time; None: all rows."""
        if not self._frames_held:
            return pl.DataFrame()
        rows = pl.concat(self._frames_held)
        if until_ns is None:
            self._frames_held = []
            return rows
        before = pl.col(self._index).cast(pl.Int64).fill_null(0) < until_ns
        selected, rest = rows.filter(before), rows.filter(~before)
        self._frames_held = [rest] if rest.height else []
        # A chunk in which all rows have one time cannot be cut, so it needs more rows.
        if selected.is_empty() and not self.ended and until_ns == self.last_ns:
            self._fetch()
        return selected

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
        self._frames_held.append(frame)


class _BookHistory:
    """The books that the records are of, and the time since when each book is complete."""

    def __init__(self) -> None:
        self.since_ns: dict[int, int | None] = {}
        self.first_ns: int | None = None
        self.last_ns = -1

    def add(self, batch: MboBatch) -> None:
        """Add a batch of records."""
        keys = record_keys(batch)
        for key in np.unique(keys).tolist():
            self.since_ns.setdefault(key, None)
        completes = (batch.action == Action.CLEAR) | (batch.flags & Flag.SNAPSHOT != 0)
        starts, first = np.unique(keys[completes], return_index=True)
        times = np.minimum(batch.ts_recv[completes][first], np.uint64(2**63 - 1))
        for key, time in zip(starts.tolist(), times.tolist(), strict=True):
            if self.since_ns[key] is None:
                self.since_ns[key] = time
        known = batch.ts_recv[batch.ts_recv < 2**63]
        if len(known):
            self.first_ns = int(known[0]) if self.first_ns is None else self.first_ns
            self.last_ns = max(self.last_ns, int(known.max()))

    def are_cold(self, keys: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the book of each row was incomplete at the time of the row."""
        since = {key: -1 if ns is None else ns for key, ns in self.since_ns.items()}
        start = np.array([since.get(key, 0) for key in keys.tolist()], np.int64)
        result: NDArray[np.bool_] = (start < 0) | (times < start)
        return result


class _RowComparer:
    """Pairs rows, and counts differences."""

    def __init__(self, result: Comparison, books: _BookHistory) -> None:
        self._result, self._books = result, books
        self._index = find_schema(result.schema).time_column

    def compare(self, ours: pl.DataFrame, theirs: pl.DataFrame, sides: tuple[_Side, _Side]) -> None:
        result = self._result
        result.ours, result.theirs = result.ours + ours.height, result.theirs + theirs.height
        if ours.is_empty() or theirs.is_empty():
            self._count_unpaired(ours, result.only_ours, "ours", sides[1])
            self._count_unpaired(theirs, result.only_theirs, "theirs", sides[0])
            return
        ours, theirs = self._number_rows(ours), self._number_rows(theirs)
        key = [*self._key(ours), _POSITION]
        numbered = ours.with_row_index("our_row"), theirs.with_row_index("their_row")
        pairs = (
            numbered[0]
            .select(*key, "our_row")
            .join(
                numbered[1].select(*key, "their_row"),
                on=key,
                nulls_equal=True,
                maintain_order="left",
            )
        )
        self._compare_pairs(ours[pairs["our_row"]], theirs[pairs["their_row"]])
        for rows, paired, count, side, other in (
            (numbered[0], pairs["our_row"], result.only_ours, "ours", sides[1]),
            (numbered[1], pairs["their_row"], result.only_theirs, "theirs", sides[0]),
        ):
            alone = rows.filter(~pl.col(rows.columns[0]).is_in(paired.implode()))
            self._count_unpaired(alone, count, side, other)

    def _key(self, rows: pl.DataFrame) -> list[str]:
        """The columns that identify the book and the event of a row."""
        names = (self._index, *BOOK_KEY, "sequence")
        return [name for name in names if name in rows.columns]

    def _number_rows(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with their positions among the rows of the same book and event."""
        return rows.with_columns(pl.int_range(pl.len()).over(self._key(rows)).alias(_POSITION))

    def _compare_pairs(self, ours: pl.DataFrame, theirs: pl.DataFrame) -> None:
        result = self._result
        names = [n for n in ours.columns if n in theirs.columns and n != _POSITION]
        unequal = pl.DataFrame({name: ours[name].ne_missing(theirs[name]) for name in names})
        differs = unequal.select(pl.any_horizontal(pl.all())).to_series()
        result.pairs += ours.height
        result.equal += ours.height - int(differs.sum())
        for name, count in unequal.sum().row(0, named=True).items():
            if count:
                result.columns[name] += count
        differing = differs.arg_true()
        if len(differing) == 0:
            return
        # Only levels from before the records began can be missing; other columns must be equal.
        others = [name for name in names if not name.startswith(_LEVELS)]
        only_levels = (
            ~unequal.select(pl.any_horizontal(others)).to_series().gather(differing).to_numpy()
        )
        cold = self._are_cold(ours[differing]) & only_levels
        result.differing.update(np.where(cold, "cold", "unexplained").tolist())
        for row in differing.gather(np.flatnonzero(~cold)).head(self._examples_left()).to_list():
            columns = [name for name in names if unequal[name][row]]
            self._add_example(
                "differs",
                ours[row],
                {
                    name: (_json_value(ours[name], row), _json_value(theirs[name], row))
                    for name in columns
                },
            )

    def _count_unpaired(
        self, rows: pl.DataFrame, count: Counter[str], side: str, other: _Side
    ) -> None:
        if rows.is_empty():
            return
        times = rows[self._index].cast(pl.Int64).fill_null(0).to_numpy()
        cold = self._are_cold(rows) & (side == "ours")
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
            self._add_example(f"only {side}", rows[row], {})

    def _are_cold(self, rows: pl.DataFrame) -> NDArray[np.bool_]:
        times = rows[self._index].cast(pl.Int64).fill_null(0).to_numpy()
        return self._books.are_cold(_keys(rows), times)

    def _examples_left(self) -> int:
        return EXAMPLES_MAX - len(self._result.examples)

    def _add_example(self, what: str, row: pl.DataFrame, columns: dict[str, Any]) -> None:
        named = (self._index, *BOOK_KEY, "sequence", "action")
        location = {name: _json_value(row[name], 0) for name in named if name in row.columns}
        self._result.examples.append({"what": what, **location, "ours_and_theirs": columns})


def _keys(rows: pl.DataFrame) -> NDArray[np.int64]:
    key = pl.col("publisher_id").cast(pl.Int64) * 2**32 + pl.col("instrument_id").cast(pl.Int64)
    return rows.select(key).to_series().to_numpy()


def _json_value(column: pl.Series, row: int) -> int | str | None:
    """The value of a row, as JSON has it."""
    if column.dtype == TIME_TYPE:  # datetimes of Python have no nanoseconds
        ts_ns: int | None = column.cast(pl.Int64)[row]
        return None if ts_ns is None else format_time(ts_ns)
    value: int | str | None = column[row]
    return value
