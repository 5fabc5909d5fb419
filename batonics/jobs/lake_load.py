"""Loads MBO files into a lake.

The rule here: a file (or several that are one stream) is a source, and the load of a source is one
commit: all schemas that were asked for, or none. A source that is loaded stays as it is; a file
that has changed is loaded again. So a command can be repeated, whatever became of its last run.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from threading import Event
from typing import NamedTuple

from batonics.frames.scan.exchange_sessions import find_sessions
from batonics.frames.scan.sessions import SessionCalendar
from batonics.frames.schemas.table import find_schema, find_schemas
from batonics.jobs.lake_rows import BatchProgress, LoadProgress, SourceReader
from batonics.jobs.source_identity import (
    describe_statuses,
    source_digest,
    source_name,
    source_stat,
)
from batonics.lake import catalog
from batonics.lake.catalog import LoadedSource, SchemaLoad, SourceRecord
from batonics.lake.commits import OWN_STATUSES, commit_load
from batonics.lake.lake import Lake
from batonics.lake.load_selection import WHOLE_SOURCE, LoadSelection
from batonics.lake.overlap import check_overlap
from batonics.lake.row_filters import parse_row_filter
from batonics.lake.storage import Store, open_store
from batonics.model.arguments import SchemaNames, SymbolNames, check_arguments
from batonics.model.errors import DataWarning, InputError, UsageError
from batonics.model.times import Time, describe_bounds, parse_date
from batonics.settings.loader import current
from batonics.settings.table import LakeSettings
from batonics.sinks.atomic import add_output
from batonics.sources.file_order import order_paths
from batonics.sources.input_files import (
    STDIN,
    input_size,
    is_read_once,
)
from batonics.sources.input_options import DEFAULT_OPTIONS, InputOptions
from batonics.sources.inputs import Paths, find_inputs
from batonics.sources.stream import MboStream

DEFAULT_SCHEMAS = LakeSettings().schemas
ROOM_SHARE = 0.5
"""Share of the room that further sources need by the size of the first one: they may be smaller."""


@dataclass(frozen=True)
class LoadRequest:
    """What to load.

    Attributes:
        paths: files; each is a source of its own.
        lake: the lake's directory, or `s3://BUCKET/PREFIX`; made if it does not exist.
        schemas: names of schemas (`frames/schemas/table.py`).
        one_stream: the files are one stream, in the order of their time, and one source.
        again: load again what is loaded already.
        options: how the files are read.
        selection: the part of each source that is loaded; it is a source of its own.
        statuses: files of the schema status; empty: the status records of the sources.
        sessions: the sessions of the market, for books without a status.
    """

    paths: tuple[str, ...]
    lake: str
    schemas: tuple[str, ...] = DEFAULT_SCHEMAS
    one_stream: bool = False
    again: bool = False
    options: InputOptions = DEFAULT_OPTIONS
    selection: LoadSelection = WHOLE_SOURCE
    statuses: tuple[str, ...] = ()
    sessions: SessionCalendar | None = None

    def __post_init__(self) -> None:
        for path in self.paths:
            if is_read_once(path):
                what = "standard input" if path == STDIN else f"{path}: a pipe"
                raise UsageError(f"{what} has no name to be loaded under; write it to a file")
        find_schemas(self.schemas, "load")

    @property
    def sources(self) -> list[tuple[str, ...]]:
        """The paths of the files of each source."""
        return [self.paths] if self.one_stream else [(path,) for path in self.paths]

    def describe_statuses(self) -> str:
        """Where statuses are from; empty: the records of the sources alone.

        Raises:
            InputError: a file of statuses cannot be read.
        """
        return describe_statuses(self.statuses, self.sessions)


@check_arguments
def load_lake(  # noqa: PLR0913 - settings, by keyword
    paths: Paths,
    lake: str | PathLike[str],
    *,
    schemas: SchemaNames | None = None,
    one_stream: bool = False,
    again: bool = False,
    skip_bad: bool = False,
    salvage: bool = False,
    in_this_order: bool = False,
    lossy: bool = False,
    session_date: str | date | None = None,
    verify_manifest: bool = False,
    statuses: Paths = (),
    session: str | None = None,
    symbols: SymbolNames = (),
    start: Time | None = None,
    end: Time | None = None,
) -> Lake:
    """Load MBO files into a lake, as `batonics lake load` does; return the lake.

    Args:
        paths: one file or several, or directories, patterns, batch downloads, zip archives and
            URLs of them. Rows that the lake has stay; those of a file that has changed
            are replaced.
        lake: its directory, or `s3://BUCKET/PREFIX`; made if it does not exist.
        schemas: schemas to derive: the vendor's, mbp-N, depth-INTERVAL, orders, bbo, deltas.
            None: those of the setting `lake.schemas`.
        one_stream: the files are one stream, in the order of their time. Otherwise each file
            begins with empty books.
        again: load again what the lake has already.
        skip_bad: count and skip bad records where the framing survives.
        salvage: keep the whole records of a file that ends within one; a LossWarning says what is
            lost.
        in_this_order: take the files as they are given, even if they repeat or overlap each other
            or what the lake has.
        lossy: take tables of which something was lost when they were written, such as times in
            microseconds; a LossWarning says what.
        session_date: the day in New York of an ITCH file whose name does not say it: 2019-01-30.
        verify_manifest: compare every file with its SHA-256 in the manifest of its batch download.
        statuses: files of the vendor's schema `status`. None: the status records of `paths`.
        session: hours such as "17:00-16:00 America/Chicago", or the calendar of an exchange such as
            "CMES" (the extra `calendar`), for books without a status. Rows with quotes have a
            column `status`, by which averages leave out what is no open market.
        symbols: only records of these symbols on their dates, or of these instrument ids.
        start: only rows of this time or later: ISO 8601 (UTC) or nanoseconds. Books are built from
            the beginning of a file all the same.
        end: only rows of earlier times. A part of a file is a source of its own: another part can
            be loaded later, if it has other symbols or other times.

    Raises:
        UsageError: there is no such schema or symbol, files repeat or overlap each other, or the
            lake has rows of a file with other statuses or sessions. InputError: a file cannot be
            read, or is damaged. OutputError: the lake cannot be written to. Files before the error
            are loaded.
    """
    request = LoadRequest(
        find_inputs(paths, verify_manifest=verify_manifest),
        str(lake),
        current().lake.schemas if schemas is None else tuple(schemas),
        one_stream=one_stream,
        again=again,
        options=InputOptions(skip_bad, salvage, in_this_order, lossy, parse_date(session_date)),
        statuses=find_inputs(statuses),
        sessions=None if session is None else find_sessions(session),
        selection=LoadSelection(*parse_row_filter(symbols, start, end)),
    )
    for _ in LakeLoad(request).run():
        pass
    return Lake(lake)


class LoadResult(NamedTuple):
    """The result of loading a source.

    Attributes:
        paths: paths of its files.
        loaded: the parts of each schema that was loaded; empty: the lake had all of them.
    """

    paths: tuple[str, ...]
    loaded: list[SchemaLoad]

    @property
    def rows(self) -> int:
        """Number of rows of all schemas."""
        return sum(load.rows for load in self.loaded)


class LakeLoad:
    """One run of the job.

    Attributes:
        progress: is told what is done.
        source_bytes: size of each source.
        clamped_rows: by schema, the rows loaded so far with a size of 32 bits that may be larger in
            the book.

    Raises:
        InputError: a file does not exist, or cannot be read.
        UsageError: files that are one stream repeat or overlap each other.
    """

    def __init__(self, request: LoadRequest) -> None:
        self.progress: LoadProgress = BatchProgress()
        if request.one_stream:  # the same source, in whatever order its files are given
            request = replace(request, paths=order_paths(request.paths, request.options))
        self._request, self._has_checked_room = request, False
        self.clamped_rows = Counter[str]()
        for path in request.paths:
            MboStream((path,)).close()  # raises before anything is done if it cannot be opened
        self.source_bytes = [sum(map(input_size, paths)) for paths in request.sources]

    def run(self) -> Iterator[LoadResult]:
        """Load one source after the other; a result is yielded once its source is committed.

        Raises:
            InputError: a file cannot be read, is damaged, or changes while it is read.
            OutputError: the lake cannot be written to. LakeError: its catalog is damaged or of
            another format.
        """
        request = self._request
        store = open_store(request.lake, make=True)
        output = add_output(request.lake)
        committed = rows = 0
        for paths in request.sources:
            result = LoadResult(paths, self._load_source(store, paths))
            committed += bool(result.loaded)
            rows += result.rows
            if committed:
                output.result = f"loaded with {committed} of {len(request.sources)} sources"
            yield result
        selection = request.selection
        if committed and not rows and selection.is_bounded:
            bounds = describe_bounds(selection.start_ns, selection.end_ns)
            warnings.warn(f"no rows {bounds} in any of the files", DataWarning, stacklevel=2)

    def _load_source(self, store: Store, paths: tuple[str, ...]) -> list[SchemaLoad]:
        name, stat = source_name(paths), source_stat(paths)
        selection = self._request.selection.encode()
        if not store.catalog.read(catalog.may_have_source(name, stat)):
            # The lake has no source of this size: files are loaded while the digest is computed.
            schemas = list(dict.fromkeys(self._request.schemas))
            cancelled = Event()
            with ThreadPoolExecutor(1, "batonics-digest") as thread:
                digest = thread.submit(source_digest, paths, cancelled)
                try:
                    return self._load_schemas(
                        store,
                        paths,
                        schemas,
                        lambda: LoadedSource(name, digest.result(), stat, selection),
                    )
                finally:
                    cancelled.set()
        source, missing, is_unchanged = self._find_missing(store, paths, name, stat)
        if missing:
            return self._load_schemas(store, paths, missing, lambda: source)
        if not is_unchanged:
            # The bytes are known under another name or with other times: the catalog notes that.
            store.catalog.commit(commit_load(source, [], version("batonics")))
        return []

    def _load_schemas(
        self,
        store: Store,
        paths: tuple[str, ...],
        schemas: list[str],
        find_source: Callable[[], LoadedSource],
    ) -> list[SchemaLoad]:
        """Load schemas of a source; return the parts of those that were loaded.

        Args:
            store: the lake.
            paths: paths of the source's files.
            schemas: names of the schemas.
            find_source: called once the files are read.
        """
        request, statuses = self._request, self._request.describe_statuses()
        with store.stage() as staging:
            reader = SourceReader(
                paths, request.options, request.selection, request.statuses, request.sessions
            )
            writers = reader.write_parts(
                list(map(find_schema, schemas)), staging, self.clamped_rows, self.progress
            )
            source = find_source()
            spans = reader.find_spans()
            if source_stat(paths) != source.stat:
                raise InputError(f"{paths[0]}: has changed while it was read; load it again")
            files = [file for writer in writers for file in writer.written]
            loaded = [
                SchemaLoad(
                    name,
                    [part for _, part in writer.written],
                    statuses if _has_quotes(name) else "",
                )
                for name, writer in zip(schemas, writers, strict=True)
            ]
            if not request.options.in_this_order:  # before anything enters the lake
                store.catalog.read(check_overlap(source, schemas, spans))
            if not self._has_checked_room:  # before anything of the other sources is derived
                self._has_checked_room = True
                self._check_room(store, paths, sum(part.bytes for _, part in files))
            self.progress.begin_step("publishing")
            staging.publish([(path, part.path) for path, part in files])
            transaction = commit_load(
                source,
                loaded,
                version("batonics"),
                again=request.again,
                spans=spans,
                coverage=reader.find_coverage(),
                may_overlap=request.options.in_this_order,
            )
            return loaded if store.catalog.commit(transaction) else []

    def _check_room(self, store: Store, paths: tuple[str, ...], size: int) -> None:
        """Refuse a load of many sources that cannot fit on the disk, by the size of the first.

        Args:
            store: the lake.
            paths: the files of the first source that is loaded.
            size: the size of its parts.
        """
        sources = self._request.sources
        at = sources.index(paths)
        form = Path(paths[0]).suffix
        waiting = [
            bytes_of
            for others, bytes_of in zip(sources[at + 1 :], self.source_bytes[at + 1 :], strict=True)
            if Path(others[0]).suffix == form
            and not store.catalog.read(
                catalog.may_have_source(source_name(others), source_stat(others))
            )
        ]
        if waiting and not self._request.selection.is_bounded:
            needed = size / max(self.source_bytes[at], 1) * sum(waiting) * ROOM_SHARE
            store.check_room(int(needed), f"the parts of {len(waiting):,} more files")

    def _find_missing(
        self, store: Store, paths: tuple[str, ...], name: str, stat: str
    ) -> tuple[LoadedSource, list[str], bool]:
        """The source, the schemas that the lake lacks, and whether its files are unchanged."""
        selection = self._request.selection.encode()
        same_name = store.catalog.read(
            lambda connection: catalog.find_source_by_name(connection, name, selection)
        )
        is_unchanged = same_name is not None and same_name.source.stat == stat
        if same_name is not None and is_unchanged:
            digest = same_name.source.digest
        else:
            digest = source_digest(paths)
        source = LoadedSource(name, digest, stat, selection)
        same_bytes = store.catalog.read(
            lambda connection: catalog.find_source_by_digest(connection, digest or "", selection)
        )
        schemas = list(dict.fromkeys(self._request.schemas))
        if same_name is not None and same_name.source.digest != digest:
            # The file has changed: every schema that was loaded from it is loaded again.
            schemas = list(dict.fromkeys((*schemas, *sorted(same_name.schemas))))
        missing = [schema for schema in schemas if self._is_missing(same_bytes, schema)]
        if missing and same_bytes is not None:
            # The source then covers all of its times again, so every schema of it has to.
            missing = list(dict.fromkeys((*missing, *sorted(same_bytes.incomplete))))
        if same_bytes is not None:
            self._check_statuses(paths, same_bytes, missing)
        return source, missing, is_unchanged

    def _check_statuses(
        self, paths: tuple[str, ...], record: SourceRecord, loading: Sequence[str]
    ) -> None:
        """Raise UsageError if rows of one source would have statuses from different places."""
        request = self._request
        if request.statuses or request.sessions is not None or any(map(_has_quotes, loading)):
            given = request.describe_statuses()
            for schema, kept in record.schemas.items():
                if schema not in loading and _has_quotes(schema) and kept != given:
                    raise UsageError(
                        f"{paths[0]}: the lake has {schema} of it with {kept or OWN_STATUSES}, not"
                        f" with {given or OWN_STATUSES}: give the same, or load all its schemas"
                        " with --again (in Python again=True)"
                    )

    def _is_missing(self, record: SourceRecord | None, schema: str) -> bool:
        return (
            record is None
            or self._request.again
            or schema not in record.schemas
            or schema in record.incomplete
        )


def _has_quotes(schema: str) -> bool:
    return find_schema(schema).has_quotes
