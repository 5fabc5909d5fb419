"""The feed handler: bytes of a feed in, books out, without sockets and without a clock.

The rule here: a feed may be cut anywhere, reconnect, repeat records and leave records out. A book
that is not exact is never published as synced, and each record is folded once.

    begin_connection ─▶ process ... ─▶ end_connection ─▶ begin_connection ─▶ ... ─▶ end_feed

The caller says when a connection begins and ends. From `end_connection` until a new connection has
resumed (`resume.py`), the state `feed` is not LIVE, and all books count as stale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.state import Anomaly, Status
from batonics.codec.decoders import Decoder, DecoderFactory
from batonics.codec.framing import Framing
from batonics.codec.messages import (
    ERROR_SKIPPED_RECORDS,
    ERROR_SYMBOL,
    RTYPE_ERROR,
    RTYPE_SYSTEM,
    SYSTEM_SLOW_READER,
    GatewayMessage,
    OtherRecord,
    plain_status,
    rtype_name,
)
from batonics.codec.metadata import Metadata
from batonics.codec.unpacking import Unpacker
from batonics.frames.scan.folding import book_keys
from batonics.live.book_names import BookNames
from batonics.live.depth_snapshots import DepthSnapshotWriter, SnapshotIntervals, depth_frame
from batonics.live.protocol import FeedState
from batonics.live.published_books import PublishedBooks
from batonics.live.resume import (
    FEED_START,
    FeedPosition,
    Resumer,
    TruncatedSnapshotMarker,
)
from batonics.live.resume_columns import identity_columns
from batonics.live.resume_kernels import ResumeState, advance_position
from batonics.live.stats import FeedStats
from batonics.model.answers import DataSpan
from batonics.model.book_changes import BookChange
from batonics.model.mbo import MboBatch, empty_batch, slice_batch
from batonics.model.symbols import MappingInterval, SymbolMap
from batonics.settings.table import INPUT_DEFAULTS, InputSettings
from batonics.sources.stream import BATCH_ROWS

PART_BYTES = 1 << 16
"""So many compressed bytes are inflated between two looks at the clock: 75 ms of empty frames."""
_NO_BOOKS = np.empty(0, np.int64)


class FeedOutput(Protocol):
    """Receives the records of a feed as they are folded, each record once."""

    def write_symbols(self, intervals: Iterable[MappingInterval]) -> None:
        """Take new names of instruments."""

    def write_statuses(self, records: Iterable[bytes]) -> None:
        """Take status records, which have the vendor's layout."""

    def write(self, batch: MboBatch) -> None:
        """Take records; their arrays are reused afterwards."""

    def mark_gap(self, engine: BookEngine) -> None:
        """Take note that records are missing before the next ones."""


