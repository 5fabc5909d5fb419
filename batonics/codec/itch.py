"""Nasdaq TotalView-ITCH 5.0 in, batches of MBO rows out. No I/O; used like `DbnDecoder`.

The rule here: what comes out depends on the bytes alone, never on how they are cut into chunks.
Whatever comes before the first fault comes out before the error. docs/formats.md has the rules I1
to I12 of what messages become.

    bytes ──▶ whole messages ──▶ one pass of the kernel ──▶ rows
                                  │  keeps the live orders    others: S, R and H are read here,
                                  └─────────────────────────▶ the rest is counted
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from datetime import date

import numpy as np
from numpy.typing import NDArray

from batonics.codec import itch_check_kernels as checks
from batonics.codec.dbn import OTHERS_MAX
from batonics.codec.itch_errors import describe_bad_message
from batonics.codec.itch_kernels import MESSAGE_ROWS_MAX, ItchSession, OtherMessages, parse_messages
from batonics.codec.itch_messages import (
    COUNTED_MESSAGES,
    ITCH_MESSAGE_BYTES_MAX,
    MESSAGE_WIDTHS,
    SYMBOL_BYTES,
    TRADING_STATE_AT,
    TRADING_STATES,
    message_symbol,
)
from batonics.codec.itch_order_kernels import (
    HAS_ENDED,
    ITCH_SLOT_WORDS,
    LIVE_ORDERS,
    MESSAGES,
    PROGRESS_WORDS,
    ItchState,
    rebuild_orders,
)
from batonics.codec.messages import Content, OtherRecord, write_header
from batonics.codec.record_kernels import INPUT_END, OTHERS_FULL, ROWS_FULL
from batonics.codec.session_day import XNAS_PUBLISHER, day_bounds_ns
from batonics.codec.stream_decoder import Bytes, StreamDecoder, as_read_only
from batonics.model.book_changes import BookChange
from batonics.model.definitions import Definition
from batonics.model.hash_salt import hash_salt
from batonics.model.mbo import UNDEF_PRICE, UNDEF_TIMESTAMP, MboBatch
from batonics.model.record_columns import TableNotes
from batonics.model.symbols import MappingInterval

_LENGTH_BYTES = 2
_SLOTS_AT_FIRST = 1 << 12
_MESSAGE_BYTES_MIN = 11  # what every message begins with
_NOT_ENDED = "it ends without End of Messages: the rest of its day may be missing"
MATCH_ALGORITHM = "F"
"""That of a definition: the vendor's letter for price, then time."""


