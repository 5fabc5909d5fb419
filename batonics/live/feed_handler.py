"""A live feed as a machine: bytes in, books out; no socket in it, and no clock.

The rule here: whatever happens to a feed (it is cut anywhere, comes back, says things twice, leaves
things out), a book that is not exact is never told as synced. What was taken is taken once.

    connected ─▶ take, take, ... ─▶ lost ─▶ connected ─▶ ... ─▶ ended

Whoever drives it tells it when a connection begins and ends. Between `lost` and the moment at which
a new connection has been joined (`resume.py`), `feed` is not LIVE, and all books count as stale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.state import Anomaly
from batonics.codec.dbn import DbnDecoder
from batonics.codec.decoders import Decoder, DecoderFactory
from batonics.codec.framing import DETECT_BYTES, Framing, detect_framing
from batonics.codec.inflate import ZstdInflater
from batonics.codec.messages import (
    RTYPE_ERROR,
    OtherRecord,
    parse_error_message,
)
from batonics.codec.metadata import Metadata
from batonics.frames.scan.folding import book_keys
from batonics.frames.scan.symbols import FrameSymbols
from batonics.live.depth_snapshots import DepthSnapshotWriter, SnapshotIntervals, depth_frame
from batonics.live.protocol import FeedState
from batonics.live.published_books import PublishedBooks
from batonics.live.resume import (
    FEED_START,
    FeedPosition,
    Resumer,
    ResumeState,
    TruncatedSnapshotMarker,
)
from batonics.live.resume_columns import identity_columns
from batonics.live.resume_kernels import advance_position
from batonics.live.stats import FeedStats
from batonics.model.errors import InputError
from batonics.model.mbo import MboBatch, empty_batch
from batonics.model.symbols import MappingInterval, SymbolMap
from batonics.sources.stream import BATCH_ROWS

_NONE = np.empty(0, np.int64)


class FeedOutput(Protocol):
    """Who is told what a feed has taken, as it is folded: each record once."""

    def name(self, intervals: Iterable[MappingInterval]) -> None:
        """Names of instruments have come to be known."""

    def take(self, batch: MboBatch) -> None:
        """Records; their arrays are reused afterwards."""

    def gap(self, engine: BookEngine) -> None:
        """Records are missing before those that come next."""


class FeedHandler:
    """What a feed has come to.

    Args:
        depth: levels of each side that are published.
        skip_bad: count and skip bad records where the framing survives.
        source: a name for error messages.

    Attributes:
        engine, symbols: the books, and their names.
        stats: what was counted; `feed` of it is a `wire.Feed`.
        published: the books as they are told.
        snapshot: the connection begins with a snapshot of each book, so that what is lost is made
            good by it; set it before `connected`.
        framing: the form of the connection's bytes, once known.
        tap: told what is taken, if anybody is.
    """

    def __init__(
        self, *, depth: int = 10, skip_bad: bool = False, source: str | None = None
    ) -> None:
        self.published = PublishedBooks(depth)
        self.engine = BookEngine(bbo=True, tops=self.published.wanted())
        self.symbols = SymbolMap()
        self._names = FrameSymbols(self.symbols)
        self.stats = FeedStats(feed=FeedState.CONNECTING)
        self._place = np.array(FEED_START, np.int64)  # in place: it moves with each batch
        self.snapshot = False
        self.framing: Framing | None = None
        self.output: FeedOutput | None = None
        self._source = source
        self._others: Counter[int] = Counter()
        self._decoders = DecoderFactory(batch_rows=BATCH_ROWS, skip_bad=skip_bad)
        self._after_gap: TruncatedSnapshotMarker | None = None
        self._windows: SnapshotIntervals | None = None
        self._snapshots: DepthSnapshotWriter | None = None
        self._changed: list[NDArray[np.int64]] = []  # books that changed, to be told
        self._begin()

    @property
    def position(self) -> FeedPosition:
        """Behind which record the feed is."""
        return FeedPosition._make(self._place.tolist())

    def _begin(self) -> None:
        self._head = b""
        self._decoder: Decoder | None = None
        self._inflater: ZstdInflater | None = None
        self._skipped_before = self.stats.skipped
        self._joiner = Resumer(FEED_START)

    # ------------------------------------------------------------------ connections

    def connected(self) -> NDArray[np.int64]:
        """A connection has begun; the numbers of the books whose status it changed."""
        self._begin()
        self.framing = None
        self.stats.connects += 1
        if self.position == FEED_START:
            self.stats.feed = FeedState.LIVE
        elif self.snapshot or not self.position.count:  # a place without a time cannot be sought
            self._gap()
        else:
            self._joiner = Resumer(self.position)
            self.stats.feed = FeedState.RECOVERING
        return self.changes()

    def continued(self) -> None:
        """What comes next goes on with the same feed, from a new beginning (of a file)."""
        joiner = self._joiner
        self._begin()
        self._joiner = joiner

    def restore(self, engine: BookEngine, position: FeedPosition, records: int) -> None:
        """Go on from books that were saved behind a place."""
        self.engine, self.stats.records = engine, records
        self._place = np.array(position, np.int64)
        self.published.fill(engine)

    def lost(self) -> None:
        """The connection is gone, wherever it was."""
        self.stats.disconnects += 1
        self.stats.feed = FeedState.LOST

    def ended(self) -> None:
        """Nothing more will come: the interval that is open ends."""
        self.stats.feed = FeedState.ENDED
        if self._windows is not None:
            self._end_window(self._windows.latest_end_ns)

    def check_end(self) -> None:
        """Refuse a connection that ended in the middle of a record.

        Raises:
            InputError: it did; DamagedInputError: where.
        """
        if self._inflater is not None:
            self._inflater.close()
        if self._decoder is not None:
            for batch in self._decoder.feed(self._decoder.TRAILER):
                self._apply(batch)
            self._decoder.close()
        elif self._head:
            detect_framing(self._head, complete=True, source=self._source)

    # ------------------------------------------------------------------ bytes

    def take(self, data: bytes | memoryview) -> NDArray[np.int64]:
        """Take bytes of the connection; the numbers of the books that changed.

        Raises:
            DamagedInputError: they make no sense, where. All before that was taken.
            InputError: they are of none of our forms, or the gateway says that it is over.
        """
        self.stats.bytes += len(data)
        try:
            for plain in self._plain(data):
                for batch in self._decode(plain):
                    self._apply(batch)
        finally:
            self._count_skipped()
        return self.changes()

    def changes(self) -> NDArray[np.int64]:
        """The books that changed since the last time."""
        changed, self._changed = self._changed, []
        return changed[0] if len(changed) == 1 else np.unique(np.concatenate([_NONE, *changed]))

    def _plain(self, data: bytes | memoryview) -> Iterator[bytes | memoryview]:
        """The bytes without their packing, once their form can be told."""
        if self._decoder is None and self._inflater is None:
            self._head += bytes(data)
            framing = detect_framing(self._head, source=self._source)
            if framing is None:
                return
            data, self._head = self._head, b""
            if framing is Framing.ZSTD:
                self._inflater = ZstdInflater(source=self._source)
            else:
                self._decoder = self._begin_decoder(framing)
        if self._inflater is None:
            yield data
            return
        for piece in self._inflater.feed(data):
            if self._decoder is not None:
                yield piece
                continue
            self._head += piece
            if len(self._head) >= DETECT_BYTES:
                inner = detect_framing(self._head, source=self._source)
                if inner is not None:
                    self._decoder = self._begin_decoder(inner)
                    plain, self._head = self._head, b""
                    yield plain

    def _begin_decoder(self, framing: Framing) -> Decoder:
        if framing is Framing.ZSTD:
            raise InputError(f"{self._source}: zstd within zstd")
        self.framing = framing
        return self._decoders.begin(framing, self._source)

    def _decode(self, data: bytes | memoryview) -> Iterator[MboBatch]:
        decoder = self._decoder
        if decoder is None:
            raise AssertionError("bytes are plain once there is a decoder")
        errors: list[OtherRecord] = []
        for batch in decoder.feed(data):
            # Names are known before what they name; an error ends the feed behind its records.
            errors += self._note_others(decoder)
            yield batch
        errors += self._note_others(decoder)
        for record in errors:
            self._raise_error(record, decoder)

    def _note_others(self, decoder: Decoder) -> list[OtherRecord]:
        """Take names from the records that are no MBO, and count them; those that are errors."""
        names = self._decoders.new_mappings(decoder, self._source)
        for interval in names:
            self.symbols.add(interval)
        if names and self.output is not None:
            self.output.name(names)
        errors = []
        for record in decoder.other_records:
            self._others[record.rtype] += 1
            if record.rtype == RTYPE_ERROR:
                errors.append(record)
        decoder.other_records.clear()
        return errors

    def _raise_error(self, record: OtherRecord, decoder: Decoder) -> None:
        version = decoder.version if isinstance(decoder, DbnDecoder) else 3
        error = parse_error_message(record, version, self._source)
        raise InputError(f"{self._source}: the gateway says: {error.text}")

    # ------------------------------------------------------------------ books

    def _apply(self, batch: MboBatch) -> None:
        new = batch
        if self._joiner.state is ResumeState.SEEKING:
            new = self._joiner.take(batch)
            self.stats.duplicates += len(batch.action) - len(new.action)
        if (
            self.stats.feed == FeedState.RECOVERING
            and self._joiner.state is not ResumeState.SEEKING
        ):
            self.stats.feed = FeedState.LIVE
            if self._joiner.state is ResumeState.GAP:
                self._gap()
        if len(new.action):
            advance_position(identity_columns(new), self._place)
            self.stats.records += len(new.action)
            self.stats.batches += 1
            if self._after_gap is not None:
                new = self._after_gap.take(new)
                if self._after_gap.done:
                    self._after_gap = None
            pieces = [(new, None)] if self._windows is None else self._windows.cut(new)
            for piece, ended_ns in pieces:
                if ended_ns is not None:
                    self._end_window(ended_ns)
                self._fold(piece)

    def _fold(self, batch: MboBatch) -> None:
        if self.output is not None:
            self.output.take(batch)
        self.engine.apply(batch)
        changed, ended = self.published.take(batch, self.engine)
        self._changed.append(changed)
        self.stats.events += ended
        if self._windows is not None:
            self._windows.touch(changed, self.engine.book_count)

    def _end_window(self, end_ns: int) -> None:
        if self._windows is None or self._snapshots is None:
            return
        rows, events = self._windows.end(self.published.rows)
        if len(rows):
            keys = book_keys(self.engine)
            self._snapshots.add(depth_frame(rows, events, end_ns, keys, self._names))

    def write_depth_snapshots(self, length_ns: int, files: DepthSnapshotWriter) -> None:
        """From now on, write depth snapshots at intervals of the feed's time."""
        self._windows = SnapshotIntervals(length_ns, self.published.rows)
        self._snapshots = files

    def _gap(self) -> None:
        """Records are missing: every book is stale until its R or snapshot."""
        self.stats.gaps += 1
        self.stats.feed = FeedState.LIVE
        self._after_gap = TruncatedSnapshotMarker()
        if self.output is not None:
            self.output.gap(self.engine)
        self.engine.mark_stale()
        changed, ended = self.published.take(empty_batch(0), self.engine)
        self.stats.events += ended
        self._changed += [changed, self.published.take_statuses(self.engine)]

    def _count_skipped(self) -> None:
        if self._decoder is not None:
            self.stats.skipped = self._skipped_before + self._decoder.skipped

    # ------------------------------------------------------------------ what is asked now and then

    def names(self) -> list[list[Any]]:
        """[book, publisher_id, instrument_id, symbol or None] of every book, as of now."""
        now_ns = max(self.position.ts_recv, 0)
        return [
            [number, publisher_id, instrument_id, self.symbols.symbol(instrument_id, now_ns)]
            for number, (publisher_id, instrument_id) in enumerate(self.engine.keys())
        ]

    def count_books(self) -> None:
        """Bring the counts up to date that are sums over all books."""
        stats, engine = self.stats, self.engine
        statuses = np.bincount([int(status) for status in engine.statuses()], minlength=3)
        stats.books = engine.book_count
        stats.cold, stats.synced, stats.stale = (int(count) for count in statuses)
        totals = engine.anomalies().sum(axis=0).tolist()
        stats.anomalies = {kind.name.lower(): n for kind, n in zip(Anomaly, totals, strict=True)}
        stats.other_records = {f"0x{rtype:02x}": n for rtype, n in sorted(self._others.items())}
        stats.ts_recv = None if self.position.ts_recv < 0 else self.position.ts_recv

    @property
    def numbers_symbols(self) -> bool:
        """Whether instruments are numbered by when their names came, as those of NDJSON are."""
        return self._decoders.numbers_symbols

    @property
    def is_packed(self) -> bool:
        """Whether the connection's bytes are zstd."""
        return self._inflater is not None

    @property
    def metadata(self) -> Metadata | None:
        """What the connection's DBN says of itself."""
        return None if self._decoder is None else self._decoder.metadata

    @property
    def pending_bytes(self) -> int | None:
        """Bytes at the end of what was taken that are of no whole record yet; None: unknown."""
        return None if self.is_packed or self._decoder is None else self._decoder.pending_bytes

    def is_amid(self, book: int) -> bool:
        """Whether a book is within an event, and cannot be told whole."""
        return bool(self.engine.events_open()[book])
