"""SQL over HTTP: `POST /v1/query` gives what `Lake.sql` gives, and no query harms the server.

A server of the sample and of a lake of it runs in a process of its own, with low limits.
"""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import jsonschema
import polars as pl
import pyarrow as pa
import pytest
from openapi_spec_validator import validate

from batonics.lake.lake import Lake
from batonics.lake.shipped_queries import shipped_queries
from batonics.server.history_server import FILE_PATHS
from batonics.server.query_cells import encode_rows
from tests.support.command import SAMPLE, run_command
from tests.support.lakes import load
from tests.support.serve import Reply, Server, serving
from tests.support.sql_escapes import ESCAPES, SECRET, WRITES, EscapeGround
from tests.support.sql_floods import FLOODS

LIMITS = {
    "BATONICS_SERVER_LIMITS_REQUEST_UNITS_PER_S": "1000000",
    "BATONICS_SERVER_LIMITS_SQL_TIMEOUT_S": "60",
    "BATONICS_SERVER_LIMITS_SQL_MEMORY_BYTES_MAX": str(256 << 20),
}
HASTE = {**LIMITS, "BATONICS_SERVER_LIMITS_SQL_TIMEOUT_S": "1"}
"""For queries that never end."""
ARROW = "application/vnd.apache.arrow.stream"
VOLUMES = "SELECT symbol, count(*) AS trades, sum(size) AS volume, max(price) AS high, max(ts_recv)"
VOLUMES += " AS last, min(order_id) AS order_id FROM mbo WHERE action = 'T' GROUP BY ALL ORDER BY 1"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served") / "lake"
    load(root, SAMPLE, schemas=["trades", "mbo", "states-1"])
    return root


