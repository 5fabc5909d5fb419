"""Objects in a bucket: the few calls that a lake makes, and their errors as ours.

The rule here: nothing else knows the client (obstore), and where credentials come from is the
client's affair: the AWS variables of the environment, or the role of the machine. A call that
fails is one line that names the object: a LakeError where it reads, an OutputError where it writes.

A bucket needs no more than S3's own promises: a put is seen whole and at once, and a put with
If-Match or If-None-Match is refused if another came first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from batonics.model.errors import BatonicsError, LakeError, OutputError, UsageError
from batonics.settings.loader import current

if TYPE_CHECKING:
    from obstore import GetOptions, PutMode
    from obstore.store import ObjectStore

S3_SCHEME = "s3://"
_ROLES = "//169.254.169.254/"
"""Where a machine's role is asked for, if the environment has no credentials."""
TRANSFER_CHUNK_BYTES = 8 << 20
CHUNKS_MAX = 4
"""Of one file, sent at once."""


class ConflictError(Exception):
    """Another put came first."""


class MissingError(Exception):
    """There is no such object."""


class ObjectVersion(NamedTuple):
    """A whole object, and the tag by which the server knows this version of it."""

    data: bytes
    tag: str


class ObjectInfo(NamedTuple):
    """What a listing says of an object; the time is the server's, in seconds since the epoch."""

    bytes: int
    modified: float


class BucketClient:
    """The objects of a lake, by their paths from its root.

    Args:
        client: of the bucket, below the lake's prefix.
        name: of the lake, for people.
        endpoint: of the server, if it is not the usual one.
    """

    def __init__(self, client: ObjectStore, name: str, endpoint: str = "") -> None:
        self.name, self.endpoint = name, endpoint
        self._client = client

    def named(self, key: str) -> str:
        """An object's name, for people."""
        return f"{self.name}/{key}"

    def get(self, key: str, unless: str | None = None) -> ObjectVersion | None:
        """A whole object; None if it is still the version of the tag `unless`.

        Raises:
            MissingError: there is none; LakeError: it cannot be read.
        """
        import obstore
        from obstore.exceptions import NotModifiedError

        with _ours(LakeError, f"{self.named(key)}: cannot be read"):
            try:
                options: GetOptions = {} if unless is None else {"if_none_match": unless}
                found = obstore.get(self._client, key, options=options)
                tag = found.meta["e_tag"]
                data = bytes(found.bytes())
            except NotModifiedError:
                return None
        if tag is None:
            raise LakeError(f"{self.named(key)}: has no ETag; a lake needs a store that gives one")
        return ObjectVersion(data, tag)

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        import obstore

        try:
            with _ours(LakeError, f"{self.named(key)}: cannot be read"):
                obstore.head(self._client, key)
        except MissingError:
            return False
        return True

    def put(self, key: str, data: bytes, over: str | None) -> str | None:
        """Write an object in the place of the version of the tag `over`; None: there is none yet.

        Returns:
            The tag of this version.

        Raises:
            ConflictError: there is another. OutputError: it cannot be written, as far as we know.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with _ours(OutputError, f"{self.named(key)}: cannot be written"):
            try:
                mode: PutMode = "create" if over is None else {"e_tag": over}
                return obstore.put(self._client, key, data, mode=mode)["e_tag"]
            except (AlreadyExistsError, PreconditionError):
                raise ConflictError from None

    def upload(self, file: Path, key: str) -> None:
        """Write a file as an object, whatever is there: again, if an answer was lost."""
        import obstore

        with _ours(OutputError, f"{self.named(key)}: cannot be written"):
            obstore.put(
                self._client, key, file, chunk_size=TRANSFER_CHUNK_BYTES, max_concurrency=CHUNKS_MAX
            )

    def chunks(self, key: str) -> Iterator[bytes]:
        """The bytes of an object, as they come.

        Raises:
            MissingError: there is none; LakeError: it cannot be read.
        """
        import obstore

        with _ours(LakeError, f"{self.named(key)}: cannot be read"):
            for chunk in obstore.get(self._client, key).stream(TRANSFER_CHUNK_BYTES):
                yield bytes(chunk)

    def listed(self) -> Iterator[tuple[str, ObjectInfo]]:
        """All objects of the lake."""
        import obstore

        with _ours(LakeError, f"{self.name}: cannot be listed"):
            for found in obstore.list(self._client, chunk_size=1_000):
                for meta in found:
                    yield meta["path"], ObjectInfo(meta["size"], meta["last_modified"].timestamp())

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, whether they are there or not."""
        import obstore

        with _ours(OutputError, f"{self.name}: objects cannot be removed"):
            if keys:
                obstore.delete(self._client, list(keys))


def open_bucket(url: str) -> BucketClient:
    """The objects below `s3://BUCKET/PREFIX`; the server is asked nothing yet.

    Raises:
        UsageError: it is no such URL, the endpoint is none, or obstore is not installed.
    """
    bucket, _, prefix = url.removeprefix(S3_SCHEME).rstrip("/").partition("/")
    if not bucket or not {"", ".", ".."}.isdisjoint(prefix.split("/") if prefix else ()):
        raise UsageError(f"{url}: expected s3://BUCKET/PREFIX")
    try:
        from obstore.store import S3Store
    except ImportError:
        raise UsageError(f"{url}: obstore is missing; `pip install 'batonics[s3]'`") from None
    settings = current().lake
    endpoint = settings.endpoint_url or ""
    if endpoint and not re.match(r"https?://[^/]", endpoint):
        raise UsageError(f"endpoint {endpoint!r}: expected http://HOST or https://HOST")
    name = f"{S3_SCHEME}{bucket}/{prefix}".rstrip("/")
    with _ours(UsageError, f"{name}: cannot be used"):
        client = S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=settings.endpoint_url,
            client_options={
                # Whoever names such an endpoint means it.
                "allow_http": endpoint.startswith("http://"),
                # A call may take as long as a large part does; only silence ends it.
                "timeout": timedelta(hours=12),
                "read_timeout": timedelta(seconds=settings.read_timeout_s),
            },
            retry_config={"max_retries": settings.retries_max},
        )
    return BucketClient(client, name, endpoint)


@contextmanager
def _ours(kind: type[BatonicsError], what: str) -> Iterator[None]:
    """Within the block the client's errors are ours."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        # What is not there may be the bucket.
        if kind is LakeError and "NoSuchBucket" not in str(error):
            raise MissingError from None
        raise kind(f"{what}: {_reason(error)}") from None
    except (BaseError, OSError, NotImplementedError) as error:
        raise kind(f"{what}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """What the server says, or else the first line of what the client does."""
    text = str(error)
    said = re.search(r"<Code>([^<]+)</Code>(?:\s*<Message>([^<]+)</Message>)?", text)
    if said is not None:
        return f"{(said[2] or 'refused').rstrip('.')} ({said[1]})"
    if _ROLES in text:
        return "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give a role"
    return text.partition("\n")[0].strip()
