"""Tables of MBO records from any writer, converted to batches: columns by name, in any order.

The rule here: the same records give the same batches as DBN gives, whatever wrote the table.
`column_values.py` converts one column. Columns that no record of MBO has are left out.

| column                 | taken                                                                |
|------------------------|----------------------------------------------------------------------|
| ts_recv, ts_event      | timestamps, integers of nanoseconds, ISO 8601 text                   |
| price                  | integers of 1e-9, decimals, floats, decimal or integer text          |
| action, side           | letters or ASCII codes                                               |
| symbol                 | text: the name of the instrument on the UTC date of the record's time|
| rtype                  | 160                                                                  |
| hd                     | a struct of ts_event, publisher_id, instrument_id, as the vendor's   |
|                        | JSON has it                                                          |
| others                 | integers                                                             |

`channel_id` and `ts_in_delta` may be missing: no book depends on them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from batonics.codec.column_casts import is_text, plain_column
from batonics.codec.column_notes import (
    NO_NANOSECONDS,
    BadValueError,
    ColumnNotes,
    check_text_times,
)
from batonics.codec.column_values import (
    NEAR_FLOAT_STEPS,
    has_decimal_point,
    integer_column,
    letter_column,
    price_column,
    time_column,
)
from batonics.model.errors import InputError
from batonics.model.mbo import (
    MBO_COLUMN_DTYPES,
    RTYPE_MBO,
    UNDEF_PRICE,
    Action,
    MboBatch,
    Side,
)
from batonics.model.record_columns import OPTIONAL_DEFAULTS, TableNotes
from batonics.model.record_times import RecordTimes
from batonics.model.symbols import MappingInterval
from batonics.model.times import NS_PER_DAY

NAME_COLUMN = "symbol"
HEADER = "hd"
TABLE_COLUMNS = frozenset({*MBO_COLUMN_DTYPES, NAME_COLUMN, "rtype", HEADER})
"""The columns of a table that are read."""
_CATEGORIES = ("action", "side", NAME_COLUMN)
UNIT_ROWS = 4_096
"""Rows that decide whether prices as text are decimals."""
TEXT_TIME_ROWS = 4_096
"""Rows of which one must show nanoseconds, where times are text."""
SMALL_PRICE = 100_000
"""A table of which no price is as large, in units of 1e-9, may have another unit."""


class MboColumns:
    """Converts the record batches of one table, in their order.

    Args:
        schema: the columns of the table.
        lossy: whether values of which something is lost are taken.

    Attributes:
        notes: what was found so far.

    Raises:
        InputError: a column is missing or there twice.
    """

    def __init__(self, schema: pa.Schema, *, lossy: bool = False) -> None:
        self.notes = ColumnNotes(lossy=lossy)
        self._find = _column_finders(schema)
        self._names = _DatedNames()
        self._rows = 0
        self._integer_price_max = -1

    def find_unit(self, table: pa.RecordBatch, *, is_end: bool) -> bool:
        """Whether the unit of prices is known from the first rows of the table.

        Prices as text may be decimals of which some are whole, or integers of 1e-9: the first
        `UNIT_ROWS` rows decide.

        Args:
            table: the rows so far.
            is_end: no more rows come.
        """
        prices = plain_column(self._find["price"](table.slice(0, UNIT_ROWS)))
        if not is_text(prices.type):
            return is_end or prices.null_count < len(prices)
        if has_decimal_point(prices):
            self.notes.decimal_prices = True
        return is_end or bool(self.notes.decimal_prices) or table.num_rows >= UNIT_ROWS

    def convert(self, table: pa.RecordBatch) -> MboBatch:
        """The next rows, in arrays of their own.

        Raises:
            BadValueError: a value is refused. Nothing of the rows is taken then.
            InputError: a column has a type that holds no such values.
        """
        before = self.notes.copy()
        try:
            return self._convert(table)
        except BadValueError:
            self.notes = before
            raise

    def convert_good(self, table: pa.RecordBatch) -> tuple[MboBatch, BadValueError | None]:
        """The next rows up to the first one that is refused, and why it is.

        Raises:
            InputError: a column has a type that holds no such values.
        """
        fault: BadValueError | None = None
        while True:
            try:
                return self.convert(table), fault
            except (
                BadValueError
            ) as found:  # columns are converted one by one: rows before may be bad
                fault, table = found, table.slice(0, found.row)

    def _convert(self, table: pa.RecordBatch) -> MboBatch:
        found = {
            name: plain_column(find(table), keeps_dictionary=name in _CATEGORIES)
            for name, find in self._find.items()
        }
        notes, rows = self.notes, table.num_rows
        if "rtype" in found:
            _check_rtype(integer_column("rtype", found["rtype"], np.dtype(np.uint8), notes))
        arrays = {}
        for name, dtype in MBO_COLUMN_DTYPES.items():
            if name not in found:
                arrays[name] = np.full(rows, OPTIONAL_DEFAULTS[name], dtype)
            elif name in ("ts_recv", "ts_event"):
                arrays[name] = time_column(name, found[name], notes)
            elif name == "price":
                arrays[name] = price_column(name, found[name], notes)
            elif name in ("action", "side"):
                letters = Action if name == "action" else Side
                arrays[name] = letter_column(name, found[name], letters)
            else:
                arrays[name] = integer_column(name, found[name], dtype, notes)
        batch = MboBatch(**arrays)
        dtype = found["price"].type
        if pa.types.is_integer(dtype) or (is_text(dtype) and not notes.decimal_prices):
            self._note_prices(batch.price)
        self._rows += rows
        if self._rows >= TEXT_TIME_ROWS:
            check_text_times(notes)
        if NAME_COLUMN in found:
            codes, texts = _encode_names(found[NAME_COLUMN])
            self._names.add(batch, codes, texts)
        return batch

    def note_rows(
        self, batch: MboBatch, codes: NDArray[np.int64], texts: Sequence[str | None]
    ) -> None:
        """Note rows that have been converted elsewhere, in the forms that the notes say.

        Args:
            batch: the rows.
            codes: (rows,) the codes of their names.
            texts: by code, the names.
        """
        self._rows += len(batch.action)
        if not self.notes.decimal_prices:
            self._note_prices(batch.price)
        if NAME_COLUMN in self._find:
            self._names.add(batch, codes, texts)

    def finish(self) -> None:
        """Say that the table has ended.

        Raises:
            InputError: nothing of the table shows nanoseconds, and losses are refused.
        """
        check_text_times(self.notes)

    def new_names(self) -> list[MappingInterval]:
        """The names that were found since the last call."""
        return self._names.take_new()

    def describe(self) -> TableNotes:
        """What a user has to know of the table."""
        losses = [f"{kind} ({count:,} values)" for kind, count in self.notes.losses.items()]
        lines = []
        if self.notes.text_times and not self.notes.has_nanoseconds:
            losses += [f"{NO_NANOSECONDS} ({self.notes.text_times:,} values)"]
        near = self.notes.near_floats
        if self.notes.has_float_prices or near:
            line = "prices are floats; each is the float nearest to one price of 1e-9"
            if near:
                line += f", or up to {NEAR_FLOAT_STEPS} floats beside it ({near:,} values)"
            lines.append(line)
        if 0 < self._integer_price_max < SMALL_PRICE:
            lines.append(
                "prices are integers and taken as units of 1e-9, so none reaches 0.0001; write"
                " decimals if they are no such units"
            )
        return TableNotes(tuple(losses), tuple(lines))

    def _note_prices(self, prices: NDArray[np.int64]) -> None:
        """Note the greatest of prices that are integers."""
        known = prices[prices != UNDEF_PRICE]
        if len(known):
            self._integer_price_max = max(self._integer_price_max, int(np.abs(known).max()))


def _encode_names(column: pa.Array) -> tuple[NDArray[np.int64], list[str | None]]:
    """The codes of names, and the names by code.

    Raises:
        InputError: they are no text.
    """
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    values = plain_column(encoded.dictionary)
    if not (is_text(values.type) or pa.types.is_null(values.type)):
        raise InputError(f"column {NAME_COLUMN} is {values.type}, expected text")
    texts = values.to_pylist()
    codes = encoded.indices.cast(pa.int64()).fill_null(len(texts))
    return codes.to_numpy(zero_copy_only=False), [*texts, None]


def _check_rtype(rtypes: NDArray[np.uint8]) -> None:
    other = rtypes != RTYPE_MBO
    if other.any():
        row = int(other.argmax())
        raise BadValueError(row, f"rtype is {rtypes[row]}, expected {RTYPE_MBO} (mbo)")


_Finder = Callable[[pa.RecordBatch], pa.Array]


def _column_finders(schema: pa.Schema) -> dict[str, _Finder]:
    """How each column is found.

    Raises:
        InputError: a column is missing or there twice.
    """
    wanted = [*MBO_COLUMN_DTYPES, NAME_COLUMN, "rtype"]
    names = Counter(schema.names)
    finders: dict[str, _Finder] = {}
    inner: Sequence[str] = ()
    if names[HEADER] == 1 and pa.types.is_struct(schema.field(HEADER).type):
        inner = [field.name for field in schema.field(HEADER).type]
    for name in wanted:
        if names[name] + list(inner).count(name) > 1:
            raise InputError(f"column {name} is there twice")
        if names[name]:
            finders[name] = _outer_finder(name)
        elif name in inner:
            finders[name] = _inner_finder(name)
    missing = [name for name in MBO_COLUMN_DTYPES if name not in finders]
    missing = [name for name in missing if name not in OPTIONAL_DEFAULTS]
    if missing:
        hint = ""
        if missing == ["ts_recv"]:
            hint = "; it is the index of the vendor's frames: write them with their index"
        raise InputError(f"column {', '.join(missing)} is missing{hint}")
    return finders


def _outer_finder(name: str) -> _Finder:
    return lambda table: table.column(name)


def _inner_finder(name: str) -> _Finder:
    return lambda table: pc.struct_field(table.column(HEADER), name)


class _DatedNames:
    """The names of instruments by the UTC date of their records."""

    def __init__(self) -> None:
        self._times = RecordTimes()
        self._known: set[tuple[int, str, int]] = set()
        self._new: list[MappingInterval] = []

    def add(self, batch: MboBatch, codes: NDArray[np.int64], texts: Sequence[str | None]) -> None:
        """Take the names of the next records: those of `texts` with their codes; empty: none."""
        times = self._times.find_times(batch.ts_recv, batch.flags)
        if not len(times):
            return
        first, last = int(times.min()) // NS_PER_DAY, int(times.max()) // NS_PER_DAY
        keys = batch.instrument_id.astype(np.int64) << 31 | codes
        days = np.zeros(0, np.uint64) if first == last else times // np.uint64(NS_PER_DAY)
        for day in [first] if first == last else np.unique(days).tolist():
            of_day = keys if first == last else keys[days == day]
            is_one = bool((of_day == of_day[0]).all())
            for key in of_day[:1].tolist() if is_one else pc.unique(pa.array(of_day)).to_pylist():
                symbol = texts[key & (1 << 31) - 1]
                if symbol:
                    self._add(key >> 31, symbol, int(day))

    def _add(self, instrument_id: int, symbol: str, day: int) -> None:
        known = (instrument_id, symbol, day)
        if known not in self._known:
            self._known.add(known)
            start_ns = day * NS_PER_DAY
            self._new.append(
                MappingInterval(start_ns, start_ns + NS_PER_DAY, instrument_id, symbol)
            )

    def take_new(self) -> list[MappingInterval]:
        """The names since the last call."""
        new, self._new = self._new, []
        return new
