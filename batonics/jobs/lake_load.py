"""MBO files into a lake.

The rule here: a file (or several that are one stream) is a source, and its load is one commit: all
schemas of it that were asked for, or none. What is loaded already is left alone; what has changed
is made anew. So the same command can be given again whatever became of the last one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import NamedTuple

import polars as pl

from batonics.frames.scan.mbo_scan import scan_batches
from batonics.frames.scan.sources import pull_frames
from batonics.frames.scan.symbols import FrameSymbols
from batonics.frames.schemas.row_keys import RowKeys
from batonics.frames.schemas.table import Schema, find_schema, find_schemas
from batonics.lake import catalog
from batonics.lake.catalog import LoadedSource, SchemaLoad, SourceRecord
from batonics.lake.digest import file_digest, file_stat
from batonics.lake.lake import Lake
from batonics.lake.parts import PartsWriter
from batonics.lake.storage import StagingArea, Store, open_store
from batonics.model.errors import InputError, UsageError
from batonics.model.mbo import MboBatch
from batonics.settings.loader import current
from batonics.settings.table import LakeSettings
from batonics.sinks.background_write import write_in_background
from batonics.sinks.tables import FRAMES_QUEUED_MAX
from batonics.sources.chunks import STDIN, path_list
from batonics.sources.stream import MboStream

DEFAULT_SCHEMAS = LakeSettings().schemas
DERIVE_THREADS = 2
"""Schemas that are derived at once: each folds the records for itself."""

LoadProgress = Callable[[Sequence[MboStream]], None]


@dataclass(frozen=True)
class LoadRequest:
    """What is to be loaded.

    Attributes:
        paths: files; each is a source of its own.
        lake: the lake's directory, or `s3://BUCKET/PREFIX`; made if it is not there.
        schemas: names of schemas (`frames/schemas/table.py`).
        one_stream: the files are one stream in the order of their time, and one source.
        again: make anew what is loaded already.
        skip_bad: count and skip bad records where the framing survives.
    """

    paths: tuple[str, ...]
    lake: str
    schemas: tuple[str, ...] = DEFAULT_SCHEMAS
    one_stream: bool = False
    again: bool = False
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if STDIN in self.paths:
            raise UsageError("standard input has no name to be loaded under; write it to a file")
        find_schemas(self.schemas, "load")

    @property
    def sources(self) -> list[tuple[str, ...]]:
        """The paths of each source."""
        return [self.paths] if self.one_stream else [(path,) for path in self.paths]


def load_lake(  # noqa: PLR0913 - settings, by keyword
    paths: str | Path | Sequence[str | Path],
    lake: str | Path,
    *,
    schemas: Sequence[str] | None = None,
    one_stream: bool = False,
    again: bool = False,
    skip_bad: bool = False,
) -> Lake:
    """Load MBO files into a lake, as `batonics lake load` does; the lake, to ask it.

    Args:
        paths: one file or several. What is in the lake already stays as it is; what was made of a
            file that has changed is replaced.
        lake: its directory, or `s3://BUCKET/PREFIX`; made if it is not there.
        schemas: what to make of the files: names of the vendor's schemas, mbp-N, depth-EVERY,
            orders, bbo, deltas. None: those of the setting `lake.schemas`.
        one_stream: the files are one stream, in the order of their time. Else books begin anew
            with each.
        again: make anew what is in the lake already.
        skip_bad: count and skip bad records where the framing survives.

    Raises:
        UsageError: there is no such schema. InputError: a file cannot be read, or is damaged;
        those before it are in the lake. OutputError: the lake cannot be written to.
    """
    request = LoadRequest(
        tuple(path_list(paths)),
        str(lake),
        current().lake.schemas if schemas is None else tuple(schemas),
        one_stream=one_stream,
        again=again,
        skip_bad=skip_bad,
    )
    for _ in LakeLoad(request).run():
        pass
    return Lake(lake)


class LoadResult(NamedTuple):
    """What became of a source.

    Attributes:
        paths: of its files.
        loaded: what was put into the lake; empty: it was there.
    """

    paths: tuple[str, ...]
    loaded: list[SchemaLoad]

    @property
    def rows(self) -> int:
        """Of all schemas."""
        return sum(load.rows for load in self.loaded)


class LakeLoad:
    """One run of the job.

    Attributes:
        progress: called after each batch with the streams that are being read.
        source_bytes: how many each source has.

    Raises:
        InputError: a file is not there, or cannot be read.
    """

    def __init__(self, request: LoadRequest) -> None:
        self.progress: LoadProgress | None = None
        self._request = request
        for path in request.paths:
            MboStream((path,)).close()  # what cannot be opened is refused before anything is done
        self.source_bytes = [
            sum(Path(path).stat().st_size for path in paths) for paths in request.sources
        ]

    def run(self) -> Iterator[LoadResult]:
        """Load one source after the other; each is committed when it is given.

        Raises:
            InputError: a file cannot be read, is damaged, or changes while it is read.
            OutputError: the lake cannot be written to. LakeError: it is not one we know.
        """
        request = self._request
        store = open_store(request.lake, make=True)
        for paths in request.sources:
            yield LoadResult(paths, self._load(store, paths))

    def _load(self, store: Store, paths: tuple[str, ...]) -> list[SchemaLoad]:
        name, stat = _name(paths), _stat(paths)
        if not store.catalog.read(catalog.may_have_source(name, stat)):
            # Files of such a size are new to the lake: they are read while their digest is made.
            schemas = list(dict.fromkeys(self._request.schemas))
            left = Event()
            with ThreadPoolExecutor(1, "batonics-digest") as thread:
                digest = thread.submit(_digest, paths, left)
                try:
                    return self._make(
                        store, paths, schemas, lambda: LoadedSource(name, digest.result(), stat)
                    )
                finally:
                    left.set()
        source, missing, is_known = self._missing(store, paths, name, stat)
        if missing:
            return self._make(store, paths, missing, lambda: source)
        if not is_known:
            # What had its name before goes, or its times are others now.
            store.catalog.commit(catalog.commit_load(source, [], version("batonics")))
        return []

    def _make(
        self,
        store: Store,
        paths: tuple[str, ...],
        missing: list[str],
        source_of: Callable[[], LoadedSource],
    ) -> list[SchemaLoad]:
        """Put these schemas of a source into the lake; what was put."""
        request = self._request
        with store.loading() as loading:
            writers = self._derived(loading, paths, [find_schema(name) for name in missing])
            source = source_of()
            if _stat(paths) != source.stat:
                raise InputError(f"{paths[0]}: has changed while it was read; load it again")
            files = [file for writer in writers for file in writer.written]
            loaded = [
                SchemaLoad(name, [part for _, part in writer.written])
                for name, writer in zip(missing, writers, strict=True)
            ]
            loading.publish([(path, part.path) for path, part in files])
            change = catalog.commit_load(source, loaded, version("batonics"), again=request.again)
            return loaded if store.catalog.commit(change) else []

    def _missing(
        self, store: Store, paths: tuple[str, ...], name: str, stat: str
    ) -> tuple[LoadedSource, list[str], bool]:
        """The source as it is now, the schemas to be made of it, and whether it is as it was."""
        named = store.catalog.read(lambda connection: catalog.find_source_by_name(connection, name))
        # The digest of what has not been written to since is known.
        is_same = named is not None and named.source.stat == stat
        digest = named.source.digest if named is not None and is_same else _digest(paths)
        source = LoadedSource(name, digest, stat)
        known = store.catalog.read(
            lambda connection: catalog.find_source_by_digest(connection, digest or "")
        )
        schemas = list(dict.fromkeys(self._request.schemas))
        if named is not None and named.source.digest != digest:
            # All that was made of the bytes before is made of these.
            schemas = list(dict.fromkeys((*schemas, *sorted(named.schemas))))
        missing = [name for name in schemas if self._is_missing(known, name)]
        return source, missing, is_same

    def _is_missing(self, known: SourceRecord | None, schema: str) -> bool:
        return known is None or self._request.again or schema not in known.schemas

    def _derived(
        self, loading: StagingArea, paths: tuple[str, ...], schemas: Sequence[Schema]
    ) -> list[PartsWriter]:
        """Parts of each schema, on the disk."""
        readers = [_SourceReader(paths, skip_bad=self._request.skip_bad) for _ in schemas]
        stop = Event()

        def progress() -> None:
            if stop.is_set():
                raise _LeftError
            if self.progress is not None:
                self.progress([reader.stream for reader in readers])

        def derive(schema: Schema, reader: _SourceReader) -> PartsWriter:
            writer = PartsWriter(schema, loading.directory, loading.id)
            try:
                with write_in_background(writer.write, FRAMES_QUEUED_MAX) as give:
                    for frame in reader.frames(schema, progress):
                        give(frame)
                writer.close()
            except BaseException:
                stop.set()
                writer.abandon()
                raise
            return writer

        with ThreadPoolExecutor(DERIVE_THREADS, "batonics-load") as threads:
            futures = [
                threads.submit(derive, schema, reader)
                for schema, reader in zip(schemas, readers, strict=True)
            ]
        errors = [error for future in futures if (error := future.exception()) is not None]
        # Those that only left because another failed have nothing to say.
        for error in sorted(errors, key=lambda error: isinstance(error, _LeftError)):
            raise error
        return [future.result() for future in futures]


class _LeftError(Exception):
    """Another schema of the load has failed: this one need not go on."""


class _SourceReader:
    """One reading of a source.

    Attributes:
        stream: the input.
    """

    def __init__(self, paths: tuple[str, ...], *, skip_bad: bool) -> None:
        self.stream = MboStream(paths, skip_bad=skip_bad)
        self._names = FrameSymbols(self.stream.symbols)

    def frames(self, schema: Schema, progress: Callable[[], None]) -> Iterator[pl.DataFrame]:
        """The schema's rows, with their times and symbols."""

        def batches() -> Iterator[MboBatch]:
            with closing(self.stream.batches()) as batches:
                for batch in batches:
                    yield batch
                    progress()

        keys = RowKeys(schema)
        for frame in pull_frames(schema.rows(scan_batches(batches)), schema.columns):
            if frame.height:
                yield keys.add_to(frame, self._names)


def _name(paths: Sequence[str]) -> str:
    return "\n".join(os.path.abspath(path) for path in paths)  # noqa: PTH100 - links stay


def _stat(paths: Sequence[str]) -> str:
    try:
        return "\n".join(file_stat(path) for path in paths)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be opened: {error.strerror}") from None


def _digest(paths: Sequence[str], left: Event | None = None) -> str:
    """Of the bytes of these files; of none that matter once `left` is set."""
    try:
        digests = [file_digest(Path(path), left) for path in paths]
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from None
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    )
