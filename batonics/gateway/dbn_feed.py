"""What is sent: the files' bytes, in pieces, and when each part of a piece is due.

The rule here: a unit (a record, or a line) is never cut by a piece, and what nobody asked for is
not looked at: flat out, the bytes of a file pass as they were read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from batonics.codec.framing import Framing
from batonics.codec.messages import RTYPE_DEFINITION, RTYPE_SYMBOL_MAPPING, record_words
from batonics.codec.metadata import (
    DBN_MAGIC,
    LATEST_VERSION,
    PREFIX_BYTES,
    Metadata,
    SymbolMapping,
    encode_metadata,
    parse_prefix,
)
from batonics.gateway import record_bytes_kernels as kernels
from batonics.model.errors import DamagedInputError, InputError, UsageError
from batonics.sources.chunks import STDIN, ChunkReader
from batonics.sources.stream import read_metadata

PIECE_UNITS_MAX = 32_768
"""Units of a piece at the most, where they are looked at."""

LENGTH_BYTES = 4

BytesLike = bytes | memoryview


class FeedPiece(NamedTuple):
    """Units of a feed, in order.

    Attributes:
        data: their bytes.
        ends: (units,) where each ends in `data`; None: they have not been looked at, and the piece
            may begin and end within one.
        due_ns: (units,) when each is due, never falling, in the feed's own time; None with `ends`.
    """

    data: BytesLike
    ends: NDArray[np.int64] | None = None
    due_ns: NDArray[np.int64] | None = None


class ReplayFeed(Protocol):
    """What a client is sent, from the beginning as often as it is asked for."""

    opening: BytesLike
    """Before the first unit."""
    live_ns: int
    """Units due at this time or before have been live already, and are not waited for."""

    def pieces(self, start_ns: int | None, *, indexed: bool) -> Generator[FeedPiece, None, None]:
        """The units due at `start_ns` or later, or all; with `indexed`, looked at."""
        ...


def cut_piece(piece: FeedPiece, first: int, last: int) -> FeedPiece:
    """Units `[first, last)` of a piece that has been looked at."""
    if piece.ends is None or piece.due_ns is None:
        raise AssertionError("a piece that has not been looked at")
    if first == 0 and last == len(piece.ends):
        return piece
    start = int(piece.ends[first - 1]) if first else 0
    stop = int(piece.ends[last - 1]) if last else 0
    data = memoryview(piece.data)[start : max(start, stop)]
    return FeedPiece(data, piece.ends[first:last] - start, piece.due_ns[first:last])


class RecordIndex:
    """Cuts the bytes of a stream of records, fed in chunks of any size, into pieces of records.

    Args:
        source: a name for errors.
        byte_offset: where the first record stands in the stream.
        due_ns: when the record before the first one is due.

    Attributes:
        due_ns: when the last record is due.
    """

    def __init__(self, source: str | None = None, byte_offset: int = 0, due_ns: int = 0) -> None:
        self.due_ns = due_ns
        self._source, self._offset = source, byte_offset
        self._head = bytearray()

    def feed(self, chunk: BytesLike) -> Iterator[FeedPiece]:
        """The whole records there are. Their bytes are the chunk's own, but for one it completes.

        Raises:
            DamagedInputError: a record is shorter than a header.
        """
        position = 0
        if self._head:
            position = max(4 * self._head[0] - len(self._head), 0)
            self._head += chunk[:position]
            if len(self._head) < 4 * self._head[0]:
                return
            yield from self._records(bytes(self._head), 0)
            self._head.clear()
        for piece in self._records(chunk, position):
            position += len(piece.data)
            yield piece
        self._head += chunk[position:]

    def close(self) -> None:
        """Say that the stream has ended; DamagedInputError if that was within a record."""
        if self._head:
            raise self._damage(f"the stream ends after {len(self._head)} bytes of a record")

    def _records(self, data: BytesLike, position: int) -> Iterator[FeedPiece]:
        array = np.frombuffer(data, np.uint8)
        reason = kernels.INDEX_FULL
        while reason == kernels.INDEX_FULL:
            ends, dues = np.empty(PIECE_UNITS_MAX, np.int64), np.empty(PIECE_UNITS_MAX, np.int64)
            start = position
            count, position, self.due_ns, reason = kernels.index_records(
                array, start, len(array), self.due_ns, ends, dues
            )
            if count:
                self._offset += position - start
                data_of = memoryview(data)[start:position]
                yield FeedPiece(data_of, ends[:count] - start, dues[:count])
        if reason == kernels.INDEX_BAD_LENGTH:
            raise self._damage(f"length byte is {array[position]}, expected 4 words or more")

    def _damage(self, reason: str) -> DamagedInputError:
        return DamagedInputError(reason, byte_offset=self._offset, source=self._source)


class DbnFeed:
    """DBN files as one stream: metadata once, then the records of all, byte for byte.

    Args:
        paths: in the order of their time.
        mappings: of all files, where there are several; by default those of the first.

    Attributes:
        opening: the metadata; nothing if the files have none.
        metadata: the same, read; None if there is none.

    Raises:
        InputError: a file cannot be read, or is not DBN; DamagedInputError: its metadata.
        UsageError: an input can be read only once, or the files do not make one stream.
    """

    live_ns = -1

    def __init__(
        self, paths: Sequence[str], mappings: tuple[SymbolMapping, ...] | None = None
    ) -> None:
        check_regular_files(paths)
        self._paths = paths
        self.metadata = _merged(paths, [_metadata_of(path) for path in paths], mappings)
        self.opening: BytesLike = b""
        if len(paths) == 1:
            with closing(_plain_chunks(paths[0])) as chunks:
                self.opening = next(chunks)
        elif self.metadata is not None:
            self.opening = encode_metadata(self.metadata)

    def pieces(self, start_ns: int | None, *, indexed: bool) -> Generator[FeedPiece, None, None]:
        """As `Feed.pieces`; before the start, names and definitions are sent all the same."""
        due_ns = 0
        for path in self._paths:
            with closing(_plain_chunks(path)) as chunks:
                head = next(chunks)
                if not indexed and start_ns is None:
                    yield from map(FeedPiece, chunks)
                    continue
                index = RecordIndex(path, len(head), due_ns)
                for chunk in chunks:
                    for piece in index.feed(chunk):
                        yield from pieces_from(piece, start_ns)
                index.close()
                due_ns = index.due_ns


class LengthPrefixedFeed:
    """The records of DBN files, each after its byte count (`codec/framing.py`).

    That form is of DBN version 3, without metadata: records whose length is another in version 3
    are left out. MBO records are the same in every version.
    """

    opening: BytesLike = b""
    live_ns = -1

    def __init__(self, paths: Sequence[str]) -> None:
        self._records = DbnFeed(paths)
        metadata = self._records.metadata
        if metadata is not None and metadata.ts_out:
            raise UsageError("records with ts_out have no length-prefixed form; use dbn")
        self._words = record_words(LATEST_VERSION, ts_out=False).astype(np.int64)

    def pieces(
        self,
        start_ns: int | None,
        *,
        indexed: bool,  # noqa: ARG002 - they always are
    ) -> Generator[FeedPiece, None, None]:
        """As `Feed.pieces`."""
        with closing(self._records.pieces(start_ns, indexed=True)) as pieces:
            for piece in pieces:
                yield self._prefixed(piece)

    def _prefixed(self, piece: FeedPiece) -> FeedPiece:
        if piece.ends is None or piece.due_ns is None:
            raise AssertionError("a piece that has not been looked at")
        headers = record_headers(piece)
        words, rtypes = (headers & np.uint64(0xFF)), headers >> np.uint64(8) & np.uint64(0xFF)
        kept = words.astype(np.int64) == self._words[rtypes.astype(np.int64)]
        out = np.empty(len(piece.data) + LENGTH_BYTES * len(kept), np.uint8)
        size = kernels.prefix_records(np.frombuffer(piece.data, np.uint8), piece.ends, kept, out)
        sizes = 4 * words[kept].astype(np.int64) + LENGTH_BYTES
        return FeedPiece(out[:size].data, np.cumsum(sizes), piece.due_ns[kept])


def pieces_from(piece: FeedPiece, start_ns: int | None) -> Iterator[FeedPiece]:
    """The part of a piece that is due at the start or later, with names and definitions before."""
    if piece.ends is None or piece.due_ns is None:
        raise AssertionError("a piece that has not been looked at")
    first = 0 if start_ns is None else int(np.searchsorted(piece.due_ns, start_ns))
    if first:
        rtypes = record_headers(cut_piece(piece, 0, first)) >> np.uint64(8) & np.uint64(0xFF)
        for at in np.flatnonzero(np.isin(rtypes, _BEFORE_START)):
            kept = cut_piece(piece, int(at), int(at) + 1)
            yield kept._replace(due_ns=np.full(1, start_ns, np.int64))
    if first < len(piece.ends):
        yield cut_piece(piece, first, len(piece.ends))


_BEFORE_START = (RTYPE_SYMBOL_MAPPING, RTYPE_DEFINITION)


def record_headers(piece: FeedPiece) -> NDArray[np.uint64]:
    """(units,) The first 8 bytes of each record of a piece that has been looked at."""
    if piece.ends is None:
        raise AssertionError("a piece that has not been looked at")
    headers = np.empty(len(piece.ends), np.uint64)
    kernels.read_headers(np.frombuffer(piece.data, np.uint8), piece.ends, headers)
    return headers


def _plain_chunks(path: str) -> Generator[BytesLike, None, None]:
    """A file's metadata (nothing if it has none), then its records, in chunks of any size."""
    reader = ChunkReader(path)
    try:
        chunks = reader.chunks()
        head = next(chunks)
        size = 0
        if head.startswith(DBN_MAGIC):
            while len(head) < PREFIX_BYTES or len(head) < (size := parse_prefix(head[:8])):
                more = next(chunks, b"")
                if not more:
                    raise DamagedInputError(
                        f"the stream ends after {len(head)} bytes, within its metadata",
                        byte_offset=len(head),
                        source=reader.name,
                    )
                head += more
        yield head[:size]
        if len(head) > size:
            yield memoryview(head)[size:]
        yield from chunks
    finally:
        reader.close()


