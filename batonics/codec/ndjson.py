"""NDJSON ops in, batches of MBO rows out. No I/O; used like `DbnDecoder`.

The rule here: what comes out depends on the lines alone, never on how they are cut into chunks. A
compiled pass reads usual lines. orjson reads an unusual one, and rewrites it in the usual form for
the same pass. So an op becomes rows in one place.

    {"type":"add","symbol":"X","side":"bid","oid":1,"px":100000000000,"qty":10,"seq":1,"ts_ns":1}

| type   | needs                        | rows                                                     |
|--------|------------------------------|----------------------------------------------------------|
| add    | symbol, side, oid, px, qty   | A                                                        |
| modify | symbol, oid                  | MODIFY_PARTIAL; omitted fields stay as they are          |
| cancel | symbol, oid                  | C of qty; without qty MODIFY_PARTIAL to size 0           |
| fill   | symbol, oid, qty             | F, then C: in this form a fill reduces the order         |
| clear  | symbol                       | R                                                        |

`px` is an integer of 1e-9. The last row of an op has F_LAST. Symbols become instrument_id 1, 2, 3
and so on, in the order of their appearance. publisher_id is 0, channel_id NO_CHANNEL.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
from numpy.typing import NDArray

from batonics.codec import ndjson_kernels as kernels
from batonics.codec.ndjson_ops import normalize_op
from batonics.codec.stream_decoder import Bytes, LineDecoder
from batonics.codec.symbol_numbers import SymbolNumbers
from batonics.model.mbo import UNDEF_TIMESTAMP, MboBatch
from batonics.model.symbols import MappingInterval

NEW_SYMBOLS_MAX = 1_024
"""A batch ends behind so many new symbols, which take far longer than lines."""


class NdjsonDecoder(LineDecoder):
    """Decodes one stream of NDJSON ops.

    See `LineDecoder`; records are ops.

    Args:
        batch_rows, buffers, skip_bad, source, line_bytes_max: as of `LineDecoder`.

    Attributes:
        symbols: symbols in order of appearance; `symbols[i]` has instrument_id i + 1.
    """

    BATCH_ROWS_MIN = 2  # of a fill

    def __init__(
        self,
        *,
        batch_rows: int = 65_536,
        buffers: int = 1,
        skip_bad: bool = False,
        source: str | None = None,
        line_bytes_max: int = 1 << 20,
    ) -> None:
        super().__init__(
            batch_rows=batch_rows,
            buffers=buffers,
            skip_bad=skip_bad,
            source=source,
            line_bytes_max=line_bytes_max,
        )
        self._fed = False
        self._numbers = SymbolNumbers()
        self.symbols = self._numbers.symbols
        self._fields = np.zeros(kernels.FIELDS, np.int64)

    def _close(self) -> None:
        if self._fed:
            super()._close()
        else:
            raise self._refusal("the input is empty")

    def _is_empty(self) -> bool:
        return False  # blank lines are no ops, but a stream

    def begin(self, source: str | None) -> None:
        """Begin another stream; symbols keep their numbers."""
        self.records = self.rows = self.byte_offset = self.skipped = self._row = 0
        self._head.clear()
        self._failure = None
        self._source = source
        self._fed = False

    def symbol_intervals(self, first: int = 0) -> Iterator[MappingInterval]:
        """The symbols so far, from this place on; they hold for all times."""
        for index in range(first, len(self.symbols)):
            yield MappingInterval(0, UNDEF_TIMESTAMP, index + 1, self.symbols[index])

    def _feed(self, data: Bytes) -> Generator[MboBatch, None, None]:
        self._fed = self._fed or bool(bytes(data).strip())
        yield from super()._feed(data)

    def _decode(self, data: bytes, position: int, stop: int) -> Generator[MboBatch, None, None]:
        """Decode the lines of `data[position:stop]`, which is empty or ends with a newline."""
        array = np.frombuffer(data, np.uint8)
        while position < stop:
            start = position
            position, reason, symbol = self._parse(array, position, stop, 127)
            self.byte_offset += position - start
            if reason == kernels.LINES_ROWS_FULL:
                yield self._take_batch()
            elif reason == kernels.LINES_NEW_SYMBOL:
                self._numbers.add(symbol)
                if self._row and len(self.symbols) % NEW_SYMBOLS_MAX == 0:
                    yield self._take_batch()
            elif reason == kernels.LINES_DOUBTFUL:
                if self._row + 2 > len(self._columns.action):
                    yield self._take_batch()
                line_end = data.index(b"\n", position)
                yield from self._decode_unusual(data[position:line_end])
                self.byte_offset += line_end + 1 - position
                position = line_end + 1

    def _decode_unusual(self, line: bytes) -> Generator[MboBatch, None, None]:
        usual = b""
        reason = self._too_long() if len(line) > self._line_bytes_max else ""
        if not reason:
            try:
                usual = normalize_op(line)
            except ValueError as error:
                if self._skip_bad:
                    self.records += 1
                    self.skipped += 1
                    return
                reason = str(error)
        if reason:
            if self._row:
                yield self._take_batch()
            raise self._damage(reason)
        array = np.frombuffer(usual, np.uint8)
        _, stopped, symbol = self._parse(array, 0, len(usual), 255)
        if stopped == kernels.LINES_NEW_SYMBOL:
            self._numbers.add(symbol)
            _, stopped, _ = self._parse(array, 0, len(usual), 255)
        if stopped != kernels.LINES_INPUT_END:
            raise AssertionError(f"an op that was checked is not understood: {usual!r}")

    def _parse(
        self, data: NDArray[np.uint8], position: int, stop: int, byte_max: int
    ) -> tuple[int, int, bytes]:
        """One pass of the kernel: the new position, why it stopped, and a new symbol."""
        first_row = self._row
        position, self._row, ops, reason, symbol_start, symbol_stop = kernels.parse_lines(
            data,
            position,
            stop,
            (byte_max, self._line_bytes_max),
            self._numbers.arrays,
            self._fields,
            tuple(self._columns),
            first_row,
        )
        self.records += ops
        self.rows += self._row - first_row
        return position, reason, data[symbol_start:symbol_stop].tobytes()
