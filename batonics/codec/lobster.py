"""LOBSTER message files in, batches of MBO rows out. No I/O; used like `DbnDecoder`.

The rule here: what comes out depends on the lines alone, never on how they are cut into chunks.
docs/formats.md has the rules L1 to L9 of what lines become.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Generator
from datetime import date

import numpy as np

from batonics.codec import lobster_kernels as kernels
from batonics.codec.dbn import OTHERS_MAX
from batonics.codec.messages import LOBSTER_HALT, OtherRecord, write_header
from batonics.codec.record_kernels import OTHERS_FULL, ROWS_FULL
from batonics.codec.session_day import XNAS_PUBLISHER, day_bounds_ns
from batonics.codec.stream_decoder import LineDecoder
from batonics.model.book_changes import BookChange, TradingStatus
from batonics.model.mbo import MboBatch
from batonics.model.record_columns import TableNotes
from batonics.model.symbols import MappingInterval

HIDDEN_SIDE_END = date(2014, 7, 14)
"""From this day on Nasdaq names no side of hidden orders (rule L6)."""

_STATUSES = {-1: TradingStatus.HALT, 0: TradingStatus.QUOTING, 1: TradingStatus.TRADING}
_COLUMNS = (
    ("time", "seconds after midnight with up to 9 decimals, less than 86400"),
    ("type", "1 to 7"),
    ("order id", "an integer; from 1 on for types 1 to 4, 0 for type 7"),
    ("size", "0 to 4294967294; 0 for type 7"),
    ("price", "an integer of 1/10000 from 0 to 4294967295; -1, 0 or 1 for type 7"),
    ("direction", "1 or -1"),
)


class LobsterDecoder(LineDecoder):
    """Decodes the message file of one stock and day.

    See `StreamDecoder`; records are lines.

    Args:
        ticker: the symbol of the stock.
        session: the day in New York.
        batch_rows, buffers, skip_bad, source: as of `StreamDecoder`.

    Attributes:
        ticker: the symbol of the stock.
        other_records: lines of type 7.
    """

    BATCH_ROWS_MIN = kernels.LINE_ROWS_MAX

    def __init__(  # noqa: PLR0913 - settings, by keyword
        self,
        ticker: str,
        session: date,
        *,
        batch_rows: int = 65_536,
        buffers: int = 1,
        skip_bad: bool = False,
        source: str | None = None,
    ) -> None:
        super().__init__(
            batch_rows=batch_rows,
            buffers=buffers,
            skip_bad=skip_bad,
            source=source,
            line_bytes_max=kernels.LOBSTER_LINE_BYTES_MAX,
        )
        self.ticker = ticker
        start_ns, end_ns = day_bounds_ns(session)
        self._day = kernels.LobsterSession(XNAS_PUBLISHER, start_ns, int(session < HIDDEN_SIDE_END))
        self._mappings = [MappingInterval(start_ns, end_ns, kernels.INSTRUMENT_ID, ticker)]
        self._others = kernels.OtherLines._make(np.empty(OTHERS_MAX, np.int64) for _ in range(3))

    def new_names(self) -> list[MappingInterval]:
        """The symbol of the file, once; it holds on its day."""
        taken, self._mappings = self._mappings, []
        return taken

    def take_counts(self) -> Counter[int]:
        """Lines that are neither rows nor other records: there are none."""
        return Counter()

    def describe(self) -> TableNotes:
        """What the file cannot tell, in words (rule L8)."""
        return TableNotes(remarks=(_REMARK,))

    def _decode(self, data: bytes, position: int, stop: int) -> Generator[MboBatch, None, None]:
        """Decode the lines of `data[position:stop]`, which is empty or ends with a newline."""
        array = np.frombuffer(data, np.uint8)
        while position < stop:
            start, first_row, first_record = position, self._row, self.records
            position, self._row, self.records, other_count, reason = kernels.parse_lines(
                array,
                start,
                stop,
                first_record,
                int(self.rows > 0),
                (self._day.publisher_id, self._day.midnight_ns, self._day.knows_hidden_side),
                tuple(self._columns),
                first_row,
                tuple(self._others),
            )
            self._keep_others(data, start, first_row, other_count)
            self.rows += self._row - first_row
            self.byte_offset += position - start
            if reason in (ROWS_FULL, OTHERS_FULL):
                yield self._take_batch()
            elif reason == kernels.BAD_LINE:
                line_end = data.index(b"\n", position)
                # Of a line that is too long the end need not have come: it is never skipped.
                if not self._skip_bad or line_end - position > kernels.LOBSTER_LINE_BYTES_MAX:
                    yield self._take_batch()
                    is_long = line_end - position > self._line_bytes_max
                    words = describe_bad_line(data[position:line_end])
                    raise self._damage(self._too_long() if is_long else words)
                self.skipped += 1
                self.records += 1
                self.byte_offset += line_end + 1 - position
                position = line_end + 1

    def _keep_others(self, data: bytes, start: int, first_row: int, other_count: int) -> None:
        """Keep the lines of type 7, and the trading status that they give (rule L7)."""
        for index in range(other_count):
            at = int(self._others.position[index])
            line = data[at : data.index(b"\n", at)]
            time, _, _, _, price, *_ = line.split(b",")
            seconds, _, decimals = time.partition(b".")
            time_ns = int(seconds) * 10**9 + int(decimals.ljust(9, b"0") or 0)
            status = BookChange(
                self._day.midnight_ns + time_ns,
                self._day.publisher_id,
                kernels.INSTRUMENT_ID,
                _STATUSES[int(price)],
            )
            header = write_header(
                LOBSTER_HALT, self._day.publisher_id, kernels.INSTRUMENT_ID, status.start_ns
            )
            self.other_records.append(
                OtherRecord(
                    rtype=LOBSTER_HALT,
                    byte_offset=self.byte_offset + at - start,
                    record_index=int(self._others.line[index]),
                    rows_before=self.rows + int(self._others.row[index]) - first_row,
                    data=header + line,
                    content=status,
                )
            )


_REMARK = (
    "a LOBSTER message file has no orders from before it, and nothing of orders outside its levels:"
    " its books are stale"
)


def describe_bad_line(line: bytes) -> str:
    """Which column of a bad line is bad, and what is expected there."""
    columns = line.removesuffix(b"\r").split(b",")
    if not len(_COLUMNS) <= len(columns) <= len(_COLUMNS) + 1:
        return f"the line has {len(columns)} columns, expected 6 or 7"
    kind = columns[1]
    for (name, expected), text in zip(_COLUMNS, columns, strict=False):
        if not _is_good(name, text, kind):
            found = text.decode("ascii", errors="backslashreplace")
            return f"the {name} is {found[:40]!r}, expected {expected}"
    return "the line cannot be read"


def _is_good(name: str, text: bytes, kind: bytes) -> bool:
    """Whether a column may be so, for a message."""
    if name == "time":
        seconds, point, decimals = text.partition(b".")
        is_decimal = decimals.isdigit() and len(decimals) <= 9 if point else True
        return seconds.isdigit() and is_decimal and int(seconds) < 86_400
    digits = text.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 18:
        return False
    return int(text) in _allowed(name, kind)


def _allowed(name: str, kind: bytes) -> Container[int]:
    """The values that a column may have."""
    is_halt = kind == b"7"
    order_ids = {b"5": range(10**18), b"6": range(-(10**18), 10**18), b"7": (0,)}
    return {
        "type": range(1, 8),
        "order id": order_ids.get(kind, range(1, 10**18)),
        "size": (0,) if is_halt else range(2**32 - 1),
        "price": range(-1, 2) if is_halt else range(2**32),
        "direction": (1, -1),
    }[name]
