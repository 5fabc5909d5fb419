"""Inspects files: what they hold, and what is unusual about it.

The rule: the job counts everything in the pass that builds the books, a batch at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batonics.book.engine import BookEngine
from batonics.book.state import Anomaly
from batonics.codec.messages import rtype_name
from batonics.codec.metadata import schema_name
from batonics.jobs.progress import ReadProgress
from batonics.model.mbo import UNDEF_TIMESTAMP, Action, Flag, MboBatch, record_keys
from batonics.model.symbols import SymbolMap
from batonics.model.times import NS_PER_S, find_time_zone, format_time
from batonics.settings.loader import current
from batonics.sources.decoding import FileReport
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.stream import MboStream

SILENCES_MAX = 5


class Inspection:
    """An inspection that runs once.

    Args:
        paths: paths of the files; `-` is standard input.
        options: how they are read.
        tz: the time zone of times in the report.

    Attributes:
        stream: the input.
        progress: called with the stream after each batch; set it before `run`.
    """

    def __init__(
        self, paths: Sequence[str], options: InputOptions = DEFAULT_OPTIONS, tz: str = "UTC"
    ) -> None:
        find_time_zone(tz)
        self._tz = tz
        self.stream = MboStream(paths, options, any_schema=True)
        self.stream.keeps_symbol_lists = True
        self._others = _OtherRecords()
        self.stream.on_headers = self._others.add
        self.progress: ReadProgress | None = None
        self._engine = BookEngine()
        self._engine.backwards_ns_max = current().input.ts_recv_backwards_ns
        self._rows = 0
        self._actions = np.zeros(256, np.int64)
        self._flags = np.zeros(256, np.int64)
        self._keys = KeyCounter()
        self._silence = _Silence()
        self._span_event = _Span()
        self._span_recv = _Span()

    def run(self) -> dict[str, Any]:
        """Read the whole input and return the report, as JSON has it."""
        for batch in self.stream.batches():
            self._engine.fold(batch)
            self._count(batch)
            if self.progress is not None:
                self.progress(self.stream)
        return self._report()

    def _count(self, batch: MboBatch) -> None:
        self._rows += len(batch.action)
        self._actions += np.bincount(batch.action, minlength=256)
        self._flags += np.bincount(batch.flags, minlength=256)
        self._keys.add(record_keys(batch))
        self._span_event.add(batch.ts_event)
        self._span_recv.add(batch.ts_recv)
        trusted = batch.flags & Flag.BAD_TS_RECV == 0
        self._silence.add(batch.ts_recv[trusted & (batch.ts_recv != UNDEF_TIMESTAMP)])

    def _report(self) -> dict[str, Any]:
        publishers = Counter[int]()
        records = self._keys.counts()
        for key, count in records.items():
            publishers[key >> 32] += count
        values = np.arange(256)
        flags = {flag: int(self._flags[values & flag != 0].sum()) for flag in Flag}
        return {
            "files": [_file(report, self._tz) for report in self.stream.files],
            "doubtful_days": [
                {"date": str(day.day), "condition": day.condition}
                for day in self.stream.doubtful_days
            ],
            "records": self._rows,
            "other_records": self._others.report(self.stream, self._tz),
            "ts_event": self._span_event.report(self._tz),
            "ts_recv": self._span_recv.report(self._tz),
            "actions": {
                action.name.lower(): int(self._actions[action])
                for action in Action
                if self._actions[action]
            },
            "flags": {
                str(flag.name).lower(): flags[flag]
                for flag in sorted(Flag, reverse=True)
                if flags[flag]
            },
            "publishers": {str(key): publishers[key] for key in sorted(publishers)},
            "ts_recv_backwards": self._silence.backwards,
            "longest_silences": self._silence.report(self._tz),
            "books": _books(self._engine, self.stream.symbols, records),
        }


class KeyCounter:
    """Counts the rows of each key; most are found without a sort."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}  # by key: its number, in order of appearance
        self._counts = np.zeros(64, np.int64)
        # By slot: the key that was seen there last, and its number.
        self._slot_keys = np.full(_KEY_SLOTS, -1, np.int64)
        self._slot_numbers = np.zeros(_KEY_SLOTS, np.int64)

    def add(self, keys: NDArray[np.int64]) -> None:
        """Count rows."""
        slots = (keys ^ keys >> 32) & (_KEY_SLOTS - 1)
        missed = np.flatnonzero(self._slot_keys[slots] != keys)
        numbers = self._slot_numbers[slots]
        if len(missed):
            found, inverse = np.unique(keys[missed], return_inverse=True)
            known = self._numbers
            of_found = np.array([known.setdefault(key, len(known)) for key in found.tolist()])
            numbers[missed] = of_found[inverse]
            self._slot_keys[slots[missed]] = keys[missed]
            self._slot_numbers[slots[missed]] = numbers[missed]
        counts = np.bincount(numbers, minlength=len(self._counts))
        counts[: len(self._counts)] += self._counts
        self._counts = counts

    def counts(self) -> dict[int, int]:
        """The number of rows of each key."""
        return {key: int(self._counts[number]) for key, number in self._numbers.items()}