class FeedHandler:
    """Decodes and folds one feed.

    Args:
        depth: levels of each side that are published.
        skip_bad: whether bad records are counted and skipped, where the framing survives.
        source: a name for error messages.
        settings: limits of the input.

    Attributes:
        engine: the books.
        symbols: names of instruments.
        names: names of books, as of their last `update`.
        data: the times of the records.
        stats: the counts; its `feed` is a `protocol.FeedState`.
        published_books: the published rows.
        has_snapshot: whether the connection begins with a snapshot of each book, which makes up for
            missing records; set it before `begin_connection`.
        framing: the form of the connection's bytes; None until it is detected.
        outputs: receive the records that are folded.
    """

    def __init__(
        self,
        *,
        depth: int = 10,
        skip_bad: bool = False,
        source: str | None = None,
        settings: InputSettings = INPUT_DEFAULTS,
    ) -> None:
        self.published_books = PublishedBooks(depth)
        self.engine = BookEngine(bbo=True, tops=self.published_books.engine_spec())
        self.engine.backwards_ns_max = settings.ts_recv_backwards_ns
        self.symbols = SymbolMap()
        self.data = DataSpan()
        self.names = BookNames(self.symbols)
        self.stats = FeedStats(feed=FeedState.CONNECTING)
        self._position = np.array(FEED_START, np.int64)  # a kernel moves it with each batch
        self.has_snapshot = False
        self.framing: Framing | None = None
        self.status_records: dict[tuple[int, int], bytes] = {}
        self.outputs: list[FeedOutput] = []
        self._source = source
        self._other_records: Counter[int] = Counter()  # by rtype
        self._decoders = DecoderFactory(
            batch_rows=BATCH_ROWS,
            skip_bad=skip_bad,
            metadata_bytes_max=settings.metadata_bytes_max,
            ends_at_error=True,
        )
        self._snapshot_marker: TruncatedSnapshotMarker | None = None
        self._intervals: SnapshotIntervals | None = None
        self._depth_snapshots: DepthSnapshotWriter | None = None
        self._snapshots_from_ns: int | None = None  # the last record before their first interval
        self._changed: list[NDArray[np.int64]] = []  # books since `take_changed_books`
        self._begin_stream()

    @property
    def position(self) -> FeedPosition:
        """The position behind the last record."""
        return FeedPosition._make(self._position.tolist())

    def _begin_stream(self) -> None:
        self._unpacker = Unpacker(self._source)
        self._decoder: Decoder | None = None
        self._is_within_data = False  # a call of `process_batches` has not come to its end
        self._skipped_before = self.stats.skipped
        self._skips: list[int] = []  # rows of the stream before which the gateway has skipped some
        self._decoded_rows = 0
        self._resumer = Resumer(FEED_START)

    # ------------------------------------------------------------------ connections

    def begin_connection(self) -> NDArray[np.int64]:
        """Begin a connection; the numbers of the books whose status it changes."""
        self._begin_stream()
        self.framing = None
        self.stats.connects += 1
        if self.position == FEED_START:
            self.stats.feed = FeedState.LIVE
        elif self.has_snapshot or not self.position.count:  # without a time it cannot be found
            self._begin_gap()
        else:
            self._resumer = Resumer(self.position)
            self.stats.feed = FeedState.RECOVERING
        return self.take_changed_books()

    def begin_file(self) -> None:
        """Begin the next recorded file of the same connection."""
        resumer = self._resumer
        self._begin_stream()
        self._resumer = resumer

    def restore(
        self, engine: BookEngine, position: FeedPosition, records: int, data: DataSpan
    ) -> None:
        """Continue from a checkpoint: its books, their position, the records and their times."""
        engine.backwards_ns_max = self.engine.backwards_ns_max
        self.engine, self.stats.records, self.data = engine, records, data
        self._position = np.array(position, np.int64)
        self.published_books.load(engine)

    def begin_stall(self) -> bool:
        """Mark that a live feed is silent for too long; whether that is new. Books keep it all."""
        is_new = self.stats.feed == FeedState.LIVE
        if is_new:
            self.stats.feed = FeedState.STALLED
            self.stats.stalls += 1
        return is_new

    def end_stall(self) -> bool:
        """Mark that a stalled feed brings bytes again; whether it was stalled."""
        was_stalled = self.stats.feed == FeedState.STALLED
        if was_stalled:
            self.stats.feed = FeedState.LIVE
        return was_stalled

    def end_connection(self) -> None:
        """End a connection that was lost, at any byte."""
        self.stats.disconnects += 1
        self.stats.feed = FeedState.LOST

    def end_feed(self) -> None:
        """End the feed, and with it the open interval of depth snapshots."""
        self.stats.feed = FeedState.ENDED
        if self._intervals is not None:
            end_ns = self._intervals.latest_end_ns
            self._end_interval(end_ns, is_over=(self.data.until_ns or 0) >= end_ns)

    def check_complete(self) -> None:
        """Check that a connection did not end in the middle of a record.

        Raises:
            InputError: the bytes are too few to detect their form.
            DamagedInputError: the connection ended within a record.
        """
        if self._is_within_data:
            return  # the rest was not wanted
        self._unpacker.close(may_be_empty=True)
        if self._decoder is not None:
            for batch in self._decode(self._decoder.TRAILER):
                self._apply(batch)
            self._decoder.close()

    # ------------------------------------------------------------------ bytes

    def process(self, data: bytes | memoryview) -> NDArray[np.int64]:
        """Decode and fold bytes of the connection; the numbers of the books that changed.

        Raises:
            DamagedInputError: a record is damaged. All records before it are folded.
            InputError: the bytes have no known form, or the gateway has sent an error.
        """
        for _ in self.process_batches(data):
            pass
        return self.take_changed_books()

    def process_batches(self, data: bytes | memoryview) -> Iterator[None]:
        """Decode and fold bytes of the connection; yields after each step, which is short.

        A caller that leaves early has ended the connection: what follows in `data` is not taken.

        Raises:
            DamagedInputError, InputError: as `process`.
        """
        self.stats.bytes += len(data)
        self._is_within_data = True
        try:
            for part in self._parts(data):
                for plain in self._plain(part):
                    for batch in self._decode(plain):
                        self._apply(batch)
                        yield
                yield
        finally:
            self._count_skipped()
        self._is_within_data = False

    def _parts(self, data: bytes | memoryview) -> Iterator[bytes | memoryview]:
        """The bytes; in small parts if they are compressed, since each may inflate for long."""
        at = 0
        while at < len(data):
            is_plain = self.framing is not None and not self.is_compressed
            end = len(data) if is_plain else at + PART_BYTES
            yield data[at:end]
            at = end

    def take_changed_books(self) -> NDArray[np.int64]:
        """The numbers of the books that changed since the last call."""
        changed, self._changed = self._changed, []
        if len(changed) == 1:
            return changed[0]
        return np.unique(np.concatenate([_NO_BOOKS, *changed]))

    def _plain(self, data: bytes | memoryview) -> Iterator[bytes | memoryview]:
        """The unpacked bytes; there is a decoder for them."""
        for plain in self._unpacker.feed(data):
            if self._decoder is None:
                self.framing = self._unpacker.framing
                self._decoder = self._decoders.begin(self.framing, self._source)
            yield plain

    def _decode(self, data: bytes | memoryview) -> Iterator[MboBatch]:
        decoder = self._decoder
        if decoder is None:
            raise AssertionError("bytes are plain once there is a decoder")
        for batch in decoder.feed(data):
            self._take_other_records(decoder)  # names are known before their records
            yield from self._split_at_skips(batch)
        self._take_other_records(decoder)
        yield from self._split_at_skips(empty_batch(0))

    def _split_at_skips(self, batch: MboBatch) -> Iterator[MboBatch]:
        """The rows between places at which the gateway has skipped records; each is a gap."""
        rows, first = len(batch.action), 0
        while self._skips and self._skips[0] <= self._decoded_rows + rows:
            at = max(self._skips.pop(0) - self._decoded_rows, first)
            if at > first:
                yield slice_batch(batch, first, at)  # it is folded before the gap begins
            self._begin_gap()
            first = at
        self._decoded_rows += rows
        if first < rows:
            yield slice_batch(batch, first, rows) if first else batch

    def _take_other_records(self, decoder: Decoder) -> None:
        """Count the records that are not MBO, and take their names."""
        intervals = self._decoders.new_mappings(decoder)
        for interval in intervals:
            self.names.add(interval)
        if intervals:
            for output in self.outputs:
                output.write_symbols(intervals)
        for record in decoder.other_records:
            self._other_records[record.rtype] += 1
            if isinstance(record.content, BookChange):
                self._take_status(record, record.content)
            elif isinstance(record.content, GatewayMessage):
                self._take_message(record, record.content)
        decoder.other_records.clear()

    def _take_message(self, record: OtherRecord, message: GatewayMessage) -> None:
        """Count what the gateway says of this client; note where records are missing."""
        kind = record.rtype, message.code
        if kind == (RTYPE_SYSTEM, SYSTEM_SLOW_READER):
            self.stats.slow_reader_warnings += 1
        elif kind == (RTYPE_ERROR, ERROR_SYMBOL):
            self.stats.unresolved_symbols += 1
        elif kind == (RTYPE_ERROR, ERROR_SKIPPED_RECORDS):
            self.stats.slow_reader_skips += 1
            self._skips.append(record.rows_before)

    def _take_status(self, record: OtherRecord, status: BookChange) -> None:
        """Keep the trading status of a book, and hand it on."""
        plain = plain_status(record)
        self.status_records[status.publisher_id, status.instrument_id] = plain
        for output in self.outputs:
            output.write_statuses([plain])

    # ------------------------------------------------------------------ books

    def _apply(self, batch: MboBatch) -> None:
        new = self._skip_known(batch)
        if len(new.action) == 0:
            return
        advance_position(identity_columns(new), self._position)
        self.stats.records += len(new.action)
        self.stats.batches += 1
        if self._snapshot_marker is not None:
            new = self._snapshot_marker.mark(new)
            if self._snapshot_marker.is_done:
                self._snapshot_marker = None
        if self._intervals is None:
            self._fold(new)
            return
        for part, ended_ns in self._intervals.split(new):
            if ended_ns is not None:
                self._end_interval(ended_ns, is_over=True)
            self._fold(part)

    def _skip_known(self, batch: MboBatch) -> MboBatch:
        """The records of a batch that no earlier connection has brought."""
        new, resumer = batch, self._resumer
        if resumer.state is ResumeState.SEEKING:
            new = resumer.skip_known(batch)
            self.stats.duplicates += len(batch.action) - len(new.action)
        if self.stats.feed == FeedState.RECOVERING and resumer.state is not ResumeState.SEEKING:
            self.stats.feed = FeedState.LIVE
            if resumer.state is ResumeState.GAP:
                self._begin_gap()
        return new

    def _fold(self, batch: MboBatch) -> None:
        for output in self.outputs:
            output.write(batch)
        self.engine.apply(batch)
        self.data = self.data.extend(batch)
        changed, ended = self.published_books.update(batch, self.engine)
        self._changed.append(changed)
        self.stats.events += ended
        if self._intervals is not None:
            self._intervals.mark_changed(changed, self.engine.book_count)

    def _end_interval(self, end_ns: int, *, is_over: bool) -> None:
        """Write the snapshots of an interval.

        Args:
            end_ns: the T of the interval.
            is_over: a record at T or later has come.
        """
        if self._intervals is None or self._depth_snapshots is None:
            return
        rows, events = self._intervals.end_interval(self.published_books.rows)
        if len(rows):
            self.names.update(self.engine, end_ns)
            keys = book_keys(self.engine)
            from_ns = self._snapshots_from_ns
            if from_ns is None:
                from_ns = self.data.from_ns
            first_ns = end_ns - self._intervals.length_ns + 1
            frame = depth_frame(
                rows,
                events,
                end_ns,
                keys,
                self.names.symbols,
                complete=is_over and from_ns is not None and from_ns <= first_ns,
            )
            self._depth_snapshots.add(frame)

    def write_depth_snapshots(self, length_ns: int, writer: DepthSnapshotWriter) -> None:
        """From now on, write depth snapshots at intervals of the feed's time."""
        self._intervals = SnapshotIntervals(length_ns, self.published_books.rows)
        self._snapshots_from_ns = self.data.until_ns
        self._depth_snapshots = writer

    def _begin_gap(self) -> None:
        """Records are missing: every book is stale until its R or snapshot."""
        self.stats.gaps += 1
        self.stats.feed = FeedState.LIVE
        self._snapshot_marker = TruncatedSnapshotMarker()
        for output in self.outputs:
            output.mark_gap(self.engine)
        self.engine.mark_stale()
        changed, ended = self.published_books.update(empty_batch(0), self.engine)
        self.stats.events += ended
        self._changed += [changed, self.published_books.update_statuses(self.engine)]

    def _count_skipped(self) -> None:
        if self._decoder is not None:
            self.stats.skipped = self._skipped_before + self._decoder.skipped

    # ------------------------------------------------------------------ queries

    def update_names(self) -> BookNames:
        """The names of all books, as of now."""
        self.names.update(self.engine, max(int(self._position[0]), 0))
        return self.names

    def update_counts(self) -> None:
        """Update the stats that are sums over all books."""
        stats, engine = self.stats, self.engine
        statuses = np.bincount(engine.status_numbers(), minlength=len(Status))
        stats.books = engine.book_count
        stats.cold, stats.synced, stats.stale = (int(count) for count in statuses)
        totals = engine.anomalies().sum(axis=0).tolist()
        stats.anomalies = {kind.name.lower(): n for kind, n in zip(Anomaly, totals, strict=True)}
        stats.other_records = {
            rtype_name(rtype): n for rtype, n in sorted(self._other_records.items())
        }
        stats.ts_recv = None if self.position.ts_recv < 0 else self.position.ts_recv

    @property
    def numbers_symbols(self) -> bool:
        """Whether instruments are numbered in the order of their first records (NDJSON)."""
        return self._decoders.numbers_symbols

    @property
    def is_compressed(self) -> bool:
        """Whether the connection's bytes are zstd."""
        return self._unpacker.is_compressed is True

    @property
    def metadata(self) -> Metadata | None:
        """The metadata of the connection's DBN."""
        return None if self._decoder is None else self._decoder.metadata

    @property
    def pending_bytes(self) -> int | None:
        """How many of the last bytes belong to an incomplete record; None: unknown."""
        if self.is_compressed or self._is_within_data or self._decoder is None:
            return None
        return self._decoder.pending_bytes

    def is_within_event(self, book: int) -> bool:
        """Whether a book is within an event, so that it cannot be read (rule 5)."""
        return bool(self.engine.events_open()[book])
