"""DBN files as a feed: byte for byte, or each record after its length.

The rule here: a record passes unchanged, whatever its kind. Only the length-prefixed form leaves
records out: those that have another length in its version of DBN.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial

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
from batonics.gateway.feed_pieces import BytesLike, FeedPiece, cut_piece, unit_index
from batonics.gateway.joined_files import JoinedFiles
from batonics.gateway.merge import merge_by_time
from batonics.gateway.record_index import RecordIndex, record_headers
from batonics.model.errors import DamagedInputError, InputError, UsageError
from batonics.model.mbo import MBO_DTYPE, RTYPE_MBO, batch_from_records
from batonics.model.record_hashes import record_hashes
from batonics.sources.chunks import ChunkReader
from batonics.sources.file_order import overlap_error
from batonics.sources.input_files import is_read_once
from batonics.sources.overlap import KeyedPiece, OverlapCheck
from batonics.sources.stream import read_metadata

LENGTH_BYTES = 4
"""The size of the length before a record of the length-prefixed form."""
_SENT_BEFORE_START = (RTYPE_SYMBOL_MAPPING, RTYPE_DEFINITION)


class DbnFeed:
    """DBN files as one stream: metadata once, then the records of all files, byte for byte.

    Files that may cover the same time are merged, if they have different books.

    Args:
        paths: the files, in the order of their time.
        mappings: the symbol mappings of all files; None: those of the first file.
        groups: the same files; those of one group are merged. None: each follows the one before it.
        in_this_order: a file behind another in one input may begin before that ends.

    Attributes:
        header: the metadata as bytes; empty if the files have none.
        metadata: the metadata; None if the files have none.

    Raises:
        InputError: a file cannot be read, or is not DBN.
        DamagedInputError: the metadata of a file is damaged.
        UsageError: an input can be read only once, or the files do not make one stream.
    """

    unpaced_until_ns = -1

    def __init__(
        self,
        paths: Sequence[str],
        mappings: tuple[SymbolMapping, ...] | None = None,
        groups: Sequence[tuple[str, ...]] | None = None,
        *,
        in_this_order: bool = False,
    ) -> None:
        check_regular_files(paths)
        self._in_this_order = in_this_order
        self._groups = [(path,) for path in paths] if groups is None else groups
        self.metadata = _merge_metadata(paths, [_read_metadata(path) for path in paths], mappings)
        self.header: BytesLike = b""
        if len(paths) == 1:
            with closing(_read_chunks(paths[0])) as chunks:
                self.header = next(chunks)
        elif self.metadata is not None:
            self.header = encode_metadata(self.metadata)

    def pieces(self, start_ns: int | None, *, indexed: bool) -> Generator[FeedPiece, None, None]:
        """As `ReplayFeed.pieces`; names and definitions from before the start come too."""
        due_ns = 0
        for group in self._groups:
            if len(group) == 1 and not indexed and start_ns is None:
                with closing(self._read_records(group[0])) as chunks:
                    next(chunks)  # metadata
                    yield from map(FeedPiece, chunks)
                continue
            with ExitStack() as stack:
                streams = [
                    stack.enter_context(closing(self._indexed_pieces(path, due_ns)))
                    for path in group
                ]
                merged = streams[0] if len(group) == 1 else _merge_files(group, streams)
                for piece in merged:
                    due_ns = int(unit_index(piece)[1][-1])
                    yield from _pieces_from(piece, start_ns)

    def _indexed_pieces(self, path: str, due_ns: int) -> Generator[FeedPiece, None, None]:
        """The records of a file in indexed pieces, the first due at `due_ns` or later."""
        with closing(self._read_records(path)) as chunks:
            index = RecordIndex(path, len(next(chunks)), due_ns)
            for chunk in chunks:
                yield from index.feed(chunk)
            index.close()

    def _read_records(self, path: str) -> Generator[BytesLike, None, None]:
        """The metadata of a file (empty if it has none), then its records in chunks."""
        with closing(_read_chunks(path)) as chunks:
            head = bytes(next(chunks))
            yield head
            yield from JoinedFiles(path, head, in_this_order=self._in_this_order).records(chunks)


def _merge_files(
    paths: Sequence[str], streams: Sequence[Iterator[FeedPiece]]
) -> Generator[FeedPiece, None, None]:
    """The records of files by time; UsageError if two have a book at times that overlap."""
    check = OverlapCheck()

    def noted(number: int, stream: Iterator[FeedPiece]) -> Iterator[FeedPiece]:
        for piece in stream:
            headers = record_headers(piece)
            is_mbo = headers >> np.uint64(8) & np.uint64(0xFF) == RTYPE_MBO
            # The upper words of a header are those of a book's key, in another order.
            publishers = headers >> np.uint64(16) & np.uint64(0xFFFF)
            keys = (publishers << np.uint64(32) | headers >> np.uint64(32)).astype(np.int64)
            due_ns = unit_index(piece)[1]
            find_hashes = partial(_mbo_hashes, piece, np.flatnonzero(is_mbo))
            overlap = check.find([KeyedPiece(number, keys[is_mbo], due_ns[is_mbo], find_hashes)])
            if overlap is not None:
                raise overlap_error(
                    paths[overlap.earlier],
                    overlap.last_ns,
                    paths[overlap.later],
                    overlap.first_ns,
                    f"instrument {overlap.key & 0xFFFFFFFF}",
                )
            yield piece

    yield from merge_by_time([noted(number, stream) for number, stream in enumerate(streams)])


def _mbo_hashes(
    piece: FeedPiece, units: NDArray[np.intp], rows: NDArray[np.intp]
) -> NDArray[np.uint64]:
    """The hashes of some of the MBO records of a piece, which are these units of it."""
    ends, _ = unit_index(piece)
    starts = np.r_[0, ends[:-1]][units[rows]]
    data = np.frombuffer(piece.data, np.uint8)[starts[:, None] + np.arange(MBO_DTYPE.itemsize)]
    return record_hashes(batch_from_records(data.view(MBO_DTYPE)[:, 0]))


class LengthPrefixedFeed:
    """The records of DBN files, each after its length in bytes (`codec/framing.py`).

    The form is that of DBN version 3, without metadata: records that have another length in version
    3 are left out. MBO records have the same length in every version.

    Args:
        paths: the files, in the order of their time.
        groups: as `DbnFeed` has them, and
        in_this_order: likewise.

    Raises:
        InputError: a file cannot be read, or is not DBN.
        UsageError: the records have ts_out, or as `DbnFeed`.
    """

    header: BytesLike = b""
    unpaced_until_ns = -1

    def __init__(
        self,
        paths: Sequence[str],
        groups: Sequence[tuple[str, ...]] | None = None,
        *,
        in_this_order: bool = False,
    ) -> None:
        self._records = DbnFeed(paths, groups=groups, in_this_order=in_this_order)
        metadata = self._records.metadata
        if metadata is not None and metadata.ts_out:
            raise UsageError("records with ts_out have no length-prefixed form; use dbn")
        self._words = record_words(LATEST_VERSION, ts_out=False).astype(np.int64)

    def pieces(
        self,
        start_ns: int | None,
        *,
        indexed: bool,  # noqa: ARG002 - every piece is
    ) -> Generator[FeedPiece, None, None]:
        """As `ReplayFeed.pieces`."""
        with closing(self._records.pieces(start_ns, indexed=True)) as pieces:
            for piece in pieces:
                yield self._prefix(piece)

    def _prefix(self, piece: FeedPiece) -> FeedPiece:
        ends, due_ns = unit_index(piece)
        headers = record_headers(piece)
        words, rtypes = (headers & np.uint64(0xFF)), headers >> np.uint64(8) & np.uint64(0xFF)
        kept = words.astype(np.int64) == self._words[rtypes.astype(np.int64)]
        out = np.empty(len(piece.data) + LENGTH_BYTES * len(kept), np.uint8)
        size = kernels.prefix_records(np.frombuffer(piece.data, np.uint8), ends, kept, out)
        sizes = 4 * words[kept].astype(np.int64) + LENGTH_BYTES
        return FeedPiece(out[:size].data, np.cumsum(sizes), due_ns[kept])


def _pieces_from(piece: FeedPiece, start_ns: int | None) -> Iterator[FeedPiece]:
    """The units of a piece due at the start or later, after earlier names and definitions."""
    ends, due_ns = unit_index(piece)
    first = 0 if start_ns is None else int(np.searchsorted(due_ns, start_ns))
    if first:
        rtypes = record_headers(cut_piece(piece, 0, first)) >> np.uint64(8) & np.uint64(0xFF)
        for at in np.flatnonzero(np.isin(rtypes, _SENT_BEFORE_START)):
            kept = cut_piece(piece, int(at), int(at) + 1)
            yield kept._replace(due_ns=np.full(1, start_ns, np.int64))
    if first < len(ends):
        yield cut_piece(piece, first, len(ends))


def _read_chunks(path: str) -> Generator[BytesLike, None, None]:
    """The metadata of a file (empty if it has none), then its records in chunks of any size."""
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
    """Check that every client can read these inputs from the beginning.

    Raises:
        UsageError: an input is a pipe or standard input.
    """
    for path in paths:
        if is_read_once(path):
            raise UsageError(f"{path}: each client reads the input anew, so it must be a file")


def _read_metadata(path: str) -> Metadata | None:
    reader = ChunkReader(path)
    try:
        next(reader.chunks())
        if reader.framing not in (Framing.DBN, Framing.FRAGMENT):
            form = reader.framing.value if reader.framing else "of no known form"
            raise InputError(
                f"{path}: is {form}, expected DBN; `batonics convert --schema mbo` writes it"
            )
    finally:
        reader.close()
    return read_metadata(path)


def _merge_metadata(
    paths: Sequence[str],
    all_metadata: Sequence[Metadata | None],
    mappings: tuple[SymbolMapping, ...] | None,
) -> Metadata | None:
    """The metadata of all files as one stream; UsageError if they do not make one."""
    first = all_metadata[0]
    for path, other in zip(paths[1:], all_metadata[1:], strict=True):
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
    last = all_metadata[-1] or first
    if mappings is None:
        return replace(first, end=last.end)
    symbols = tuple(mapping.raw_symbol for mapping in mappings)
    return replace(first, end=last.end, symbols=symbols, mappings=mappings)
