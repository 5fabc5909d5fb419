"""Puts input files in the order of their time, and refuses files that repeat or overlap each other.

The rule: this module alone decides in which order files are read. What it needs is at the beginning
of a file: the `ts_recv` of the first record, or else the start that its metadata names. A plain
file is also read at its end, so that an overlap is refused before hours of work; `overlap.py` finds
any other while the records pass.

A file without any time, such as NDJSON without `ts_ns`, follows the file that is given before it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import closing
from itertools import combinations, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.codec.decoders import Decoder, DecoderFactory
from batonics.codec.framing import WHOLE_FILE_FORMS, Framing
from batonics.codec.lobster import LobsterDecoder
from batonics.codec.ndjson import NdjsonDecoder
from batonics.model.errors import InputError, UsageError
from batonics.model.mbo import (
    MBO_DTYPE,
    RTYPE_MBO,
    UNDEF_TIMESTAMP,
    MboBatch,
    is_untimed,
    record_keys,
)
from batonics.model.times import format_time
from batonics.settings.loader import current
from batonics.sources.chunks import ChunkReader
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions

HEAD_ROWS_MAX = 1 << 12
"""Records of the beginning that are looked at."""
END_RECORDS = 1 << 10
"""Records of the end that are looked at."""
ADVICE = "give each record once, or read the files as they are given: --in-this-order"
"""How to go on after files are refused."""


class KeyTimes(NamedTuple):
    """Trusted times of records.

    Attributes:
        keys: (records,) keys of their books.
        ts_recv: (records,) their times.
    """

    keys: NDArray[np.int64]
    ts_recv: NDArray[np.uint64]


class FileBounds(NamedTuple):
    """What the beginning and the end of a file show.

    Attributes:
        first_ns: when it begins; None: nothing says it.
        end_ns: the time before which its records end; None: nothing says it.
        first_record: what identifies its first record; None: it has none, or none with a time.
        head: records of the beginning.
        end: records of the end; empty where the file cannot be read there.
    """

    first_ns: int | None
    end_ns: int | None
    first_record: tuple[object, ...] | None
    head: KeyTimes
    end: KeyTimes


class OrderedFile(NamedTuple):
    """A file in its place.

    Attributes:
        reader: the file.
        first_ns: when it begins; None: behind the file before it, whenever that ends.
        end_ns: the time before which its records end; None: nothing says it.
    """

    reader: ChunkReader
    first_ns: int | None
    end_ns: int | None = None


def order_files(readers: Sequence[ChunkReader], options: InputOptions) -> list[OrderedFile]:
    """The files in the order of their time; each can be read from its beginning.

    Raises:
        UsageError: a file is given twice, two files begin with the same record, or two files have
            records of one book at times that overlap.
        InputError: a file cannot be read, or is damaged at its beginning.
    """
    if options.in_this_order or len(readers) == 1:
        return [OrderedFile(reader, None) for reader in readers]
    _refuse_same_file(readers)
    bounds = [_read_bounds(reader, options) for reader in readers]
    # A file without a time has the time of the one before it.
    starts, known_ns = [], -1
    for bound in bounds:
        known_ns = known_ns if bound.first_ns is None else bound.first_ns
        starts.append(known_ns)
    order = sorted(range(len(readers)), key=lambda number: (starts[number], number))
    ordered = [(readers[number], bounds[number]) for number in order]
    _refuse_same_start(ordered)
    _refuse_overlap(ordered)
    return [OrderedFile(reader, bound.first_ns, bound.end_ns) for reader, bound in ordered]


def order_paths(paths: Sequence[str], options: InputOptions = DEFAULT_OPTIONS) -> tuple[str, ...]:
    """The paths of files that can be read again, in the order of their time.

    Raises:
        UsageError, InputError: as `order_files`.
    """
    return tuple(path for group in group_paths(paths, options) for path in group)


def group_paths(
    paths: Sequence[str], options: InputOptions = DEFAULT_OPTIONS
) -> list[tuple[str, ...]]:
    """The paths as `order_paths` has them; files that may cover the same time are one group.

    Raises:
        UsageError, InputError: as `order_files`.
    """
    if options.in_this_order or len(paths) == 1:
        return [(path,) for path in paths]
    readers: list[ChunkReader] = []
    try:
        readers.extend(ChunkReader(path) for path in paths)
        path_of = {id(reader): path for reader, path in zip(readers, paths, strict=True)}
        groups: list[tuple[str, ...]] = []
        end_ns: int | None = -1  # of the last group
        for file in order_files(readers, options):
            path = path_of[id(file.reader)]
            if file.first_ns is None:
                groups.append((path,))
                end_ns = -1
            elif end_ns is None or file.first_ns < end_ns:
                groups[-1] += (path,)
                ends = [end for end in (end_ns, file.end_ns) if end is not None]
                end_ns = max(ends) if len(ends) == 2 else None
            else:
                groups.append((path,))
                end_ns = file.end_ns
        return groups
    finally:
        for reader in readers:
            reader.close()


def describe_time(ts_ns: int) -> str:
    """A time in an error."""
    return format_time(ts_ns) or "an undefined time"


def _refuse_same_file(readers: Sequence[ChunkReader]) -> None:
    known: dict[Hashable, str] = {}
    for reader in readers:
        if reader.identity is None:
            continue
        other = known.setdefault(reader.identity, reader.name)
        if other is not reader.name:
            name = f"{other} and {reader.name} are one file, which"
            if other == reader.name:
                name = f"{other}"
            raise UsageError(f"{name} is given twice; {ADVICE}")


def _refuse_same_start(ordered: Sequence[tuple[ChunkReader, FileBounds]]) -> None:
    known: dict[tuple[object, ...], str] = {}
    for reader, bounds in ordered:
        if bounds.first_record is None or bounds.first_ns is None:
            continue
        other = known.setdefault(bounds.first_record, reader.name)
        if other is not reader.name:
            raise UsageError(
                f"{other} and {reader.name} begin with the same record, at"
                f" {describe_time(bounds.first_ns)}; {ADVICE}"
            )


def _refuse_overlap(ordered: Sequence[tuple[ChunkReader, FileBounds]]) -> None:
    """Refuse files of which a beginning and an end show that they overlap."""
    for (first, earlier), (second, later) in combinations(ordered, 2):
        if later.first_ns is None or not len(earlier.end.keys):
            continue
        if later.first_ns >= int(earlier.end.ts_recv.max()):
            continue
        keys, at = np.unique(later.head.keys, return_index=True)
        starts = later.head.ts_recv[at]
        place = np.minimum(np.searchsorted(keys, earlier.end.keys), max(0, len(keys) - 1))
        if not len(keys):
            continue
        late = (keys[place] == earlier.end.keys) & (earlier.end.ts_recv > starts[place])
        if late.any():
            row = int(np.flatnonzero(late)[-1])
            raise overlap_error(
                first.name,
                int(earlier.end.ts_recv[row]),
                second.name,
                int(starts[place[row]]),
                f"instrument {int(earlier.end.keys[row]) & 0xFFFFFFFF}",
            )


def overlap_error(earlier: str, last_ns: int, later: str, first_ns: int, book: str) -> UsageError:
    """The error of two files that have records of one book at times that overlap.

    Args:
        earlier: name of the file that begins first.
        last_ns: time of one of its records.
        later: name of the other file.
        first_ns: time of a record of it, before `last_ns`; the same: both have the same record.
        book: the words for the book.
    """
    if first_ns == last_ns:
        return UsageError(
            f"{earlier} and {later} overlap: both have the same record of {book} at"
            f" {describe_time(first_ns)}; {ADVICE}"
        )
    return UsageError(
        f"{earlier} and {later} overlap: {later} has {book} from {describe_time(first_ns)} on, and"
        f" {earlier} has it at {describe_time(last_ns)}; {ADVICE}"
    )


class _FileHead(NamedTuple):
    """The beginning of a file.

    Attributes:
        decoder: what has read it; None: it is a table that is read as a file.
        batch: its first records; None: it has none.
        is_compressed: whether the file is compressed.
    """

    decoder: Decoder | None
    batch: MboBatch | None
    is_compressed: bool


def _read_head(reader: ChunkReader, options: InputOptions) -> _FileHead:
    decoders = DecoderFactory(
        batch_rows=HEAD_ROWS_MAX,
        skip_bad=options.skip_bad,
        metadata_bytes_max=current().input.metadata_bytes_max,
        lossy=options.lossy,
        session_date=options.session_date,
    )
    decoder: Decoder | None = None
    batch: MboBatch | None = None
    with closing(reader.peek()) as chunks:
        for chunk in chunks:
            if reader.framing in WHOLE_FILE_FORMS:
                break
            if decoder is None:
                decoder = decoders.begin(reader.framing, reader.name, reader.file_bytes)
            batch = next((b for b in decoder.feed(chunk) if len(b.action)), None)
            decoder.other_records.clear()
            if batch is not None:
                break
        is_compressed, form = reader.is_compressed, reader.framing
        if decoder is not None and batch is None:
            batch = next((b for b in islice(decoder.feed(decoder.TRAILER), 1)), None)
    if form in WHOLE_FILE_FORMS and not is_compressed and reader.is_plain_file:
        batch = _read_first_rows(reader, form, options)
    elif form in WHOLE_FILE_FORMS:
        raise InputError(
            f"{reader.name}: is {form.value} and compressed or from a pipe, so its time is known"
            " too late to order files; write it to a plain file, or give --in-this-order"
        )
    return _FileHead(decoder, batch, is_compressed)


def _read_first_rows(
    reader: ChunkReader, framing: Framing, options: InputOptions
) -> MboBatch | None:
    """The first rows of a table that is read as a file; None: it has none."""
    from batonics.sources.table_files import TableFile

    with closing(TableFile(reader, framing, options, HEAD_ROWS_MAX).batches()) as batches:
        return next((batch for batch in batches if len(batch.action)), None)


def _read_bounds(reader: ChunkReader, options: InputOptions) -> FileBounds:
    decoder, batch, is_compressed = _read_head(reader, options)
    none = KeyTimes(np.empty(0, np.int64), np.empty(0, np.uint64))
    metadata = None if decoder is None else decoder.metadata
    start_ns = metadata.start if metadata is not None and metadata.start else None
    end_ns = metadata.end if metadata is not None else None
    if start_ns == UNDEF_TIMESTAMP:
        start_ns = None
    if batch is None or not len(batch.action):
        return FileBounds(start_ns, start_ns, None, none, none)
    head = _trusted(batch)
    first_ns = int(head.ts_recv[0]) if len(head.keys) else start_ns
    record: tuple[object, ...] | None = None
    if len(head.keys) and first_ns == int(batch.ts_recv[0]):
        record = tuple(int(column[0]) for column in batch)
        if isinstance(decoder, LobsterDecoder):
            record = (decoder.ticker, *record)
        if isinstance(decoder, NdjsonDecoder):
            record = (decoder.symbols[int(batch.instrument_id[0]) - 1], *record)
    end = none if is_compressed or metadata is None else _read_end(reader)
    if len(end.keys):
        end_ns = int(end.ts_recv.max()) + 1
    return FileBounds(first_ns, end_ns, record, head, end)


def _trusted(batch: MboBatch) -> KeyTimes:
    is_timed = ~is_untimed(batch.flags) & (batch.ts_recv != UNDEF_TIMESTAMP)
    return KeyTimes(record_keys(batch)[is_timed], batch.ts_recv[is_timed])


def _read_end(reader: ChunkReader) -> KeyTimes:
    """The last records of a plain file of MBO records; empty if there are others among them."""
    data = reader.read_end(END_RECORDS * MBO_DTYPE.itemsize)
    records = np.frombuffer(data[len(data) % MBO_DTYPE.itemsize :], MBO_DTYPE)
    is_mbo = (records["rtype"] == RTYPE_MBO) & (records["length"] == MBO_DTYPE.itemsize // 4)
    # Metadata may be among the last bytes: only what follows it counts.
    others = np.flatnonzero(~is_mbo)
    batch = MboBatch._make(
        records[name][others[-1] + 1 if len(others) else 0 :] for name in MboBatch._fields
    )
    return _trusted(batch)
