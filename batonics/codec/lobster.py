"""LOBSTER message files in, batches of MBO rows out. No I/O; used like `DbnDecoder`.

The rule here: what comes out depends on the lines alone, never on how they are cut into chunks.
docs/formats.md has the rules L1 to L9 of what lines become.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Generator, Iterator
from datetime import date

import numpy as np
from numpy.typing import NDArray

from batonics.codec import lobster_kernels as kernels
from batonics.codec.dbn import OTHERS_MAX
from batonics.codec.messages import LOBSTER_HALT, OtherRecord, write_header
from batonics.codec.record_kernels import OTHERS_FULL, ROWS_FULL
from batonics.codec.session_day import XNAS_PUBLISHER, day_bounds_ns
from batonics.model.book_changes import BookChange, TradingStatus
from batonics.model.errors import BatonicsError, DamagedInputError, InputError, UsageError
from batonics.model.mbo import MboBatch, empty_batch, slice_batch
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


class LobsterDecoder:
    """Decodes the message file of one stock and day.

    Feed it the file in chunks of any size, exhausting each `feed`, then TRAILER, then `close` it.

    Args:
        ticker: the symbol of the stock.
        session: the day in New York.
        batch_rows: the greatest number of rows of a batch, 4 or more.
        buffers: the number of batches that stay valid: a batch is overwritten by the one that comes
            so many after it.
        skip_bad: whether a bad line is counted and skipped instead of refused.
        source: a name for error messages.

    Attributes:
        ticker: the symbol of the stock.
        records: lines so far, skipped ones included; blank lines do not count.
        rows: MBO rows decoded.
        byte_offset: the offset of the next line.
        skipped: bad lines skipped (only with `skip_bad`).
        other_records: lines of type 7. The caller clears the list after each batch and after the
            last one.
        metadata: always None, for callers that also use a `DbnDecoder`.
        files: always 1, for the same callers.
        is_salvageable: always True, for the same callers.
    """

    TRAILER = b"\n"
    """What is fed after the last chunk, as the last line may lack its newline."""

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
        if batch_rows < kernels.LINE_ROWS_MAX or buffers < 1:
            raise UsageError(
                f"batch_rows is {batch_rows}, buffers {buffers}, expected"
                f" {kernels.LINE_ROWS_MAX} and 1 or more"
            )
        self.ticker = ticker
        self.records = 0
        self.rows = 0
        self.byte_offset = 0
        self.skipped = 0
        self.other_records: list[OtherRecord] = []
        self.metadata: None = None
        self.files = 1
        self.is_salvageable = True
        start_ns, end_ns = day_bounds_ns(session)
        self._day = kernels.LobsterSession(XNAS_PUBLISHER, start_ns, int(session < HIDDEN_SIDE_END))
        self._mappings = [MappingInterval(start_ns, end_ns, kernels.INSTRUMENT_ID, ticker)]
        self._skip_bad, self._source = skip_bad, source
        self._buffers = [empty_batch(batch_rows) for _ in range(buffers)]
        self._row = 0
        self._others = kernels.OtherLines._make(np.empty(OTHERS_MAX, np.int64) for _ in range(3))
        self._head = bytearray()
        self._failure: BatonicsError | None = None

    @property
    def pending_bytes(self) -> int:
        """How many of the last bytes fed belong to an incomplete line."""
        return len(self._head)

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

    def feed(self, data: bytes | bytearray | memoryview | NDArray[np.uint8]) -> Iterator[MboBatch]:
        """Decode the next chunk. Its last batch may be short, so no row waits for more bytes.

        Rows before a bad line are yielded before the error is raised: a batch, which may be empty.

        Raises:
            DamagedInputError: a line is not of a message file, or too long.
        """
        if self._failure is not None:
            raise self._failure
        try:
            yield from self._feed(bytes(data))
        except BatonicsError as error:
            self._failure = error
            raise

    def close(self) -> None:
        """Say that the file has ended.

        Raises:
            DamagedInputError: it ended within a line.
            InputError: it was empty.
        """
        if self._failure is not None:
            raise self._failure
        if self._head:
            raise self._damage(f"the stream ends after {len(self._head)} bytes of a line")
        if not self.records:
            prefix = f"{self._source}: " if self._source else ""
            raise InputError(f"{prefix}the input is empty")

    def _feed(self, chunk: bytes) -> Generator[MboBatch, None, None]:
        position = 0
        if self._head:
            position = chunk.find(b"\n") + 1
            self._head += chunk[: position or None]
            if position:
                line = bytes(self._head)
                self._head.clear()
                yield from self._decode(line, 0, len(line))
        if position or not self._head:
            stop = chunk.rfind(b"\n") + 1
            yield from self._decode(chunk, position, stop)
            self._head += chunk[max(stop, position) :]
        if self._row:
            yield self._take_batch()
        if len(self._head) > kernels.LOBSTER_LINE_BYTES_MAX:
            raise self._damage(_TOO_LONG)

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
                tuple(self._buffers[0]),
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
                    raise self._damage(describe_bad_line(data[position:line_end]))
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

    def _take_batch(self) -> MboBatch:
        batch = slice_batch(self._buffers[0], 0, self._row)
        self._row = 0
        self._buffers.append(self._buffers.pop(0))
        return batch

    def _damage(self, reason: str) -> DamagedInputError:
        return DamagedInputError(
            reason,
            byte_offset=self.byte_offset,
            record_index=self.records,
            source=self._source,
        )


_REMARK = (
    "a LOBSTER message file has no orders from before it, and nothing of orders outside its levels:"
    " its books are stale"
)
_TOO_LONG = f"the line is longer than {kernels.LOBSTER_LINE_BYTES_MAX} bytes"


def describe_bad_line(line: bytes) -> str:
    """Which column of a bad line is bad, and what is expected there."""
    if len(line) > kernels.LOBSTER_LINE_BYTES_MAX:
        return _TOO_LONG
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
