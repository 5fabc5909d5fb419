"""DBN files behind each other in one input (`cat a.dbn b.dbn`), as one stream of records.

The rule here: the records pass unchanged. The metadata of a file behind another does not pass; its
names become SymbolMapping records. A file that cannot follow the one before it is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator

import numpy as np

from batonics.codec.messages import (
    HEADER_BYTES,
    RTYPE_SYMBOL_MAPPING,
    record_words,
    write_symbol_mapping,
)
from batonics.codec.metadata import (
    PREFIX_BYTES,
    STYPE_RAW_SYMBOL,
    Metadata,
    parse_metadata,
    parse_prefix,
    symbol_intervals,
)
from batonics.gateway import record_bytes_kernels as kernels
from batonics.gateway.feed_pieces import BytesLike
from batonics.model.errors import InputError, UsageError
from batonics.model.mbo import MBO_DTYPE, RTYPE_MBO
from batonics.model.symbols import MappingInterval
from batonics.sources.file_order import ADVICE, describe_time
from batonics.sources.overlap import EDGE_RECORDS_MAX

LAST_BYTES = EDGE_RECORDS_MAX * MBO_DTYPE.itemsize
"""How much of the end of a file is compared with the beginning of the next."""


class JoinedFiles:
    """The records of an input, in which files may stand behind each other.

    Args:
        source: name of the input, for messages.
        head: the metadata of its first file as bytes; empty: it has none.
        in_this_order: a file may begin before the end of the one ahead of it.
    """

    def __init__(self, source: str, head: bytes, *, in_this_order: bool) -> None:
        self._source, self._first_head = source, head
        self._in_this_order = in_this_order
        self._files = 1
        self._names: set[MappingInterval] | None = None  # not needed before another file begins
        self._skip = 0  # bytes until the next record
        self._due_ns = -1  # time of the file's last record so far
        self._end_ns: int | None = None  # of the files ahead, while the file may begin there
        self._last_records = LastRecords()
        self._ended_with: set[bytes] = set()  # the MBO records at `_end_ns`
        self._head: bytearray | None = None  # metadata of the next file, as far as it has come
        self._held = b""  # the first byte of a record, or of metadata
        self._is_damaged = False

    def records(self, chunks: Iterator[BytesLike]) -> Generator[BytesLike, None, None]:
        """The records in chunks, which follow the metadata of the first file.

        Raises:
            UsageError: a file begins before the end of the one ahead of it, or with a record of it.
            InputError: a file has records of another form, or damaged metadata.
        """
        for chunk in chunks:
            yield from self._split(memoryview(self._held + chunk if self._held else chunk))
        if self._held:
            yield self._held
        if self._head is not None:
            raise InputError(f"{self._name()}: ends within its metadata")

    def _split(self, chunk: memoryview) -> Iterator[BytesLike]:
        self._held = b""
        while len(chunk):
            if self._head is None:
                start = self._skip
                end = len(chunk) if self._is_damaged else self._find_next_file(chunk)
                if end:
                    self._last_records.add(chunk[:end], start)
                    yield chunk[:end]
                chunk = chunk[end + len(self._held) :]
                continue
            self._head += chunk
            size = PREFIX_BYTES
            if len(self._head) >= size:
                size = parse_prefix(bytes(self._head[:size]), self._name())
            if len(self._head) < size:
                return
            yield from self._begin_file(parse_metadata(bytes(self._head[:size]), self._name()))
            chunk, self._head = memoryview(bytes(self._head[size:])), None

    def _find_next_file(self, chunk: memoryview) -> int:
        """Where the metadata of the next file begins; else the length of the chunk."""
        data, position = np.frombuffer(chunk, np.uint8), self._skip
        if position >= len(data):
            self._skip -= len(data)
            return len(data)
        reason = kernels.INDEX_FULL
        while reason == kernels.INDEX_FULL:
            start, end_ns = position, self._end_ns
            # The first records behind another file are looked at one by one.
            limit = len(data) if end_ns is None else 1
            position, self._due_ns, reason = kernels.skip_records(
                data, position, self._due_ns, limit
            )
            if end_ns is not None and position > len(data):  # it comes again as a whole
                self._held, self._skip = bytes(chunk[start:]), 0
                return start
            if end_ns is not None and self._due_ns >= 0 and position > start:
                self._check_seam(end_ns, chunk[start:position])
        self._skip = max(position - len(data), 0)
        if reason == kernels.INDEX_NEXT_FILE:
            self._head, self._files = bytearray(), self._files + 1
        elif reason == kernels.INDEX_CUT_HEADER:
            self._held = bytes(chunk[position:])
        elif reason == kernels.INDEX_BAD_LENGTH:
            self._is_damaged = True  # the client gets the bytes as they are
            return len(data)
        return min(position, len(data))

    def _begin_file(self, metadata: Metadata) -> Iterator[BytesLike]:
        """The names of the next file that were not known."""
        first = parse_metadata(self._first_head, self._source) if self._first_head else None
        if first is None or (first.version, first.ts_out) != (metadata.version, metadata.ts_out):
            raise InputError(
                f"{self._name()}: begins behind a file of another DBN version or form; part the two"
            )
        known = set(symbol_intervals(first)) if self._names is None else self._names
        names = [name for name in symbol_intervals(metadata) if name not in known]
        records = [
            write_symbol_mapping(
                name.instrument_id,
                name.start_ns,
                STYPE_RAW_SYMBOL,
                name.symbol,
                name.symbol,
                start_ns=name.start_ns,
                end_ns=name.end_ns,
            )
            for name in names
        ]
        words = record_words(metadata.version, ts_out=metadata.ts_out)[RTYPE_SYMBOL_MAPPING]
        if any(len(record) != 4 * int(words) for record in records):
            raise InputError(
                f"{self._name()}: begins behind another file and has names of its own, for which"
                " the feed has no record; part the two"
            )
        self._names = known.union(names)
        last_ns, last = self._last_records.take()
        if self._end_ns is None or last_ns > self._end_ns:
            self._end_ns, self._ended_with = max(last_ns, self._due_ns), last
        elif last_ns == self._end_ns:
            self._ended_with |= last
        self._due_ns = -1
        yield from records

    def _check_seam(self, end_ns: int, record: memoryview) -> None:
        """Check a record at the beginning of a file, which is not before the one ahead."""
        if self._due_ns > end_ns or self._in_this_order:
            self._end_ns = None
            return
        if self._due_ns < end_ns:
            reason = (
                f"begins at {describe_time(self._due_ns)}, before the file ahead of it ends, at"
            )
        elif bytes(record[: kernels.MBO_BYTES]) in self._ended_with:
            reason = "begins with a record that the file ahead of it ends with, at"
        else:
            return
        raise UsageError(
            f"{self._name()}: {reason} {describe_time(end_ns)}; part them, or {ADVICE}"
        )

    def _name(self) -> str:
        return f"{self._source}, file {self._files}"


class LastRecords:
    """The last records of a file, for the one that may follow."""

    def __init__(self) -> None:
        self._pieces: deque[BytesLike] = deque()
        self._starts: deque[int] = deque()  # of the first record in each piece
        self._bytes = 0

    def add(self, piece: BytesLike, start: int) -> None:
        """Note the next bytes of the file.

        Args:
            piece: the bytes.
            start: the place in them, or behind them, where the first record begins.
        """
        self._pieces.append(piece)
        self._starts.append(start)
        self._bytes += len(piece)
        while self._bytes - len(self._pieces[0]) > LAST_BYTES:
            self._bytes -= len(self._pieces.popleft())
            self._starts.popleft()

    def take(self) -> tuple[int, set[bytes]]:
        """The time of the last record (-1: none has one), and the MBO records due at it."""
        if not self._pieces:
            return -1, set()
        data, start = np.frombuffer(b"".join(self._pieces), np.uint8), self._starts[0]
        records_max = len(data) // HEADER_BYTES
        ends, dues = np.empty((2, records_max), np.int64)
        count, _, last_ns, _ = kernels.index_records(data, start, len(data), -1, ends, dues)
        self._pieces.clear()
        self._starts.clear()
        self._bytes = 0
        starts = np.r_[start, ends[: count - 1]][dues[:count] == last_ns]
        is_mbo = data[starts + 1] == RTYPE_MBO
        return last_ns, {data[at : at + kernels.MBO_BYTES].tobytes() for at in starts[is_mbo]}
