"""Objects of buckets and HTTP servers as inputs, over real sockets.

The rule: what is read is what a file with the same bytes would give, or one line that shows no
secret.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import obstore
import pytest

import batonics
from batonics.model.errors import InputError, UsageError
from batonics.sources.inputs import find_inputs
from batonics.sources.object_stores import open_s3_store
from batonics.sources.remote_files import RANGE_BYTES
from tests.support.batch_downloads import batch_files
from tests.support.bucket_server import BUCKET, lake, server
from tests.support.certificates import make_server_context
from tests.support.command import error_line, run_in_process
from tests.support.dbn_files import adds, compress, encode, metadata

__all__ = ["lake", "server"]  # fixtures

LARGE = metadata() + encode(adds(2 * RANGE_BYTES // 56 + 100))
SMALL = compress(metadata() + encode(adds(20)))
SECRET = "s3cret-s1gnature"


class Objects(ThreadingHTTPServer):
    """An HTTP server of a few objects.

    Attributes:
        objects: the bytes by path.
        has_ranges: whether it gives parts.
        login: what the header Authorization must be; None: anything.
        tag: the ETag of all objects.
        requests: method and range of each request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {"/day.dbn": LARGE, "/small.dbn.zst": SMALL, "/none": b""}
        self.has_ranges = True
        self.login: str | None = None
        self.tag = "one"
        self.requests: list[tuple[str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Objects

    def do_GET(self) -> None:
        server, span = self.server, self.headers.get("Range")
        server.requests.append((self.path, span))
        path, _, query = self.path.partition("?")
        if server.login is not None and self.headers.get("Authorization") != server.login:
            self.send_error(401, f"no login {self.headers.get('Authorization')}")
            return
        data = server.objects.get(path)
        if data is None or (query and query != f"sig={SECRET}"):
            self.send_error(403 if query else 404, f"no {self.path}")
            return
        first, last = 0, len(data) - 1
        if span is not None and server.has_ranges:
            first, last = (int(text) for text in span.removeprefix("bytes=").split("-"))
            if first >= len(data):
                self.send_error(416)
                return
            last = min(last, len(data) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("ETag", f'"{server.tag}"')
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.write(data[first : last + 1])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Objects]:
    running = Objects()
    Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def test_an_object_gives_what_its_bytes_give(web: Objects, tmp_path: Path) -> None:
    (tmp_path / "day.dbn").write_bytes(LARGE)
    expected = run_in_process("reconstruct", str(tmp_path / "day.dbn"), "--out", "-", "--quiet")
    for has_ranges in (True, False):
        web.has_ranges = has_ranges
        found = run_in_process("reconstruct", f"{web.url}/day.dbn", "--out", "-", "--quiet")
        assert (found.code, found.out) == (0, expected.out), found.err
    assert batonics.scan_mbo(f"{web.url}/small.dbn.zst").collect().height == 20
    with pytest.raises(InputError, match="/none: "):
        batonics.reconstruct(f"{web.url}/none")


def test_objects_come_over_tls_from_servers_that_are_trusted(
    web: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, trusted = make_server_context(tmp_path)
    web.socket = context.wrap_socket(web.socket, server_side=True)
    url = web.url.replace("http://", "https://")
    monkeypatch.setenv("BATONICS_LAKE_RETRIES_MAX", "0")
    with pytest.raises(InputError, match=r"/day\.dbn: "):
        batonics.scan_mbo(f"{url}/day.dbn").collect()
    assert not web.requests  # nothing was asked of a server that is not trusted
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    records = (len(LARGE) - len(metadata())) // 56
    assert batonics.scan_mbo(f"{url}/day.dbn").collect().height == records
    assert batonics.scan_mbo(f"{url}/small.dbn.zst").collect().height == 20


def test_ranges_are_fetched_a_few_ahead(web: Objects) -> None:
    frame = batonics.scan_mbo(f"{web.url}/day.dbn").head(10).collect()
    assert frame.height == 10
    ranges = [span for _, span in web.requests if span not in (None, "bytes=0-0")]
    # Of the first look at the beginning and of the reading.
    assert f"bytes=0-{RANGE_BYTES - 1}" in ranges
    assert len(web.requests) <= 2 * (1 + 3)


def test_an_object_that_is_exchanged_is_refused(web: Objects) -> None:
    (named,) = find_inputs(f"{web.url}/day.dbn")
    rows = batonics.scan_mbo(named)
    web.tag = "two"
    with pytest.raises(InputError, match="was replaced by another object since it was checked"):
        rows.collect()


@pytest.mark.parametrize("has_ranges", [True, False])
def test_no_secret_is_shown(
    web: Objects, has_ranges: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    web.has_ranges = has_ranges
    host = web.url.removeprefix("http://")
    signed = f"{web.url}/small.dbn.zst?sig={SECRET}"
    login = f"http://user:{SECRET}@{host}/small.dbn.zst"
    assert batonics.scan_mbo(signed).collect().height == 20
    web.login = f"Basic {base64.b64encode(f'user:{SECRET}'.encode()).decode()}"
    assert batonics.scan_mbo(login).collect().height == 20
    wrong = [
        login.replace(SECRET, f"{SECRET}x"),
        f"{web.url}/small.dbn.zst?sig={SECRET}x",
        f"http://user:{SECRET}@127.0.0.1:1/small.dbn.zst",
    ]
    os.environ["BATONICS_LAKE_RETRIES_MAX"] = "0"
    try:
        for url in wrong:
            for door in (
                ("reconstruct", url, "--out", "-"),
                ("inspect", url),
                ("query", "SELECT * FROM mbo", "--from", url),
            ):
                refused = run_in_process(*door)
                assert refused.code == 3, refused.err
                assert "127.0.0.1" in error_line(refused, 3)
                assert SECRET not in refused.err + refused.out.decode()
            with pytest.raises(InputError) as caught:
                batonics.reconstruct(url)
            assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"
    finally:
        del os.environ["BATONICS_LAKE_RETRIES_MAX"]
    shown = run_in_process("inspect", login, "--json")
    assert shown.code == 0
    assert SECRET not in shown.out.decode()
    assert SECRET not in "".join(capfd.readouterr())


def put(key: str, data: bytes) -> None:
    """Write an object; the fixture `lake` says where."""
    obstore.put(open_s3_store(f"s3://{BUCKET}"), key, data)


@pytest.mark.usefixtures("lake")
def test_objects_of_a_bucket_are_inputs(tmp_path: Path) -> None:
    files = batch_files({"one.mbo.dbn.zst": SMALL})
    for name, data in files.items():
        put(f"in/job/{name}", data)
    put("in/large.dbn", LARGE)
    prefix = f"s3://{BUCKET}/in"
    for named in (f"{prefix}/job/one.mbo.dbn.zst", f"{prefix}/job/", f"{prefix}/j*/*.dbn.zst"):
        assert batonics.scan_mbo(named).collect().height == 20, named
    assert batonics.scan_mbo(f"{prefix}/job/", verify_manifest=True).collect().height == 20
    (tmp_path / "large.dbn").write_bytes(LARGE)
    out = [
        run_in_process("reconstruct", named, "--out", "-", "--quiet").out
        for named in (f"{prefix}/large.dbn", str(tmp_path / "large.dbn"))
    ]
    assert out[0] == out[1] != b""
    load = ("lake", "load", f"{prefix}/job/", "--lake", str(tmp_path / "lake"))
    assert run_in_process(*load).code == 0
    assert "is in the lake already" in run_in_process(*load).err
    put("in/job/one.mbo.dbn.zst", SMALL[:-9])
    with pytest.raises(InputError, match=r"one.mbo.dbn.zst: has \d+ bytes, \d+ in manifest.json"):
        find_inputs(f"{prefix}/job/")


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (f"s3://{BUCKET}/nothing.dbn", "cannot be read"),
        (f"s3://{BUCKET}/nothing/", "has no data files"),
        (f"s3://{BUCKET}/nothing/*.dbn", "no data file has such a name"),
        ("s3://no-such-bucket-of-ours/x.dbn", "cannot be read"),
    ],
)
def test_what_is_not_in_a_bucket_is_one_line(named: str, reason: str) -> None:
    refused = run_in_process("reconstruct", named, "--out", "-")
    assert refused.code == 3
    assert reason in error_line(refused, 3)


def test_without_an_endpoint_a_bucket_is_one_of_amazon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    # The client asks the machine for a role; nobody listens at this address.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    result = run_in_process("inspect", "s3://bucket/day.dbn")
    assert "s3://bucket/day.dbn: cannot be read" in error_line(result, 3)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    store = open_s3_store("s3://bucket/days")
    assert "endpoint" not in store.config  # type: ignore[union-attr]


def test_urls_of_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="expected s3://BUCKET/KEY"):
        batonics.reconstruct("s3://bucket")
