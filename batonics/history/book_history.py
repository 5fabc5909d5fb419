"""The books of a stream at any moment: the nearest checkpoint, and the records after it.

The rule here: the books are those of `reconstruct` and `reconstruct --at`, to the byte of the JSON.
Both fold what `EventCutoff` passes. A checkpoint is the fold of all complete events so far, and the
rows of events that were open then.

    records ──▶ record_file ──────────────┐
         └────▶ fold, checkpoints ──┐      │
                                    ▼      ▼
    a time ────▶ checkpoint before ─▶ records up to the time ─▶ books
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batonics.book import checkpoint
from batonics.book.doubtful_books import find_renamed
from batonics.book.engine import BookEngine
from batonics.book.event_cutoff import CutoffState, EventCutoff, complete_rows
from batonics.book.state import Anomaly, Status
from batonics.book.time_order import find_late_rows
from batonics.frames.scan.trading_statuses import TradingStatuses
from batonics.history.record_file import RecordFile
from batonics.model.answers import AsOf, DataSpan
from batonics.model.coverage import Holes
from batonics.model.day_conditions import DoubtfulDays
from batonics.model.errors import OutputError, UsageError
from batonics.model.mbo import MBO_DTYPE, MboBatch, record_keys, take_batch
from batonics.model.symbols import SymbolMap

CHECKPOINT_DISTANCE = 1 << 18
"""Records between two checkpoints, at least: folding them takes some 10 ms."""
_END_NS = 2**63 - 1


class HistoryFacts(NamedTuple):
    """What is known of the instruments of a history, apart from its records.

    Attributes:
        find_symbols: returns their names. A map that has grown may be a new object.
        trading: their trading statuses.
        find_doubtful_days: returns the days that the vendor does not vouch for.
        find_losses: returns what of the records was lost before they were read.
        find_holes: returns the times that no file covers.
        backwards_ns_max: as `BookEngine.backwards_ns_max`.
    """

    find_symbols: Callable[[], SymbolMap]
    trading: TradingStatuses
    backwards_ns_max: int | None
    find_doubtful_days: Callable[[], DoubtfulDays] = tuple
    find_losses: Callable[[], tuple[str, ...]] = tuple
    find_holes: Callable[[], Holes] = tuple


class Moment(NamedTuple):
    """A moment of a history; without a time and a record it is the end of the data.

    Attributes:
        at_ns: after all records that are due at this time or before; None: the end.
        record: after the record with this number, whatever `at_ns` is; None: as `at_ns` says.
    """

    at_ns: int | None = None
    record: int | None = None


END = Moment()


class Place(NamedTuple):
    """Where a moment is in the records.

    Attributes:
        moment: the moment.
        records: the number of records up to it.
        as_of: its time, None at the end of the data, and the times of the records up to it.
    """

    moment: Moment
    records: int
    as_of: AsOf


class HistoricBooks(NamedTuple):
    """Books at a moment.

    Attributes:
        engine: the books.
        as_of: the moment, the times of the records up to it, and the trading statuses then.
        records: the number of records up to it.
    """

    engine: BookEngine
    as_of: AsOf
    records: int


class BookTable(NamedTuple):
    """All books at a moment, in the order of their first events.

    Attributes:
        keys: publisher_id and instrument_id of each.
        statuses: the status of each.
        events: how many events of each have ended.
        ts_recv: that of the last record of each.
    """

    keys: list[tuple[int, int]]
    statuses: list[Status]
    events: list[int]
    ts_recv: list[int]

    @classmethod
    def of_engine(cls, engine: BookEngine) -> BookTable:
        """The table of an engine's books."""
        seen = engine.last_seen()[:, 1].tolist()
        return cls(engine.keys(), engine.statuses(), engine.events().tolist(), seen)


class _Checkpoint(NamedTuple):
    """A checkpoint: its file, the number of records before it, and the state of the cutoff."""

    path: Path
    records: int
    cutoff: CutoffState


