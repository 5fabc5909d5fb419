"""Compares our rows of a schema with the rows of another program's file, row by row.

The rule: the job reads both sides once, in order of time. Symbols select the rows of both sides as
they select records (`symbol_selection.py`). It pairs a row with the other side's row
of the same book and event, at the same position in the event, and compares every column that both
sides have. It counts rows without a counterpart, and pairs that differ, by reason.

| reason        | applies to                  | when                                              |
|---------------|-----------------------------|---------------------------------------------------|
| no records    | their rows                  | the input has no record of the book               |
| cut_off       | any row or pair             | the input begins or ends within the event, or     |
|               |                             | within the interval that the row covers           |
| before, after | their rows and our rows     | the row is outside the time span of the other side|
| cold          | our rows, and pairs in      | the book began mid-session: it is a lower bound   |
|               | which only levels differ,   |                                                   |
|               | or a trade from before      |                                                   |
| unexplained   | any row or pair             | no other reason applies                           |

Two things are counted and not compared: sides, where the other file is of the old generation
(`SideGeneration`), and pairs with sizes that may exceed 32 bits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batonics.frames.columns.books import BOOK_KEY
from batonics.frames.columns.mbo_frame import TIME_TYPE
from batonics.frames.scan.symbols import FrameSymbols
from batonics.frames.schemas.row_keys import RowKeys
from batonics.frames.schemas.table import find_schema
from batonics.jobs.comparison_reasons import (
    OVER_32_BITS,
    BookHistory,
    SideGeneration,
    differ_in_what_precedes,
    exceed_32_bits,
    has_change_sides,
)
from batonics.jobs.convert import Conversion, ConvertRequest, RowOptions
from batonics.jobs.progress import ReadProgress
from batonics.jobs.row_chunks import RowChunks
from batonics.model.errors import UsageError
from batonics.model.times import format_time
from batonics.sources.input_files import is_read_once
from batonics.sources.tables import detect_schema, read_table

EXAMPLES_MAX = 10
_POSITION = "position"


@dataclass
class Comparison:
    """The result of a comparison.

    Attributes:
        schema: the schema of the rows.
        ours: the number of our rows.
        theirs: the number of their rows.
        pairs: the number of rows that have a counterpart.
        equal: the number of pairs that are equal in every column that is compared.
        columns: the number of pairs in which a column differs, by column; none that never differs.
        only_ours: the number of our rows without a counterpart, by reason.
        only_theirs: the number of their rows without a counterpart, by reason.
        differing: the number of pairs that differ, by reason.
        not_compared: the number of pairs that are not compared, by reason.
        over_32_bits: the number of our and of their rows with sizes that may exceed 32 bits.
        old_generation: whether the other file has sides for trades alone; None: the other file
            has no rows that could say.
        sides_not_compared: the number of pairs whose sides are not compared for that reason.
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
    not_compared: Counter[str] = field(default_factory=Counter)
    over_32_bits: Counter[str] = field(default_factory=Counter)
    old_generation: bool | None = None
    sides_not_compared: int = 0
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
            "not_compared_pairs": dict(sorted(self.not_compared.items())),
            "rows_over_32_bits": {side: self.over_32_bits[side] for side in ("ours", "theirs")},
            "old_generation": self.old_generation,
            "sides_not_compared": self.sides_not_compared,
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
    if any(map(is_read_once, input_paths)):
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
    books = BookHistory()
    conversion.on_batch = books.add
    schema = conversion.request.schema
    index = find_schema(schema).time_column
    result = Comparison(schema)
    comparer, other = _RowComparer(result, books), _OtherRows(conversion)
    with (
        closing(conversion.frames(RowOptions(symbol=False))) as our_frames,
        closing(read_table(path, schema)) as their_frames,
    ):
        ours, theirs = (RowChunks(frames, index) for frames in (our_frames, their_frames))
        while ours.has_more or theirs.has_more:
            ours.fill()
            theirs.fill()
            # Both sides hold all of their rows before this time.
            bounds = [side.last_ns for side in (ours, theirs) if not side.ended]
            until_ns = min(bounds) if bounds else None
            books.ended = ours.ended
            selected = other.select(theirs.take(until_ns))
            comparer.compare(ours.take(until_ns), selected, (ours, theirs))
    comparer.finish()
    return result