class ItchDecoder(StreamDecoder):
    """Decodes the file of one day.

    See `StreamDecoder`; records are messages.

    Args:
        session: the day of the session in New York.
        publisher_id: the publisher of every row (rule I3).
        batch_rows, buffers, source: as of `StreamDecoder`.
        skip_bad: whether a bad message whose length is beyond doubt is counted and skipped.

    Attributes:
        other_records: messages of type S, R and H. At most OTHERS_MAX are added before a batch,
            which may be empty, is yielded.
    """

    BATCH_ROWS_MIN = MESSAGE_ROWS_MAX
    RECORD_NAME = "message"

    def __init__(  # noqa: PLR0913 - settings, by keyword
        self,
        session: date,
        *,
        publisher_id: int = XNAS_PUBLISHER,
        batch_rows: int = 65_536,
        buffers: int = 1,
        skip_bad: bool = False,
        source: str | None = None,
    ) -> None:
        super().__init__(batch_rows=batch_rows, buffers=buffers, skip_bad=skip_bad, source=source)
        start_ns, self._end_ns = day_bounds_ns(session)
        self._day = ItchSession(publisher_id, start_ns)
        self._others = OtherMessages._make(np.empty(OTHERS_MAX, np.int64) for _ in range(3))
        self._state = ItchState(
            orders=np.zeros(_SLOTS_AT_FIRST * ITCH_SLOT_WORDS, np.int64),
            symbols=np.zeros(1 << 16, np.uint64),
            counts=np.zeros(256, np.int64),
            progress=np.zeros(PROGRESS_WORDS, np.int64),
            salt=hash_salt(),
        )
        self._mappings: list[MappingInterval] = []
        self._mapped: set[int] = set()
        self._counted: Counter[int] = Counter()  # messages of other types that callers have taken
        self._is_closed = False

    @property
    def live_orders(self) -> int:
        """Orders that are live after the messages so far."""
        return int(self._state.progress[LIVE_ORDERS])

    @property
    def has_ended(self) -> bool:
        """Whether End of Messages has come: the file is complete (rule I4)."""
        return bool(self._state.progress[HAS_ENDED])

    @property
    def is_salvageable(self) -> bool:
        """Whether there are messages before the incomplete one."""
        return self.records > 0

    def new_names(self) -> list[MappingInterval]:
        """The symbols that were found since the last call; they hold on the day of the session."""
        taken, self._mappings = self._mappings, []
        return taken

    def take_counts(self) -> Counter[int]:
        """Messages since the last call that are neither rows nor other records, by type."""
        counts = self._state.counts
        now = Counter({kind: int(counts[kind]) for kind in COUNTED_MESSAGES if counts[kind]})
        taken, self._counted = now - self._counted, now
        return taken

    def describe(self) -> TableNotes:
        """What is unusual about the file, in words (rule I4); nothing before it is closed."""
        if self.has_ended or not self._is_closed:
            return TableNotes()
        return TableNotes(remarks=(_NOT_ENDED,))

    def _close(self) -> None:
        super()._close()
        self._is_closed = True

    def _feed(self, data: Bytes) -> Generator[MboBatch, None, None]:
        chunk, position = as_read_only(data), 0
        while self._head and position < len(chunk):
            position = yield from self._decode_carried(chunk, position)
        if position < len(chunk):
            position = yield from self._decode(chunk, position)
            self._head += chunk[position:].tobytes()

    def _decode_carried(
        self, chunk: NDArray[np.uint8], position: int
    ) -> Generator[MboBatch, None, int]:
        """Complete and decode the message that earlier chunks began; the new position."""
        position = self._take_head(chunk, position, _LENGTH_BYTES + 1)  # and the type
        if len(self._head) > _LENGTH_BYTES:
            length = int.from_bytes(self._head[:_LENGTH_BYTES], "big")
            position = self._take_head(chunk, position, _LENGTH_BYTES + length)
        message = np.frombuffer(bytes(self._head), np.uint8)
        consumed = yield from self._decode(message, 0)
        del self._head[:consumed]
        return position

    def _decode(self, data: NDArray[np.uint8], position: int) -> Generator[MboBatch, None, int]:
        """Decode the whole messages of `data` from `position` on; the position after them."""
        while True:
            start, first_row = position, self._row
            position, self._row, other_count, reason = parse_messages(
                data,
                start,
                len(data),
                MESSAGE_WIDTHS,
                (self._day.publisher_id, self._day.midnight_ns),
                tuple(self._state),
                tuple(self._columns),
                first_row,
                tuple(self._others),
            )
            self._keep_others(data, start, first_row, other_count)
            self.rows += self._row - first_row
            self.records = int(self._state.progress[MESSAGES])
            self.byte_offset += position - start
            if reason == INPUT_END:
                return position
            if reason == checks.ORDERS_FULL:
                self._make_room()
            elif reason == checks.NEW_SYMBOL:
                self._note_symbol(data[position + _LENGTH_BYTES :])
            elif reason in (ROWS_FULL, OTHERS_FULL):
                yield self._take_batch()
            else:
                skipped = self._skippable_bytes(data[position:], reason)
                if not skipped:
                    yield self._take_batch()
                    raise self._damage(describe_bad_message(data[position:], reason, self._state))
                if position + skipped > len(data):
                    return position
                position += skipped
                self.byte_offset += skipped
                self.skipped += 1
                self._state.progress[MESSAGES] += 1
                self.records += 1

    def _keep_others(
        self, data: NDArray[np.uint8], start: int, first_row: int, other_count: int
    ) -> None:
        """Keep the messages of type S, R and H, and what they say."""
        for index in range(other_count):
            at = int(self._others.position[index])
            message = data[at : at + int(MESSAGE_WIDTHS[data[at]])].tobytes()
            locate = int.from_bytes(message[1:3], "big")
            time_ns = self._day.midnight_ns + int.from_bytes(message[5:11], "big")
            header = write_header(message[0], self._day.publisher_id, locate, time_ns)
            self.other_records.append(
                OtherRecord(
                    rtype=message[0],
                    byte_offset=self.byte_offset + at - _LENGTH_BYTES - start,
                    record_index=int(self._others.message[index]),
                    rows_before=self.rows + int(self._others.row[index]) - first_row,
                    data=header + message,
                    content=self._read_content(message, locate, time_ns),
                )
            )

    def _read_content(self, message: bytes, locate: int, time_ns: int) -> Content | None:
        """What a message says about its stock (rules I5 and I11)."""
        if message[0] == checks.H:
            status = TRADING_STATES[message[TRADING_STATE_AT]]
            return BookChange(time_ns, self._day.publisher_id, locate, status)
        if message[0] == checks.R:
            symbol = message_symbol(message)
            self._map_symbol(locate, symbol)
            return Definition(
                time_ns, UNDEF_TIMESTAMP, locate, symbol, UNDEF_PRICE, UNDEF_PRICE, MATCH_ALGORITHM
            )
        return None

    def _note_symbol(self, data: NDArray[np.uint8]) -> None:
        """Note the symbol of a stock that no directory message has named (rule I5)."""
        message = data[:ITCH_MESSAGE_BYTES_MAX].tobytes()
        locate, symbol = int.from_bytes(message[1:3], "big"), message_symbol(message)
        padded = symbol.ljust(SYMBOL_BYTES).encode("ascii")
        self._state.symbols[locate] = np.frombuffer(padded, np.uint64)[0]
        self._map_symbol(locate, symbol)

    def _map_symbol(self, locate: int, symbol: str) -> None:
        if locate not in self._mapped:
            self._mapped.add(locate)
            self._mappings.append(
                MappingInterval(self._day.midnight_ns, self._end_ns, locate, symbol)
            )

    def _make_room(self) -> None:
        """Double the table of live orders."""
        orders = np.zeros(2 * len(self._state.orders), np.int64)
        rebuild_orders(self._state.orders, orders, self._state.salt)
        self._state = self._state._replace(orders=orders)

    def _skippable_bytes(self, data: NDArray[np.uint8], reason: int) -> int:
        """The length of the bad message at the start of `data`; 0 if it cannot be skipped."""
        length = int.from_bytes(data[:_LENGTH_BYTES].tobytes(), "big")
        is_certain = reason not in (checks.BAD_WIDTH, checks.BEGINS_AGAIN, checks.SESSION_OVER)
        if not self._skip_bad or not is_certain or length < _MESSAGE_BYTES_MIN:
            return 0
        return _LENGTH_BYTES + length