def check_regular_files(paths: Sequence[str]) -> None:
    """Check that every client can read these anew.

    Raises:
        UsageError: one is a pipe, or standard input.
    """
    for path in paths:
        if path == STDIN or Path(path).is_fifo():
            raise UsageError(f"{path}: each client reads the input anew, so it must be a file")


def _metadata_of(path: str) -> Metadata | None:
    reader = ChunkReader(path)
    try:
        next(reader.chunks())
        if reader.framing not in (Framing.DBN, Framing.FRAGMENT):
            form = reader.framing.value if reader.framing else "of no known form"
            raise InputError(f"{path}: is {form}, expected DBN")
    finally:
        reader.close()
    return read_metadata(path)


def _merged(
    paths: Sequence[str],
    found: Sequence[Metadata | None],
    mappings: tuple[SymbolMapping, ...] | None,
) -> Metadata | None:
    """The metadata of all files as one stream; UsageError if they cannot be one."""
    first = found[0]
    for path, other in zip(paths[1:], found[1:], strict=True):
        if (first is None) != (other is None):
            raise UsageError(f"{path}: files with and without metadata cannot be one stream")
        if first is None or other is None:
            continue
        if (first.version, first.ts_out) != (other.version, other.ts_out):
            raise UsageError(
                f"{path}: is of DBN version {other.version}, the first of {first.version}"
                if first.version != other.version
                else f"{path}: differs from the first in ts_out"
            )
    if first is None:
        return None
    last = found[-1] or first
    if mappings is None:
        return replace(first, end=last.end)
    symbols = tuple(mapping.raw_symbol for mapping in mappings)
    return replace(first, end=last.end, symbols=symbols, mappings=mappings)
