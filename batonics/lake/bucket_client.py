"""A client for the objects of a lake in a bucket.

The rule here: no other module of lakes knows the client library (obstore). A failed call is an
error of one line that names the object: LakeError if it reads, OutputError if it writes.

Lakes need only what S3 guarantees: a put is visible whole and at once, and a put with If-Match or
If-None-Match is refused if another put came first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from batonics.model.errors import BatonicsError, LakeError, OutputError
from batonics.settings.loader import current
from batonics.sources.object_stores import client_errors, open_s3_store

if TYPE_CHECKING:
    from obstore import GetOptions, PutMode
    from obstore.store import ObjectStore

TRANSFER_CHUNK_BYTES = 8 << 20
UPLOAD_CHUNKS_MAX = 4
"""Chunks of one file that are uploaded at once."""


class ConflictError(Exception):
    """Another put came first."""


class MissingError(Exception):
    """The object does not exist."""


class ObjectVersion(NamedTuple):
    """One version of an object.

    Attributes:
        data: the bytes.
        tag: the ETag of the version.
    """

    data: bytes
    tag: str


class ObjectInfo(NamedTuple):
    """What a listing has about an object.

    Attributes:
        bytes: its size.
        modified: time of its last put by the server's clock, in seconds since the epoch.
    """

    bytes: int
    modified: float


class BucketClient:
    """A client for the objects below a lake's prefix; keys are paths from the lake's root.

    Args:
        store: the client library's store, below the prefix.
        name: URL of the lake, for messages.
        endpoint: URL of the server, if it is not AWS.
    """

    def __init__(self, store: ObjectStore, name: str, endpoint: str = "") -> None:
        self.name, self.endpoint = name, endpoint
        self._store = store

    def object_name(self, key: str) -> str:
        """The URL of an object, for messages."""
        return f"{self.name}/{key}"

    def get(self, key: str, unless: str | None = None) -> ObjectVersion | None:
        """Download an object.

        Args:
            key: the object.
            unless: tag of a version that the caller has.

        Returns:
            The newest version; None if that is the one with the tag `unless`.

        Raises:
            MissingError: there is no such object. LakeError: it cannot be read.
        """
        import obstore
        from obstore.exceptions import NotModifiedError

        with _client_errors(LakeError, f"{self.object_name(key)}: cannot be read"):
            try:
                options: GetOptions = {} if unless is None else {"if_none_match": unless}
                found = obstore.get(self._store, key, options=options)
                tag = found.meta["e_tag"]
                data = bytes(found.bytes())
            except NotModifiedError:
                return None
        if tag is None:
            raise LakeError(
                f"{self.object_name(key)}: has no ETag; a lake needs a store that gives one"
            )
        return ObjectVersion(data, tag)

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        import obstore

        try:
            with _client_errors(LakeError, f"{self.object_name(key)}: cannot be read"):
                obstore.head(self._store, key)
        except MissingError:
            return False
        return True

    def put(self, key: str, data: bytes, over: str | None) -> str | None:
        """Write an object on condition that its version is a known one.

        Args:
            key: the object.
            data: its bytes.
            over: tag of the version to replace; None: the object must not exist.

        Returns:
            The tag of the new version.

        Raises:
            ConflictError: the object has another version. OutputError: the put has failed, though
            it may have been done.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with _client_errors(OutputError, f"{self.object_name(key)}: cannot be written"):
            try:
                mode: PutMode = "create" if over is None else {"e_tag": over}
                return obstore.put(self._store, key, data, mode=mode)["e_tag"]
            except (AlreadyExistsError, PreconditionError):
                raise ConflictError from None

    def upload(self, file: Path, key: str) -> None:
        """Write a file as an object, without a condition; safe to repeat."""
        import obstore

        with _client_errors(OutputError, f"{self.object_name(key)}: cannot be written"):
            obstore.put(
                self._store,
                key,
                file,
                chunk_size=TRANSFER_CHUNK_BYTES,
                max_concurrency=UPLOAD_CHUNKS_MAX,
            )

    def read_chunks(self, key: str) -> Iterator[bytes]:
        """The bytes of an object, as they arrive.

        Raises:
            MissingError: there is no such object. LakeError: it cannot be read.
        """
        import obstore

        with _client_errors(LakeError, f"{self.object_name(key)}: cannot be read"):
            for chunk in obstore.get(self._store, key).stream(TRANSFER_CHUNK_BYTES):
                yield bytes(chunk)

    def list_objects(self) -> Iterator[tuple[str, ObjectInfo]]:
        """The key of each object of the lake, and what the listing has about it."""
        import obstore

        with _client_errors(LakeError, f"{self.name}: cannot be listed"):
            for found in obstore.list(self._store, chunk_size=1_000):
                for meta in found:
                    yield meta["path"], ObjectInfo(meta["size"], meta["last_modified"].timestamp())

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, whether they exist or not."""
        import obstore

        with _client_errors(OutputError, f"{self.name}: objects cannot be removed"):
            if keys:
                obstore.delete(self._store, list(keys))


def open_bucket(url: str) -> BucketClient:
    """A client for the objects below `s3://BUCKET/PREFIX`; it makes no call yet.

    Raises:
        UsageError: the URL or the endpoint is invalid, or obstore is not installed.
    """
    store = open_s3_store(url)
    return BucketClient(store, url.rstrip("/"), current().lake.endpoint_url or "")


def _client_errors(kind: type[BatonicsError], message: str) -> AbstractContextManager[None]:
    """Raise the client library's errors as errors of this kind."""
    missing = MissingError if kind is LakeError else None
    return client_errors(kind, message, missing)
