"""Files in, books out: the main job.

The rule: one pass, constant memory, and the same books however often it was interrupted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batonics.book import checkpoint
from batonics.book.engine import BookEngine
from batonics.book.event_cutoff import EventCutoff
from batonics.jobs.symbol_selection import SymbolSelection
from batonics.model.errors import CheckpointError, UsageError
from batonics.model.mbo import MboBatch, slice_batch
from batonics.model.symbols import MappingInterval, SymbolMap
from batonics.model.times import parse_time
from batonics.sinks.atomic import open_atomic
from batonics.sources.chunks import STDIN, path_list
from batonics.sources.stream import MboStream

if TYPE_CHECKING:
    from batonics.frames.depth.books import Books

Progress = Callable[[MboStream], None]
CHECKPOINT_RECORDS = 50_000_000
"""Records between two checkpoints: some seconds of work."""


@dataclass(frozen=True)
class ReconstructRequest:
    """What is to be rebuilt.

    Attributes:
        paths: files in the order of their time; `-` is standard input.
        symbols: only these names (or instrument ids); empty: all.
        at_ns: the books as of this moment; None: at the end.
        skip_bad: count and skip bad records where the framing survives.
        checkpoint: a file to save progress to, and to go on from if it is there.
    """

    paths: tuple[str, ...]
    symbols: tuple[str, ...] = ()
    at_ns: int | None = None
    skip_bad: bool = False
    checkpoint: str | None = None


class Reconstruction:
    """One run of the job.

    Args:
        request: what is to be rebuilt.
        deltas: whether the engine is to keep level deltas and event ends of each batch.

    Attributes:
        engine, symbols: the books so far, and their names.
        stream: the input.
        progress: called after each batch with the stream; set it before `run`.
    """

    def __init__(self, request: ReconstructRequest, *, deltas: bool = False) -> None:
        self.request = request
        self.stream = MboStream(request.paths, skip_bad=request.skip_bad)
        self.engine = BookEngine(deltas=deltas)
        self.symbols: SymbolMap = self.stream.symbols
        self.progress: Progress | None = None
        self._deltas = deltas
        self._until = EventCutoff(request.at_ns) if request.at_ns is not None else None
        self._selection = SymbolSelection(self.stream, request.symbols)
        try:
            self._saved_rows = self._resume()
        except BaseException:
            self.stream.close()
            raise

    def run(self) -> None:
        """Fold the whole input."""
        for batch in self.batches():
            self.engine.fold(batch)

    def batches(self) -> Iterator[MboBatch]:
        """What is to be folded, in order; who asks for more must have folded what there was."""
        seen_rows = 0
        for batch in self.stream.batches():
            self._selection.check()
            rows = len(batch.action)
            first = min(rows, max(0, self._saved_rows - seen_rows))
            seen_rows += rows
            if first < rows:
                yield from self._wanted_rows(slice_batch(batch, first, rows))
                self._save(seen_rows)
            if self.progress is not None:
                self.progress(self.stream)
            if self._until is not None and self._until.done:
                break
        if self._until is not None:
            yield self._until.finish()
        self._selection.check(ended=True)

    def _wanted_rows(self, batch: MboBatch) -> list[MboBatch]:
        rows = self._selection.rows(batch)
        return [rows] if self._until is None else self._until.take(rows)

    # ------------------------------------------------------------------ checkpoints

    def _resume(self) -> int:
        """Go on from the checkpoint if there is one; how many rows are done."""
        path = self.request.checkpoint
        if path is None:
            return 0
        if self._deltas or self._until is not None or STDIN in self.request.paths:
            raise UsageError("--checkpoint goes with files, and without --snapshots and --at")
        if self.stream.bytes_total is None:
            raise UsageError("--checkpoint goes with files that can be read again, not with pipes")
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            engine, loaded = checkpoint.load(data)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}; remove it to begin anew") from None
        extra: dict[str, Any] = dict(loaded)
        if extra.get("input") != self._identity():
            raise CheckpointError(f"{path}: is of other input or options; remove it to begin anew")
        self.engine = engine
        for interval in extra["symbols"]:
            self.symbols.add(MappingInterval(*interval))
        return int(extra["rows"])

    def _save(self, rows: int) -> None:
        path = self.request.checkpoint
        if path is None or rows - self._saved_rows < CHECKPOINT_RECORDS:
            return
        self._saved_rows = rows
        extra: dict[str, Any] = {
            "input": self._identity(),
            "rows": rows,
            "symbols": [list(interval) for interval in self.symbols.intervals()],
        }
        data = checkpoint.save(self.engine, extra)
        with open_atomic(path) as file:
            file.write(data)

    def _identity(self) -> list[Any]:
        """What a checkpoint must agree with: the files' sizes and beginnings, and the options."""
        files = []
        for path in self.request.paths:
            with Path(path).open("rb") as file:
                head = hashlib.sha256(file.read(1 << 16)).hexdigest()
            files.append([Path(path).stat().st_size, head])
        return [files, list(self.request.symbols), self.request.skip_bad]


def reconstruct(
    paths: str | Path | Sequence[str | Path],
    *,
    symbols: Sequence[str] = (),
    at: str | int | None = None,
    skip_bad: bool = False,
) -> Books:
    """Rebuild the books of files: `batonics.reconstruct("day.dbn.zst").levels(depth=5)`.

    Args:
        paths: one file or several, in the order of their time; several are one stream.
        symbols: only these names; empty: all.
        at: the books after the last complete event at or before this time: ISO 8601 (UTC), or
            nanoseconds since the epoch.
        skip_bad: count and skip bad records where the framing survives.

    Raises:
        InputError: a file cannot be read, or is damaged (DamagedInputError: where).
        UsageError: an unknown symbol, or no time.
    """
    from batonics.frames.depth.books import Books

    symbols = [symbols] if isinstance(symbols, str) else symbols
    request = ReconstructRequest(
        paths=tuple(path_list(paths)),
        symbols=tuple(symbols),
        at_ns=None if at is None else parse_time(str(at)),
        skip_bad=skip_bad,
    )
    run = Reconstruction(request)
    run.run()
    return Books(run.engine, run.symbols)
