"""Stores of objects: buckets of S3, and servers of HTTP.

The rule here: no other module makes a store of the client library (obstore). It finds credentials
of S3 itself: in the AWS variables of the environment, or by the role of the machine. A failed call
is an error of one line without any part of a URL, since a URL may hold a signature or a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from batonics.model.errors import BatonicsError, UsageError
from batonics.settings.loader import current

if TYPE_CHECKING:
    from obstore.store import ObjectStore, S3Config

S3_SCHEME = "s3://"
CALL_TIMEOUT = timedelta(hours=12)
"""Longest call: parts are large, so that only silence ends one."""
_ROLE_ADDRESS = "//169.254.169.254/"
"""Address at which the client asks for a machine's role if the environment has no credentials."""


def open_s3_store(url: str) -> ObjectStore:
    """A store of the objects below `s3://BUCKET/PREFIX`; it makes no call yet.

    Raises:
        UsageError: the URL or the endpoint is invalid, or obstore is not installed.
    """
    bucket, _, prefix = url.removeprefix(S3_SCHEME).rstrip("/").partition("/")
    if not bucket or not {"", ".", ".."}.isdisjoint(prefix.split("/") if prefix else ()):
        raise UsageError(f"{url}: expected s3://BUCKET/PREFIX")
    _require_obstore(url)
    from obstore.store import S3Store

    settings = current().lake
    endpoint = settings.endpoint_url or ""
    # Without one the client uses Amazon's; it takes no None.
    config: S3Config = {"endpoint": endpoint} if endpoint else {}
    if endpoint and not re.match(r"https?://[^/]", endpoint):
        raise UsageError(f"endpoint {endpoint!r}: expected http://HOST or https://HOST")
    with client_errors(UsageError, f"{url.rstrip('/')}: cannot be used"):
        return S3Store(
            bucket,
            prefix=prefix or None,
            config=config,
            client_options={
                # A user who names an endpoint without TLS wants that one.
                "allow_http": endpoint.startswith("http://"),
                "timeout": CALL_TIMEOUT,
                "read_timeout": timedelta(seconds=settings.read_timeout_s),
            },
            retry_config={"max_retries": settings.retries_max},
        )


def open_http_store(url: str, name: str, authorization: str | None) -> ObjectStore:
    """A store whose object `` is what a URL names; it makes no call yet.

    Args:
        url: the URL, without a user and a password.
        name: the URL for messages.
        authorization: the header of that name; None: there is none.

    Raises:
        UsageError: the URL is invalid, or obstore is not installed.
    """
    _require_obstore(name)
    from obstore.store import HTTPStore

    settings = current().lake
    headers = {} if authorization is None else {"authorization": authorization}
    with client_errors(UsageError, f"{name}: cannot be used"):
        return HTTPStore(
            url,
            client_options={
                "allow_http": url.startswith("http://"),
                "timeout": CALL_TIMEOUT,
                "read_timeout": timedelta(seconds=settings.read_timeout_s),
                "default_headers": headers,
            },
            retry_config={"max_retries": settings.retries_max},
        )


def _require_obstore(name: str) -> None:
    try:
        import obstore.store  # noqa: F401 - whether it is there
    except ImportError:
        raise UsageError(f"{name}: obstore is missing; `pip install 'batonics[s3]'`") from None


@contextmanager
def client_errors(
    kind: type[BatonicsError], message: str, missing: type[Exception] | None = None
) -> Iterator[None]:
    """Raise the client library's errors as errors of one line.

    Args:
        kind: what they become.
        message: the words before the reason.
        missing: what the error of an object that does not exist becomes; None: `kind`.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        # The bucket itself may not exist; that is another error.
        if missing is not None and "NoSuchBucket" not in str(error):
            raise missing from None
        raise kind(f"{message}: {error_reason(error)}") from None
    except (BaseError, OSError, NotImplementedError, ValueError) as error:
        raise kind(f"{message}: {error_reason(error)}") from None


def error_reason(error: Exception) -> str:
    """The server's message, or else the first line of the client library's."""
    text = str(error)
    answer = re.search(r"<Code>([^<]+)</Code>(?:\s*<Message>([^<]+)</Message>)?", text)
    if answer is not None:
        return f"{(answer[2] or 'refused').rstrip('.')} ({answer[1]})"
    if _ROLE_ADDRESS in text:
        return "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give a role"
    status = re.search(r"status code: (\d{3} [A-Za-z ]+)", text)
    if status is not None:
        return f"the server answers {status[1].strip()}"
    return re.sub(r"\S+://\S+", "its server", text.partition("\n")[0].strip())
