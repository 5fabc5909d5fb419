"""`batonics serve` in a process of its own, and requests to it."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError

import orjson

from tests.support.command import SCRIPT, environment


class Reply(NamedTuple):
    """An answer."""

    status: int
    kind: str
    document: Any


class Server(NamedTuple):
    """A server that runs."""

    address: str
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> Reply:
        """The answer to a request."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=30) as answer:
                return Reply(answer.status, answer.headers.get_content_type(), json.load(answer))
        except HTTPError as error:
            return Reply(error.code, error.headers.get_content_type(), json.load(error))


@contextmanager
def serving(*arguments: str | Path, http: str = "127.0.0.1:0", **changes: str) -> Iterator[Server]:
    """A server of files, with changes of the environment, until the block ends."""
    with running("serve", *arguments, "--http", http, **changes) as server:
        yield server


@contextmanager
def running(*arguments: str | Path, **changes: str) -> Iterator[Server]:
    """A command that serves, with changes of the environment, until the block ends."""
    command = [*SCRIPT, *map(str, arguments), "--log-json"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(**changes))
    assert process.stderr is not None
    try:
        lines = (orjson.loads(line) for line in process.stderr)
        started = next(line for line in lines if line["event"] == "server_started")
        yield Server(started["http"], process)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
