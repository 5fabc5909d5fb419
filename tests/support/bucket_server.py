"""A bucket on a real socket: S3 as moto serves it, with what can go wrong on the way.

The rule here: puts with a condition are done one after the other, as S3 does them; moto looks at
the condition and writes in two steps, between which another thread may write.
"""

from __future__ import annotations

import io
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from threading import Lock, Thread
from typing import Any
from urllib.request import Request, urlopen
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from batonics.lake.bucket_client import BucketClient, open_bucket

BUCKET = "lakes"
LOST = -1
"""The call is done, but its answer is an error."""
Fault = Callable[[str, str], int | None]
"""What becomes of a call, of its method and path: a status, `LOST`, or None: it is done."""


_numbers = count(1)
"""Of lakes: all servers of a process have the same buckets."""


class BucketServer:
    """The server.

    Attributes:
        endpoint: its URL.
        calls: how often each method was called and ended in a status; of conditional puts, `CAS`.
        fault: what goes wrong; see `faulty`.
        wait_seconds: before each conditional put is done, so that others come in between.
    """

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, int]] = Counter()
        self.fault: Fault = _no_fault
        self.wait_seconds = 0.0
        self._moto = create_backend_app("s3")
        self._puts, self._counts = Lock(), Lock()
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Quiet)
        self.endpoint = f"http://127.0.0.1:{self._server.port}"
        Thread(target=self._server.serve_forever, daemon=True).start()
        with urlopen(Request(f"{self.endpoint}/{BUCKET}", method="PUT")):
            pass

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def new_lake(self) -> str:
        """The URL of a lake that is not there yet."""
        return f"s3://{BUCKET}/some/lake-{next(_numbers)}"

    @contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        """Within the block this says what becomes of calls."""
        self.fault = fault
        try:
            yield
        finally:
            self.fault = _no_fault

    def failing(
        self, method: str, ending: str, how: int, times: int = 1 << 30
    ) -> AbstractContextManager[None]:
        """Within the block such calls end so."""
        left = iter(range(times))

        def fault(called: str, path: str) -> int | None:
            is_meant = called == method and path.endswith(ending)
            return how if is_meant and next(left, None) is not None else None

        return self.faulty(fault)

    @contextmanager
    def counted(self) -> Iterator[Counter[tuple[str, int]]]:
        """The calls within the block, once it has ended."""
        before, made = self.calls.copy(), Counter[tuple[str, int]]()
        yield made
        made.update(self.calls - before)

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        has_condition = {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"} & environ.keys()
        if method != "PUT" or not has_condition:
            return self._answer(method, path, environ, start)
        time.sleep(self.wait_seconds)
        with self._puts:
            return self._answer("CAS", path, environ, start)

    def _answer(
        self, method: str, path: str, environ: WSGIEnvironment, start: StartResponse
    ) -> Iterable[bytes]:
        fault = self.fault(method, path)
        status = fault or 0

        def started(line: str, headers: list[tuple[str, str]], info: Any = None) -> Any:
            nonlocal status
            status = int(line[:3])
            return None if fault == LOST else start(line, headers, info)

        answer: list[bytes] = []
        if fault in (None, LOST):
            answer = list(self._moto(environ, started))
        if fault is not None:
            status = 500 if fault == LOST else fault
            start(f"{status} Fault", [("Content-Length", "0")])
            answer = [b""]
        with self._counts:
            self.calls[method, status] += 1
        return answer


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - its name
        pass


def _no_fault(_method: str, _path: str) -> None:
    return None


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    running = BucketServer()
    yield running
    running.close()


@pytest.fixture
def lake(
    server: BucketServer, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The URL of a lake that is not there yet; the environment says how to come by it."""
    for name in os.environ:
        if name.startswith("AWS_") or name == "BATONICS_CACHE_DIR":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    return server.new_lake()


def lake_objects(lake: str) -> BucketClient:
    """The lake's objects."""
    return open_bucket(lake)


def object_keys(lake: str) -> set[str]:
    """The paths of all objects, but for the catalog."""
    return {key for key, _ in open_bucket(lake).list_objects()} - {"catalog.sqlite"}


def overwrite(lake: str, key: str, data: bytes) -> None:
    """Put other bytes in an object's place."""
    objects = open_bucket(lake)
    found = objects.get(key)
    assert found is not None
    objects.put(key, data, found.tag)