_KEY_SLOTS = 1 << 16


class _OtherRecords:
    """What records other than MBO there are: of each kind and instrument their number and times."""

    def __init__(self) -> None:
        self._spans: dict[int, _Span] = {}
        self._counts = Counter[int]()
        self._instruments = Counter[tuple[int, int, int]]()
        self._last_ns: dict[int, int] = {}

    def add(self, headers: NDArray[np.void]) -> None:
        names = ["rtype", "publisher_id", "instrument_id"]
        kinds, first, counts = np.unique(
            headers[names][::-1], return_index=True, return_counts=True
        )
        times = headers["ts_event"][::-1]
        for kind, at, count in zip(kinds.tolist(), first.tolist(), counts.tolist(), strict=True):
            self._instruments[kind] += count
            if times[at] != UNDEF_TIMESTAMP:
                self._last_ns[kind[2]] = int(times[at])
        for rtype in np.unique(headers["rtype"]).tolist():
            own = headers["ts_event"][headers["rtype"] == rtype]
            self._counts[rtype] += len(own)
            self._spans.setdefault(rtype, _Span()).add(own)

    def _find_symbol(
        self, symbols: SymbolMap, instrument_id: int, starts_ns: list[int]
    ) -> str | None:
        """The symbol at the last ts_event; a ts_event from before its file: that at the start."""
        times = [self._last_ns.get(instrument_id, 0), *reversed(starts_ns)]
        found = (symbols.symbol(instrument_id, ts_ns) for ts_ns in times)
        return next((symbol for symbol in found if symbol is not None), None)

    def report(self, stream: MboStream, tz: str) -> dict[str, Any]:
        """By the name of a kind: its records, their ts_event, and the records by instrument."""
        starts_ns = [file.metadata.start for file in stream.files if file.metadata is not None]
        instruments: dict[int, list[dict[str, Any]]] = {rtype: [] for rtype in self._counts}
        for (rtype, publisher_id, instrument_id), count in sorted(self._instruments.items()):
            instruments[rtype].append(
                {
                    "publisher_id": publisher_id,
                    "instrument_id": instrument_id,
                    "symbol": self._find_symbol(stream.symbols, instrument_id, starts_ns),
                    "records": count,
                }
            )
        return {
            rtype_name(rtype): {
                "records": self._counts[rtype],
                "ts_event": self._spans[rtype].report(tz),
                "instruments": instruments[rtype],
            }
            for rtype in sorted(self._counts)
        }