class _OtherRows:
    """Selects the rows of the other file by the symbols of a conversion, on their dates."""

    def __init__(self, conversion: Conversion) -> None:
        self._selection = conversion.selection
        self._keys = RowKeys(find_schema(conversion.request.schema))
        self._symbols = FrameSymbols(conversion.stream.symbols)

    def select(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The selected ones of the next rows; all records before these were read."""
        if rows.is_empty() or not self._selection.names:
            return rows
        return self._keys.select(rows, self._symbols, self._selection.find_rows)


class _RowComparer:
    """Pairs rows, and counts differences."""

    def __init__(self, result: Comparison, books: BookHistory) -> None:
        self._result, self._books = result, books
        self._schema = find_schema(result.schema)
        self._index = self._schema.time_column
        self._sides = SideGeneration(has_change_sides(self._schema))

    def compare(
        self, ours: pl.DataFrame, theirs: pl.DataFrame, sides: tuple[RowChunks, RowChunks]
    ) -> None:
        result = self._result
        result.ours, result.theirs = result.ours + ours.height, result.theirs + theirs.height
        result.over_32_bits["ours"] += int(exceed_32_bits(ours).sum())
        result.over_32_bits["theirs"] += int(exceed_32_bits(theirs).sum())
        self._sides.add(theirs)
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

    def finish(self) -> None:
        """Decide what depends on the whole of the other file: whether it has sides."""
        result, sides = self._result, self._sides
        if not sides.applies:
            return
        result.old_generation = sides.is_old
        if sides.is_old:
            result.sides_not_compared = sides.not_compared
            return
        result.equal -= sides.reasons.total()
        result.differing += sides.reasons
        result.columns += Counter({"side": sides.not_compared})
        result.examples = (sides.examples + result.examples)[:EXAMPLES_MAX]

    def _compare_pairs(self, ours: pl.DataFrame, theirs: pl.DataFrame) -> None:
        result = self._result
        result.pairs += ours.height
        excluded = exceed_32_bits(ours) | exceed_32_bits(theirs)
        if excluded.any():
            result.not_compared[OVER_32_BITS] += int(excluded.sum())
            ours, theirs = ours.filter(~excluded), theirs.filter(~excluded)
        names = [n for n in ours.columns if n in theirs.columns and n != _POSITION]
        unequal = pl.DataFrame({name: ours[name].ne_missing(theirs[name]) for name in names})
        sideless = self._sides.lack_side(ours, theirs)
        if sideless.any():
            self._sides.not_compared += int(sideless.sum())
            unequal = unequal.with_columns(side=pl.col("side") & ~pl.Series(sideless))
        differs = unequal.select(pl.any_horizontal(pl.all())).to_series().to_numpy()
        result.equal += ours.height - int(differs.sum())
        for name, count in unequal.sum().row(0, named=True).items():
            if count:
                result.columns[name] += count
        self._count_pairs(ours, theirs, unequal, np.flatnonzero(differs))
        self._count_sideless(ours, theirs, np.flatnonzero(sideless & ~differs))

    def _count_pairs(
        self,
        ours: pl.DataFrame,
        theirs: pl.DataFrame,
        unequal: pl.DataFrame,
        rows: NDArray[np.intp],
    ) -> None:
        """Count pairs that differ by reason, and describe the first that are unexplained."""
        if len(rows) == 0:
            return
        reasons = self._pair_reasons(ours[rows], unequal[rows])
        self._result.differing.update(reasons.tolist())
        for row in rows[reasons == "unexplained"][: self._examples_left()].tolist():
            columns = [name for name in unequal.columns if unequal[name][row]]
            self._result.examples.append(self._example("differs", ours[row], theirs[row], columns))

    def _count_sideless(
        self, ours: pl.DataFrame, theirs: pl.DataFrame, rows: NDArray[np.intp]
    ) -> None:
        """Count pairs that differ in nothing but that their row has no side."""
        if len(rows) == 0:
            return
        sides, unequal = self._sides, pl.DataFrame({"side": np.ones(len(rows), np.bool_)})
        reasons = self._pair_reasons(ours[rows], unequal)
        sides.reasons.update(reasons.tolist())
        left = EXAMPLES_MAX - len(sides.examples)
        for row in rows[reasons == "unexplained"][:left].tolist():
            sides.examples.append(self._example("differs", ours[row], theirs[row], ["side"]))

    def _pair_reasons(self, ours: pl.DataFrame, unequal: pl.DataFrame) -> NDArray[np.str_]:
        """Why each of some pairs differs, by the columns in which it does."""
        cold = self._are_cold(ours) & differ_in_what_precedes(ours, unequal, self._schema)
        return np.select([self._are_cut_off(ours), cold], ["cut_off", "cold"], "unexplained")

    def _count_unpaired(
        self, rows: pl.DataFrame, count: Counter[str], side: str, other: RowChunks
    ) -> None:
        if rows.is_empty():
            return
        times = self._times(rows)
        cold = self._are_cold(rows) & (side == "ours")
        if side == "theirs":
            span = self._books.first_ns or 0, self._books.last_ns
            unknown = ~np.isin(_keys(rows), np.fromiter(self._books.since_ns, np.int64))
        else:
            span = other.first_ns or 0, other.last_ns if other.ended else 2**63 - 1
            unknown = np.zeros(rows.height, np.bool_)
        reasons = np.select(
            [unknown, self._are_cut_off(rows), times < span[0], times > span[1], cold],
            ["no records", "cut_off", "before", "after", "cold"],
            "unexplained",
        )
        count.update(reasons.tolist())
        for row in np.flatnonzero(reasons == "unexplained")[: self._examples_left()].tolist():
            self._result.examples.append(self._example(f"only {side}", rows[row], rows[row], []))

    def _are_cold(self, rows: pl.DataFrame) -> NDArray[np.bool_]:
        return self._books.are_cold(_keys(rows), self._times(rows))

    def _are_cut_off(self, rows: pl.DataFrame) -> NDArray[np.bool_]:
        return self._books.are_cut_off(_keys(rows), self._times(rows), self._schema)

    def _times(self, rows: pl.DataFrame) -> NDArray[np.int64]:
        return rows[self._index].cast(pl.Int64).fill_null(0).to_numpy()

    def _examples_left(self) -> int:
        return EXAMPLES_MAX - len(self._result.examples)

    def _example(
        self, what: str, ours: pl.DataFrame, theirs: pl.DataFrame, columns: Sequence[str]
    ) -> dict[str, Any]:
        """A difference, as JSON has it: where it is, and both values of the columns."""
        named = (self._index, *BOOK_KEY, "sequence", "action")
        location = {name: _json_value(ours[name], 0) for name in named if name in ours.columns}
        values = {
            name: (_json_value(ours[name], 0), _json_value(theirs[name], 0)) for name in columns
        }
        return {"what": what, **location, "ours_and_theirs": values}


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
