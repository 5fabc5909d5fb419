"""Objects of buckets and HTTP servers as inputs.

The rule here: what is read is one version of an object. It is fetched in ranges, a few ahead, so
memory stays constant; each must have the ETag and the size of the first. A URL's user, password and
query are secrets: they are no part of a name, an error or a log.
"""

from __future__ import annotations

import fnmatch
import re
from base64 import b64encode
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import unquote, urlsplit, urlunsplit

from batonics.model.errors import InputError, UsageError
from batonics.model.secret import Secret
from batonics.sources.input_files import InputFile, StreamedInput
from batonics.sources.layouts import Listing, data_files, is_data_name
from batonics.sources.object_stores import (
    S3_SCHEME,
    client_errors,
    open_http_store,
    open_s3_store,
)

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult
    from obstore.store import ObjectStore

REMOTE_SCHEMES = ("s3", "http", "https")
RANGE_BYTES = 4 << 20
RANGES_AHEAD_MAX = 3
"""Ranges that are fetched at once: enough to fill a fast link, at most 16 MiB with the pipe."""
OBJECTS_MAX = 100_000
"""Objects of a prefix that are looked at."""


class _Version(NamedTuple):
    """What identifies the bytes of an object.

    Attributes:
        size: their number.
        tag: the ETag; None: the server gives none.
        modified: when they were written, in seconds since the epoch.
        has_ranges: whether the server gives parts of them.
    """

    size: int
    tag: str | None
    modified: float
    has_ranges: bool


class RemoteFile(StreamedInput):
    """An object; its name is its URL without what is secret in it.

    Args:
        name: that name.
        url: the whole URL.
    """

    def __new__(cls, name: str, url: Secret) -> Self:  # noqa: D102 - the class says it
        made = super().__new__(cls, name)
        made._url, made.identity, made._store, made._found = url, (url,), None, None
        made.version = name  # it can be read again; `connect` knows which version it is
        return made

    _url: Secret
    _store: tuple[ObjectStore, str] | None
    _found: _Version | None

    def connect(self) -> None:
        """See `StreamedInput`; one byte is fetched, since a signed URL may allow no HEAD."""
        if self._found is not None:
            return
        from obstore.exceptions import BaseError, NotSupportedError

        with self._errors():
            try:
                meta, has_ranges = self._get({"range": (0, 1)}).meta, True
            except BaseError as error:
                is_empty = "416 " in str(error)  # no range of it can be given
                if not (is_empty or isinstance(error, NotSupportedError)):
                    raise
                meta, has_ranges = self._get({}).meta, False
        self._found = _Version(
            meta["size"], meta["e_tag"], meta["last_modified"].timestamp(), has_ranges
        )
        size, tag, modified, _ = self._found
        self.size, self.version = size, f"{size} {tag} {modified}"

    def pieces(self) -> Generator[bytes, None, None]:
        """See `StreamedInput`."""
        self.connect()
        found = self._found
        if found is None:
            raise AssertionError("`connect` finds a version or raises")
        if not found.has_ranges:
            yield from self._stream()
            return
        starts = deque(range(0, found.size, RANGE_BYTES))
        with ThreadPoolExecutor(RANGES_AHEAD_MAX, "batonics-fetch") as threads:
            pending: deque[Future[bytes]] = deque()
            try:
                while starts or pending:
                    while starts and len(pending) < RANGES_AHEAD_MAX:
                        pending.append(threads.submit(self._fetch, starts.popleft()))
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _fetch(self, start: int) -> bytes:
        if self._found is None:
            raise AssertionError("a version is known before ranges are fetched")
        end = min(start + RANGE_BYTES, self._found.size)
        options: GetOptions = {"range": (start, end)}
        with self._errors():
            part = self._get(options)
            data = bytes(part.bytes())
        self._check_version(part)
        if len(data) != end - start:
            raise InputError(f"{self}: the server gives {len(data)} bytes of {end - start}")
        return data

    def _stream(self) -> Generator[bytes, None, None]:
        """The bytes in one answer, from a server that gives no parts."""
        count = 0
        with self._errors():
            whole = self._get({})
            self._check_version(whole)
            for piece in whole.stream(RANGE_BYTES):
                count += len(piece)
                yield bytes(piece)
        if count != whole.meta["size"]:
            raise InputError(f"{self}: ends after {count:,} of {whole.meta['size']:,} bytes")

    def _check_version(self, answer: GetResult) -> None:
        meta, found = answer.meta, self._found
        now = meta["size"], meta["e_tag"], meta["last_modified"].timestamp()
        if found is not None and now != (found.size, found.tag, found.modified):
            raise InputError(f"{self}: was replaced by another object since it was checked")

    def _get(self, options: GetOptions) -> GetResult:
        import obstore

        if self._store is None:
            self._store = _open_store(self._url.reveal(), str(self))
        store, key = self._store
        return obstore.get(store, key, options=options)

    def _errors(self) -> Any:
        return client_errors(InputError, f"{self}: cannot be read")


def find_remote(url: str) -> list[InputFile]:
    """The inputs that a URL names: an object, or the data files of a prefix or a pattern.

    Raises:
        UsageError: it is no URL of an object. InputError: a prefix cannot be listed, or has none.
    """
    if not url.startswith(S3_SCHEME):
        return [RemoteFile(_safe_name(url), Secret(url))]
    is_pattern = any(mark in url for mark in "*?[")
    if not is_pattern and not url.endswith("/"):
        return [RemoteFile(url, Secret(url))]
    prefix = re.split(r"[^/]*[*?[]", url, maxsplit=1)[0] if is_pattern else url
    keys = _list_keys(prefix)
    if is_pattern:
        matches = [key for key in keys if fnmatch.fnmatchcase(f"{prefix}{key}", url)]
        found = [key for key in matches if is_data_name(key.rpartition("/")[2])]
        if not found:
            raise InputError(f"{url}: no data file has such a name")
        return [_s3_file(prefix, key) for key in found]
    files = {key: _s3_file(prefix, key) for key in keys if "/" not in key}
    directories = sorted({key.partition("/")[0] for key in keys if "/" in key})
    return data_files(Listing(prefix.rstrip("/"), files, directories))


def _s3_file(prefix: str, key: str) -> RemoteFile:
    return RemoteFile(f"{prefix}{key}", Secret(f"{prefix}{key}"))


def _list_keys(prefix: str) -> list[str]:
    import obstore

    keys: list[str] = []
    store = open_s3_store(prefix)
    with client_errors(InputError, f"{prefix}: cannot be listed"):
        for found in obstore.list(store, chunk_size=1_000):
            keys += [meta["path"] for meta in found]
            if len(keys) > OBJECTS_MAX:
                raise InputError(f"{prefix}: has more than {OBJECTS_MAX:,} objects; name fewer")
    return sorted(keys)


def _open_store(url: str, name: str) -> tuple[ObjectStore, str]:
    """A store, and the key of the object in it."""
    if url.startswith(S3_SCHEME):
        prefix, _, key = url.rpartition("/")
        if not key or prefix.endswith("/"):
            raise UsageError(f"{url}: expected s3://BUCKET/KEY")
        return open_s3_store(prefix), key
    parts = urlsplit(url)
    authorization = None
    host = parts.netloc.rpartition("@")[2]
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(login.encode()).decode()}"
    plain = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
    return open_http_store(plain, name, authorization), ""


def _safe_name(url: str) -> str:
    """The URL without a user, a password and a query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
