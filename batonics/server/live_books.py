"""The books of a live feed in the serving process: it reads ingest's log and folds it.

The rule here: one thread reads the log. What it cannot follow it does not hide: when the log has
overtaken it, every book is stale (`behind`) until it has begun anew from a checkpoint of ingest.

    log ──▶ LiveBooks ──▶ GrowingHistory ──▶ HistoryAnswers: REST
                               └───────────▶ LiveSource: /v1/ws
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import orjson

from batonics.codec.messages import read_plain_status
from batonics.frames.scan.trading_statuses import TradingStatuses
from batonics.history.book_history import HistoryFacts
from batonics.history.growing_history import GrowingHistory
from batonics.live.log_checkpoint import LogStart, read_log_start
from batonics.live.protocol import LIVE_STATES, FeedState
from batonics.live.record_log import EntryKind, LogEntry, LogReader, OvertakenError
from batonics.model.book_changes import BookChanges
from batonics.model.errors import BatonicsError, CheckpointError
from batonics.model.mbo import MBO_DTYPE
from batonics.model.symbols import MappingInterval, SymbolMap
from batonics.server.config import ServerConfig
from batonics.server.history_answers import HistoryAnswers
from batonics.server.metrics import Metrics
from batonics.server.query_params import ProblemError
from batonics.settings.loader import current
from batonics.sinks.logs import logger
from batonics.sinks.temporary import temporary_directory

REST_S_MIN, REST_S_MAX = 0.002, 0.016
"""The time between two looks at a log that has nothing new: it doubles until something comes."""
RESTS = 2.0
"""A look at the log is followed by a rest of so many times its work: the more comes at once, the
less a record costs."""
LOG_BYTES_DUE = 1 << 19
"""Bytes of the log that are read without a rest."""
JOIN_INTERVAL_S = 1.0
"""The least time between two checkpoints that ingest is asked for."""


class LiveBooks:
    """Follows the log of ingest.

    Args:
        config: the server; it has the descriptors of the log and of its checkpoints.
        request_checkpoint: has ingest write a checkpoint, and waits until it is there; OSError if
            ingest has gone.
        replica_state: the state of the feed as ingest's messages say it, and whether it is live.
        metrics: the counts of this process.

    Attributes:
        generation: rises when the books have begun anew.
    """

    def __init__(
        self,
        config: ServerConfig,
        request_checkpoint: Callable[[], int],
        replica_state: Callable[[], tuple[str, bool]],
        metrics: Metrics,
    ) -> None:
        self._config, self._request_checkpoint = config, request_checkpoint
        self._replica_state, self._metrics = replica_state, metrics
        self.generation = 0
        self._feed, self._is_behind = FeedState.CONNECTING, False
        self._symbols = SymbolMap()
        self._changes = BookChanges()
        self._history: GrowingHistory | None = None
        self._answers: HistoryAnswers | None = None
        self._failure: str | None = None
        self._stack = ExitStack()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="batonics-log", daemon=True)
        self._log = logger("server")

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and remove the files."""
        self._stopping.set()
        self._thread.join(5.0)
        self._stack.close()

    @property
    def history(self) -> GrowingHistory:
        """The books; ProblemError as long as there are none."""
        if self._history is None:
            again = {"Retry-After": "1"}
            detail = self._failure or "the books are not there yet"
            raise ProblemError(503, "Not ready", detail, headers=again)
        return self._history

    @property
    def answers(self) -> HistoryAnswers:
        """Answers about the books; ProblemError as long as there are none."""
        history, answers = self.history, self._answers
        if answers is None:
            raise AssertionError(f"no answers about {history}")
        return answers

    def feed_state(self) -> tuple[str, bool]:
        """The state of the feed, and whether the status of a book is that of its records."""
        if self._is_behind:
            return "behind", False
        state, is_live = self._replica_state()
        if is_live and self._feed not in LIVE_STATES:  # the log has not come so far yet
            return self._feed.name.lower(), False
        return state, is_live

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow(self._join())
            except OvertakenError:
                self._is_behind = True
                self._metrics.log_overtaken.inc()
                self._log.warning("log_overtaken")
            except CheckpointError as error:  # another one was being written
                self._log.warning("checkpoint_damaged", reason=str(error))
            except BatonicsError as error:
                self._fail(str(error))
                return
            except (OSError, TimeoutError) as error:
                self._log.debug("no_checkpoint", reason=str(error))
            except Exception:  # noqa: BLE001 - the thread ends, and answers say so
                self._fail("a bug in batonics; its log has more")
                self._log.exception("log_failed")
                return
            self._stopping.wait(JOIN_INTERVAL_S)

    def _fail(self, reason: str) -> None:
        """The books cannot be followed any more: there are none from now on."""
        self._failure = f"the books of the feed cannot be followed: {reason}"
        self._history = self._answers = None
        self._log.error("log_failed", reason=reason)

    def _join(self) -> LogReader:
        """Begin anew from a checkpoint; the reader behind it."""
        self._request_checkpoint()
        start = read_log_start(self._config.checkpoint_fd)
        reader = LogReader(self._config.log_fd, start.place)
        with ExitStack() as stack:
            directory = stack.enter_context(temporary_directory("batonics-live-"))
            history = self._begin_history(start, Path(directory))
            stack.callback(history.close)
            self._take_start(start)
            self._history, self._answers = history, HistoryAnswers(history)
            self._is_behind = False
            self.generation += 1
            self._stack.close()  # what was before
            self._stack = stack.pop_all()
        self._log.info("log_joined", record=start.record, books=start.engine.book_count)
        return reader

    def _begin_history(self, start: LogStart, directory: Path) -> GrowingHistory:
        symbols = SymbolMap()
        for interval in start.symbols:
            symbols.add(interval)
        self._symbols = symbols
        facts = HistoryFacts(
            lambda: self._symbols,
            TradingStatuses(self._changes),
            current().input.ts_recv_backwards_ns,
        )
        return GrowingHistory(
            directory,
            facts,
            start.engine,
            first=start.record,
            due_ns=start.due_ns,
            size=self._config.settings.history_bytes,
            find_feed=self.feed_state,
        )

    def _take_start(self, start: LogStart) -> None:
        self._feed = FeedState(start.feed)
        for status in start.statuses:
            self._changes.add(read_plain_status(status))

    def _follow(self, reader: LogReader) -> None:
        """Follow the log until the end.

        Raises:
            OvertakenError: the log has overtaken this reader.
        """
        rest_s, work_s = REST_S_MIN, 0.0
        while not self._stopping.is_set():
            place, started = reader.place, time.monotonic()
            self._take(list(reader.read()))
            work_s += time.monotonic() - started
            unread = reader.waiting_bytes
            self._metrics.log_unread.set(unread)
            if unread > LOG_BYTES_DUE:
                continue
            rest_s = min(2 * rest_s, REST_S_MAX) if reader.place == place else REST_S_MIN
            self._stopping.wait(max(rest_s, min(RESTS * work_s, REST_S_MAX)))
            work_s = 0.0

    def _take(self, entries: list[LogEntry]) -> None:
        """Take entries in their order; records that follow each other together."""
        rows: list[np.ndarray] = []
        names: list[list[object]] = []
        for entry in entries:
            if entry.kind is EntryKind.RECORDS:
                rows.append(entry.rows())
            elif entry.kind is EntryKind.SYMBOLS:
                names += orjson.loads(entry.content)
            elif entry.kind is EntryKind.STATUS:
                self._changes.add(read_plain_status(bytes(entry.content)))
            else:
                self._append(rows)
                rows = []
                if entry.kind is EntryKind.GAP:
                    self.history.mark_gap()
                elif entry.kind is EntryKind.FEED:
                    self._feed = FeedState(entry.number)
        if names:  # they may be known before their records
            self._add_names(names)
        self._append(rows)

    def _append(self, rows: list[np.ndarray]) -> None:
        if rows:
            joined = rows[0] if len(rows) == 1 else np.concatenate(rows)
            self.history.append(joined.astype(MBO_DTYPE, copy=False))

    def _add_names(self, names: list[list[object]]) -> None:
        """Add names; whoever asks meanwhile has those that were known before."""
        symbols = self._symbols.copy()
        for row in names:
            symbols.add(MappingInterval(*row))  # type: ignore[arg-type]  # as LogWriter writes it
        self._symbols = symbols