@pytest.fixture(scope="module")
def server(lake: Path) -> Iterator[Server]:
    with serving(SAMPLE, "--lake", lake, **LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def hasty_server(lake: Path) -> Iterator[Server]:
    with serving(lake, **HASTE) as running:
        yield running


def post(server: Server, body: bytes, **headers: str) -> tuple[Reply, Any]:
    """The answer to a query, and its headers; the document of an Arrow stream is its bytes."""
    headers = {"Content-Type": "application/json", **headers}
    url = f"http://{server.address}/v1/query"
    request = urllib.request.Request(url, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            kind, content = answer.headers.get_content_type(), answer.read()
            document = content if kind == ARROW else json.loads(content)
            return Reply(answer.status, kind, document), answer.headers
    except HTTPError as error:
        kind = error.headers.get_content_type()
        return Reply(error.code, kind, json.load(error)), error.headers


def ask(server: Server, **query: Any) -> Reply:
    """The answer to a query."""
    return post(server, json.dumps(query).encode())[0]


def assert_problem(reply: Reply, *statuses: int) -> None:
    """Check that a reply is one problem document of one line."""
    assert reply.status in statuses, reply
    assert reply.kind == "application/problem+json"
    assert set(reply.document) == {"type", "title", "status", "detail"}
    assert len(reply.document["detail"].splitlines()) == 1


@pytest.mark.filterwarnings("ignore::batonics.DataWarning")
@pytest.mark.parametrize("prices", ["decimal", "fixed", "float"])
def test_an_answer_is_that_of_the_lake(server: Server, lake: Path, prices: str) -> None:
    reply = ask(server, sql=VOLUMES, prices=prices)
    expected = Lake(lake).sql(VOLUMES, prices=prices)  # type: ignore[arg-type]
    assert reply.status == 200
    assert [column["name"] for column in reply.document["columns"]] == expected.columns
    assert reply.document["rows"] == [list(row) for row in encode_rows(expected)]
    assert reply.document["more"] is False
    # Integers of 64 bits, decimals and times are text.
    assert isinstance(reply.document["rows"][0][-1], str)
    assert isinstance(reply.document["rows"][0][1], str)


def test_an_answer_keeps_the_contract(server: Server) -> None:
    contract = server.get("/openapi.json").document
    validate(contract)
    for path, method, document in (
        ("/v1/query", "post", ask(server, sql=VOLUMES).document),
        ("/v1/queries", "get", server.get("/v1/queries").document),
        ("/v1/lake", "get", server.get("/v1/lake").document),
    ):
        answer = contract["paths"][path][method]["responses"]["200"]["content"]
        schema = {**answer["application/json"]["schema"], "components": contract["components"]}
        jsonschema.Draft202012Validator(schema).validate(document)


def test_arrow_has_the_same_rows(server: Server) -> None:
    reply, _ = post(server, json.dumps({"sql": VOLUMES}).encode(), Accept=ARROW)
    assert reply.kind == ARROW
    table = pa.ipc.open_stream(reply.document).read_all()
    facts = json.loads(table.schema.metadata[b"batonics.query"])
    document = ask(server, sql=VOLUMES).document
    assert facts == {"more": document["more"], "note": document["note"]}
    rows = encode_rows(pl.DataFrame(table))
    assert [list(row) for row in rows] == document["rows"]


def test_a_shipped_query_is_that_of_the_command(server: Server, lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "spread.arrow"
    command = ["query", "queries/spread_by_hour.sql", "--lake", str(lake), "-p", "tz=Asia/Tokyo"]
    result = run_command(*command, "--prices", "decimal", "--out", out)
    reply = ask(server, query="spread_by_hour", parameters={"tz": "Asia/Tokyo"})
    expected = pl.read_ipc(out)
    assert reply.document["rows"] == [list(row) for row in encode_rows(expected)]
    # What the command says on the terminal is in the answer: the sample has no statuses.
    assert "sessions_known is false" in reply.document["note"]
    assert " ".join(result.err.split()).endswith(reply.document["note"])


def test_every_shipped_query_is_listed(server: Server) -> None:
    listed = {row["name"]: row for row in server.get("/v1/queries").document["queries"]}
    assert listed.keys() == shipped_queries().keys()
    assert listed["depth_by_hour"]["missing"] == ["states_10"]
    assert [row["name"] for row in listed["gaps"]["parameters"]] == ["longer", "others"]


def test_the_lake_is_described(server: Server) -> None:
    document = server.get("/v1/lake").document
    views = {row["view"]: row for row in document["views"]}
    assert views.keys() == {"trades", "mbo", "states_1"}
    for view, row in views.items():
        answer = ask(server, sql=f"SELECT * FROM {view} LIMIT 1").document
        assert [one["name"] for one in answer["columns"]] == [one["name"] for one in row["columns"]]
    assert views["mbo"]["rows"] == 100_000
    assert document["symbols"] == [f"SIM{number}" for number in range(5)]


def test_rows_beyond_the_limit_are_announced(server: Server) -> None:
    reply = ask(server, sql="SELECT range AS n FROM range(70000)", limit=66_000)
    assert (len(reply.document["rows"]), reply.document["more"]) == (66_000, True)
    reply = ask(server, sql="SELECT range AS n FROM range(7)", limit=7)
    assert (len(reply.document["rows"]), reply.document["more"]) == (7, False)


def test_symbols_and_times_choose_rows(server: Server) -> None:
    sql = "SELECT count(*) AS n FROM mbo"
    count = ask(server, sql=sql, symbols=["SIM1"]).document["rows"]
    assert count == [[str(ask(server, sql=f"{sql} WHERE symbol = 'SIM1'").document["rows"][0][0])]]
    half = {"from": "2026-01-05T14:30:40Z"}
    halves = [ask(server, sql=sql, **half), ask(server, sql=sql, to=half["from"])]
    assert sum(int(one.document["rows"][0][0]) for one in halves) == 100_000
    assert_problem(ask(server, sql=sql, symbols=["NONE"]), 422)
    assert_problem(ask(server, sql=sql, **{"from": "2027-01-01"}), 422)


def test_numbers_that_json_lacks_are_text(server: Server) -> None:
    sql = (
        "SELECT 'NaN'::DOUBLE AS a, ['-inf'::DOUBLE, 1] AS b, {'x': 9007199254740993} AS c,"
        " 170141183460469231731687303715884105727::HUGEINT AS d, INTERVAL 1 DAY AS e"
    )
    assert_problem(ask(server, sql=sql), 422)  # an INTERVAL has no exact value
    row = ask(server, sql=sql.removesuffix(", INTERVAL 1 DAY AS e")).document["rows"][0]
    expected = ["nan", ["-inf", 1.0], {"x": "9007199254740993"}, str(2**127 - 1)]
    assert row == expected


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"sql": ', {}, 400),
        (b"[]", {}, 400),
        (b'{"sql": 1}', {}, 400),
        (b'{"sql": "SELECT 1", "trusted": true}', {}, 400),
        (b'{"sql": "SELECT 1", "limit": 0}', {}, 400),
        (json.dumps({"sql": "SELECT " + " " * (1 << 16)}).encode(), {}, 400),
        (b'{"sql": "SELECT 1"}', {"Content-Type": "text/plain"}, 415),
        (b'{"sql": "SELECT 1"}', {"Content-Encoding": "gzip"}, 415),
        (b'{"sql": "SELECT 1"}', {"Origin": "http://example.com"}, 403),
        (b" " * (1 << 20), {}, 413),
        (b"{}", {}, 422),
        (b'{"sql": "SELECT 1", "query": "gaps"}', {}, 422),
        (b'{"query": "../queries/gaps"}', {}, 422),
        (b'{"sql": "queries/gaps.sql"}', {}, 422),
        (b'{"query": "gaps", "parameters": {"longr": "5s"}}', {}, 422),
    ],
)
def test_what_is_no_query_is_one_problem(
    server: Server, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert_problem(post(server, body, **headers)[0], status)


def test_nothing_gets_out(server: Server, lake: Path, tmp_path: Path) -> None:
    ground = EscapeGround(tmp_path)
    part = next(lake.glob("trades/**/*.parquet"))
    before = part.read_bytes()
    for escape in (*ESCAPES, *WRITES):
        sql = ground.fill(escape, part)
        reply = ask(server, sql=sql)
        if "json_serialize_plan" in sql:  # it gives DuckDB's refusal as its value
            assert '"error":true' in reply.document["rows"][0][0]
        else:
            assert_problem(reply, 422)
        assert SECRET not in json.dumps(reply.document), sql
        assert sorted(path.name for path in ground.outside.iterdir()) == [
            f"{SECRET}.txt",
            "secret.csv",
        ], sql
    assert part.read_bytes() == before
    assert len((*ESCAPES, *WRITES)) >= 57
    assert ask(server, sql="SELECT 1 AS a").document["rows"] == [[1]]


@pytest.mark.parametrize("flood", FLOODS)
def test_no_query_takes_more_than_it_may(hasty_server: Server, flood: str) -> None:
    assert_problem(ask(hasty_server, sql=FLOODS[flood], limit=100_000), 422)
    assert_goes_on(hasty_server)
    assert _memory_of(hasty_server.process.pid) < 600 << 20


def assert_goes_on(server: Server) -> None:
    """Check that the next query is answered; on a busy machine it may take more than a second."""
    replies = (ask(server, sql="SELECT 1 AS a") for _ in range(30))
    assert any(reply.document.get("rows") == [[1]] for reply in replies)


def test_more_queries_than_may_run_are_refused(hasty_server: Server) -> None:
    server, slow = hasty_server, json.dumps({"sql": FLOODS["an endless recursion"]}).encode()
    with ThreadPoolExecutor(6) as threads:
        replies = list(threads.map(lambda _: post(server, slow), range(6)))
    # A query that comes when one of the first has ended may run.
    assert {reply.status for reply, _ in replies} == {422, 503}
    for reply, headers in replies:
        assert (headers["Retry-After"] == "1") is (reply.status == 503)
    assert_goes_on(server)


def test_an_address_has_its_share(lake: Path) -> None:
    with serving(lake, BATONICS_SERVER_LIMITS_REQUEST_UNITS_PER_S="150") as running:
        assert ask(running, sql="SELECT 1 AS a").status == 200
        assert_problem(ask(running, sql="SELECT 1 AS a"), 429)


def test_a_lake_alone_answers_sql_and_says_what_needs_files(lake: Path) -> None:
    with serving(lake) as running:
        assert ask(running, sql="SELECT count(*) AS n FROM mbo").document["rows"] == [["100000"]]
        assert set(running.get("/openapi.json").document["paths"]) == {
            "/v1/query",
            "/v1/queries",
            "/v1/lake",
        }
        for path in FILE_PATHS:
            reply = running.get(path.replace("{symbol}", "SIM0").replace("{order_id}", "1"))
            assert_problem(reply, 409)
            assert "batonics serve FILES --lake LAKE" in reply.document["detail"]


def test_the_paths_that_need_files_are_those_of_files(server: Server) -> None:
    listed = server.get("/").document["endpoints"]
    own = {"/v1/query", "/v1/queries", "/v1/lake", "/openapi.json", "/asyncapi.json"}
    assert set(listed) - own == set(FILE_PATHS)


def test_no_process_is_left(lake: Path) -> None:
    with serving(lake) as running:
        host = _children(running.process.pid)
        assert len(host) == 1
        assert ask(running, sql="SELECT 1 AS a").status == 200
        running.process.terminate()
        assert running.process.wait(30) == 0
        assert not Path(f"/proc/{host[0]}").exists()


def test_a_host_that_was_killed_is_started_again(lake: Path) -> None:
    with serving(lake, **LIMITS) as running:
        (host,) = _children(running.process.pid)
        os.kill(host, signal.SIGKILL)
        replies = (ask(running, sql="SELECT 1 AS a") for _ in range(5))
        assert any(reply.status == 200 for reply in replies)
        assert _children(running.process.pid) != [host]


def _memory_of(pid: int) -> int:
    """The resident memory of a process, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