class _Span:
    """The first and the last of a column of times."""

    def __init__(self) -> None:
        self._least, self._greatest = UNDEF_TIMESTAMP, 0

    def add(self, ts_ns: NDArray[np.uint64]) -> None:
        defined = ts_ns[ts_ns != UNDEF_TIMESTAMP]
        if len(defined):
            self._least = min(self._least, int(defined.min()))
            self._greatest = max(self._greatest, int(defined.max()))

    def report(self, tz: str) -> dict[str, str | None]:
        if self._least == UNDEF_TIMESTAMP:
            return {"first": None, "last": None}
        return {"first": format_time(self._least, tz), "last": format_time(self._greatest, tz)}


class _Silence:
    """The longest spans without records, and how often `ts_recv` ran backwards.

    Sequence numbers show no gaps in a filtered file (rule 4); silences do.
    """

    def __init__(self) -> None:
        self.backwards = 0
        self._last: int | None = None
        self._longest: list[tuple[int, int]] = []  # (length, start), longest first

    def add(self, ts_ns: NDArray[np.uint64]) -> None:
        if len(ts_ns) == 0:
            return
        times = ts_ns if self._last is None else np.r_[np.uint64(self._last), ts_ns]
        self._last = int(times[-1])
        later, earlier = times[1:], times[:-1]
        self.backwards += int(np.count_nonzero(later < earlier))
        steps = np.where(later > earlier, later - earlier, np.uint64(0))
        # Only steps as long as the shortest of those kept are sorted.
        least = self._longest[-1][0] if len(self._longest) == SILENCES_MAX else 1
        long = np.flatnonzero(steps >= np.uint64(least))
        longest = long[np.argsort(steps[long], kind="stable")[-SILENCES_MAX:]]
        candidates = [(int(steps[i]), int(earlier[i])) for i in longest]
        self._longest = sorted(self._longest + candidates, reverse=True)[:SILENCES_MAX]

    def report(self, tz: str) -> list[dict[str, Any]]:
        return [
            {"after": format_time(start, tz), "seconds": length / NS_PER_S}
            for length, start in self._longest
        ]


def _file(report: FileReport, tz: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": report.name,
        "bytes": report.size,
        "form": report.framing.value if report.framing else None,
        "records": report.records,
        "mbo_records": report.rows,
        "skipped": report.skipped,
        "lost": report.loss,
        "losses": list(report.notes.losses),
        "remarks": list(report.notes.remarks),
        "other_records": {
            rtype_name(rtype): count for rtype, count in sorted(report.other_records.items())
        },
    }
    metadata = report.metadata
    if metadata is not None:
        described["metadata"] = {
            "dbn_version": metadata.version,
            "dataset": metadata.dataset,
            "schema": schema_name(metadata.schema) if metadata.schema is not None else None,
            "start": format_time(metadata.start, tz),
            "end": format_time(metadata.end, tz) if metadata.end is not None else None,
            "limit": metadata.limit,
            "ts_out": metadata.ts_out,
            "symbols": list(metadata.symbols),
            "partial": list(metadata.partial),
            "not_found": list(metadata.not_found),
        }
    return described


def _books(engine: BookEngine, symbols: SymbolMap, records: dict[int, int]) -> list[dict[str, Any]]:
    """A document for each book: its records, its status at the end, its anomalies above zero."""
    keys, statuses = engine.keys(), engine.statuses()
    anomalies, seen = engine.anomalies(), engine.last_seen()
    return [
        {
            "publisher_id": keys[book][0],
            "instrument_id": keys[book][1],
            "symbol": symbols.symbol(keys[book][1], min(int(seen[book, 1]), UNDEF_TIMESTAMP - 1)),
            "records": records[keys[book][0] << 32 | keys[book][1]],
            "status": statuses[book].name.lower(),
            "anomalies": {
                a.name.lower(): int(anomalies[book, a]) for a in Anomaly if anomalies[book, a]
            },
        }
        for book in sorted(range(len(keys)), key=keys.__getitem__)
    ]