class FileHistory:
    """The records of a stream, and checkpoints of its books.

    Args:
        directory: an empty directory for files, of 64 to 100 bytes for each record.
        facts: what is known of the instruments. They may grow until `build` has ended.
        records: the records; None: a new `RecordFile`.

    Attributes:
        directory: the directory.
        facts: what is known of the instruments.
        records: the records.
    """

    def __init__(
        self, directory: Path, facts: HistoryFacts, records: RecordFile | None = None
    ) -> None:
        self.facts, self.directory = facts, directory
        self.records = RecordFile(directory) if records is None else records
        self._checkpoints: list[_Checkpoint] = []
        self._late_numbers: list[int] = []
        self._late_keys: list[int] = []
        self._lock = Lock()
        self._end: HistoricBooks | None = None

    @property
    def feed(self) -> str | None:
        """The state of the live feed that the records are of, in lower case; None: of files."""
        return None

    @property
    def symbols(self) -> SymbolMap:
        """The names of instruments."""
        return self.facts.find_symbols()

    def build(self, batches: Iterable[MboBatch]) -> None:
        """Read a stream whole.

        Args:
            batches: the records, in their order.

        Raises:
            OutputError: the disk does not take the files.
        """
        engine, cutoff = BookEngine(), EventCutoff(_END_NS)
        due, latest_ns = CHECKPOINT_DISTANCE, 0
        for batch in batches:
            latest_ns = self._note_late(batch, latest_ns)
            self.records.append(batch)
            for rows in cutoff.take(batch):
                engine.fold(rows)
            if self.records.count >= due:
                written = self._save(engine, cutoff.state)
                # Checkpoints take no more room than the records.
                due = self.records.count + max(CHECKPOINT_DISTANCE, written // MBO_DTYPE.itemsize)
        self.records.finish()

    def at(self, moment: Moment = END, key: int | None = None) -> HistoricBooks:
        """The books after their last complete events at or before a moment (rule 5).

        Args:
            moment: the moment. At the end of the data, the events that are open there are shown.
            key: the key of the one book that is asked for (`record_keys`); the others are as of an
                earlier time then. None: all books.

        Raises:
            UsageError: the moment is before the first record, or behind the last one.
        """
        return self.at_place(self.place(moment), key)

    def end_books(self, key: int | None = None) -> HistoricBooks:  # noqa: ARG002 - of all books
        """The books at the end of the data, which do not change; `key` as for `at`."""
        if self._end is None:
            self._end = self.at()
        return self._end

    def book_table(self) -> BookTable:
        """What is known of all books at the end of the data, apart from their orders."""
        return BookTable.of_engine(self.end_books().engine)

    def book_keys(self, first: int = 0) -> list[tuple[int, int]]:
        """The keys of the books in the order of their first events, from the number `first` on."""
        return self.end_books().engine.keys(first)

    def at_place(self, place: Place, key: int | None = None) -> HistoricBooks:
        """The books at a place that `place` has found; `key` as for `at`."""
        moment, count, as_of = place
        engine, cutoff = self._fold(count, None if key is None else (key,))
        # At the end of the data, as in `reconstruct`, the events that are open are shown too.
        engine.fold(cutoff.state.held if moment == END else cutoff.finish())
        engine.count_anomalies(Anomaly.TS_RECV_BACKWARDS, self._late_keys_until(count))
        return HistoricBooks(engine, self._describe(engine, as_of), count)

    def fold_until(self, count: int, keys: Collection[int]) -> tuple[BookEngine, MboBatch]:
        """Some books after their last complete events among the first records.

        Args:
            count: the number of records.
            keys: the keys of the books (`record_keys`); others are as of an earlier time.

        Returns:
            The books, and their records behind these events, whose events are open.
        """
        engine, cutoff = self._fold(count, keys)
        return engine, cutoff.state.held

    def as_of_due(self, engine: BookEngine, due_ns: int) -> AsOf:
        """What is known of books after a record.

        Args:
            engine: the books.
            due_ns: when the record is due (`RecordFile.due_ns`); -1: none with a time has come.
        """
        if due_ns < 0:
            return AsOf()
        span = DataSpan(self.records.first_ns, due_ns)
        facts = self.facts
        as_of = AsOf.of_records(due_ns, span, facts.find_doubtful_days(), facts.find_holes())
        return self._describe(engine, as_of)

    def _fold(self, count: int, keys: Collection[int] | None) -> tuple[BookEngine, EventCutoff]:
        """The complete events of books among the first records; None: of all books."""
        number, engine, state = self._load(count)
        if keys is not None:
            is_of_books = np.isin(record_keys(state.held), list(keys))
            state = state._replace(held=take_batch(state.held, is_of_books))
        cutoff = EventCutoff(_END_NS, state=state)
        for batch in self.records.read(number, count, keys):
            for rows in cutoff.take(batch):
                engine.fold(rows)
        return engine, cutoff

    def _describe(self, engine: BookEngine, as_of: AsOf) -> AsOf:
        """Add what is known of books at a time."""
        with self._lock:  # the table of sessions grows as it is asked
            trading = self.facts.trading.at(engine.keys(), as_of.time_ns)
        return as_of._replace(trading=trading, renamed=find_renamed(engine, self.symbols, as_of))

    def place(self, moment: Moment) -> Place:
        """Where a moment is in the records.

        Raises:
            UsageError: the moment is before the first record, or behind the last one.
        """
        count, at_ns = self.count_until(moment), moment.at_ns
        if moment.record is not None:
            if moment.record >= self.records.count:
                raise UsageError(f"record {moment.record}: there are {self.records.count} records")
            due_ns = self.records.due_ns(moment.record)
            at_ns = None if due_ns < 0 else due_ns
        data = self._span(count)
        if count < self.records.first:
            raise UsageError(f"{self._describe_kept()}: the moment is before them")
        if at_ns is not None:
            data.check_not_before(at_ns)
        facts = self.facts
        as_of = AsOf.of_records(at_ns, data, facts.find_doubtful_days(), facts.find_holes())
        return Place(moment, count, as_of._replace(losses=facts.find_losses()))

    def count_until(self, moment: Moment) -> int:
        """The number of records up to a moment."""
        if moment.record is not None:
            return min(moment.record + 1, self.records.count)
        at_ns = moment.at_ns
        return self.records.count if at_ns is None else self.records.count_until(at_ns)

    @property
    def segment_bounds(self) -> NDArray[np.int64]:
        """The numbers of the records between which there is a checkpoint, from 0 to the count."""
        numbers = [each.records for each in self._checkpoints]
        return np.unique([0, *numbers, self.records.count])

    def load_checkpoint(self, count: int, key: int, engine: BookEngine) -> MboBatch:
        """Give an engine the books after the first `count` records.

        Args:
            count: one of the `segment_bounds`, but the last.
            key: the key of the book that is asked for; the others are as of an earlier time.
            engine: an engine without tops that has folded nothing.

        Returns:
            The rows of the open event of the book, which the engine has not folded.
        """
        _, loaded, state = self._load(count)
        engine.state, engine.records = loaded.state, loaded.records
        held = take_batch(state.held, record_keys(state.held) == key)
        # What of an open snapshot has come belongs to the book of the moment, as `at` has it.
        is_complete = complete_rows(held, len(held.action), ended=True)
        engine.fold(take_batch(held, is_complete))
        return take_batch(held, ~is_complete)

    def _describe_kept(self) -> str:
        return f"the records from number {self.records.first} on are kept"

    def _note_late(self, batch: MboBatch, latest_ns: int) -> int:
        """Note the records whose `ts_recv` falls back too far; the greatest time after the batch.

        They are counted apart from the fold, which gets the records of a book in another order.
        """
        if self.facts.backwards_ns_max is None:
            return latest_ns
        late, latest_ns = find_late_rows(batch, latest_ns, self.facts.backwards_ns_max)
        if len(late):
            self._late_numbers += (self.records.count + late).tolist()
            self._late_keys += record_keys(batch)[late].tolist()
        return latest_ns

    def _late_keys_until(self, count: int, first: int = 0) -> NDArray[np.int64]:
        """The keys of late records among those from the number `first` to before `count`."""
        numbers = np.array(self._late_numbers, np.int64)
        keys = np.array(self._late_keys, np.int64)
        late: NDArray[np.int64] = keys[(numbers >= first) & (numbers < count)]
        return late

    def _span(self, count: int) -> DataSpan:
        """The times of all records, up to the one after `count` of them."""
        first_ns, last_ns = self.records.first_ns, self.records.last_ns
        if first_ns is None or last_ns is None:
            return DataSpan()
        if count < self.records.count:
            last_ns = self.records.due_ns(count)
        return DataSpan(first_ns, last_ns)

    def _save(self, engine: BookEngine, cutoff: CutoffState) -> int:
        """Write a checkpoint; the number of its bytes."""
        path = self.directory / f"checkpoint-{self.records.count:012}.bin"
        data = checkpoint.save(engine, {})
        try:
            path.write_bytes(data)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
        self._checkpoints.append(_Checkpoint(path, self.records.count, cutoff))
        return len(data)

    def _load(self, count: int) -> tuple[int, BookEngine, CutoffState]:
        """The last checkpoint within the first `count` records: its place, books and cutoff."""
        found = self._checkpoint_before(count)
        if found is None:
            return 0, BookEngine(), CutoffState()
        engine, _ = checkpoint.load(found.path.read_bytes(), is_own=True)
        return found.records, engine, found.cutoff

    def _checkpoint_before(self, count: int) -> _Checkpoint | None:
        """The last checkpoint within the first `count` records; None: there is none."""
        checkpoints = self._checkpoints
        numbers = np.array([each.records for each in checkpoints], np.int64)
        at = int(np.searchsorted(numbers, count, side="right")) - 1
        return None if at < 0 else checkpoints[at]
