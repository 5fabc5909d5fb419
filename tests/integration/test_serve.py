"""`batonics serve` as a whole: a process of its own, real requests over sockets.

Every answer is compared with what the other commands say of the same files, and validated against
the OpenAPI document that the server gives.
"""

from __future__ import annotations

import gzip
import itertools
import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

import jsonschema
import orjson
import pyarrow as pa
import pytest
from backports import zstd
from openapi_spec_validator import validate

from batonics.jobs.reconstruct import Reconstruction, ReconstructRequest
from batonics.model.mbo import ACTION_TRADE, record_keys
from batonics.sinks.book_json import book_documents
from batonics.sources.stream import MboStream
from tests.support.command import SAMPLE, environment, run_command
from tests.support.serve import Reply, Server, serving

HALFWAY = "2026-01-05T14:30:40.000000000Z"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(SAMPLE) as running:
        yield running


@pytest.fixture(scope="module")
def contract(server: Server) -> dict[str, Any]:
    document: dict[str, Any] = server.get("/openapi.json").document
    validate(document)
    return document


def check_contract(contract: dict[str, Any], path: str, reply: Reply) -> None:
    """Validate a reply against what the contract says of a path."""
    assert (reply.status, reply.kind) == (200, "application/json")
    content = contract["paths"][path]["get"]["responses"]["200"]["content"]
    schema = {**content["application/json"]["schema"], "components": contract["components"]}
    jsonschema.Draft202012Validator(schema).validate(reply.document)


@pytest.mark.parametrize("at", [None, HALFWAY])
@pytest.mark.parametrize("level", ["l2", "l3"])
def test_a_book_is_that_of_reconstruct(
    server: Server, contract: dict[str, Any], level: str, at: str | None
) -> None:
    run = Reconstruction(
        ReconstructRequest((str(SAMPLE),), at_ns=None if at is None else 1_767_623_440_000_000_000)
    )
    run.run()
    books = book_documents(run.engine, run.symbols, orders=level == "l3", as_of=run.as_of)
    head = {"schema": "batonics.book/2", **run.as_of.document()}
    suffix = "" if at is None else f"&at={at}"
    for book in books:
        reply = server.get(f"/v1/books/{book['symbol']}?level={level}{suffix}")
        check_contract(contract, "/v1/books/{symbol}", reply)
        assert isinstance(reply.document.pop("checksum"), int)  # test_serve_ws.py verifies it
        assert reply.document == json.loads(orjson.dumps({**head, **book}))


@pytest.mark.parametrize("at", ["", HALFWAY, "record:60000"])
def test_a_queue_is_that_of_the_book_with_ages(
    server: Server, contract: dict[str, Any], at: str
) -> None:
    suffix = f"&at={at}" if at else ""
    book = server.get(f"/v1/books/SIM0?level=l3&depth=2{suffix}").document
    for side, levels in (("B", book["bids"]), ("A", book["asks"])):
        for level in levels:
            path = f"/v1/queues/SIM0?side={side}&price={level['price']}{suffix}"
            reply = server.get(path)
            check_contract(contract, "/v1/queues/{symbol}", reply)
            queue = reply.document
            assert [(one["order_id"], one["size"]) for one in queue["orders"]] == [
                (one["order_id"], one["size"]) for one in level["orders"]
            ]
            assert (queue["size"], queue["status"]) == (level["size"], book["status"])
            for one in queue["orders"][:5]:
                life = server.get(f"/v1/orders/{one['order_id']}{suffix.replace('&', '?')}")
                (order,) = [each for each in life.document["orders"] if each["symbol"] == "SIM0"]
                adds = [row for row in order["records"] if row["action"] == "A"]
                assert one["added"] == adds[-1]["ts_recv"]
                assert one["first_size"] == adds[-1]["size"]
    assert server.get("/v1/queues/SIM0?price=1").status == 404
    assert server.get("/v1/queues/SIM0").status == 400


def test_symbols_come_in_pages(server: Server, contract: dict[str, Any]) -> None:
    books, path = [], "/v1/symbols?limit=2"
    while path:
        reply = server.get(path)
        check_contract(contract, "/v1/symbols", reply)
        books += reply.document["books"]
        cursor = reply.document["next"]
        path = f"/v1/symbols?limit=2&cursor={cursor}" if cursor else ""
    assert [book["symbol"] for book in books] == ["SIM0", "SIM1", "SIM2", "SIM3", "SIM4"]
    (only,) = server.get("/v1/symbols?prefix=SIM3").document["books"]
    assert only == books[3]


def test_trades_come_in_pages(server: Server, contract: dict[str, Any]) -> None:
    expected = []
    count = 0
    for batch in MboStream([SAMPLE]).batches():
        is_trade = (batch.action == ACTION_TRADE) & (record_keys(batch) == 1 << 32 | 100003)
        expected += [count + row for row in is_trade.nonzero()[0].tolist()]
        count += len(batch.action)
    found, path = [], "/v1/trades?symbol=SIM0&limit=700"
    while path:
        reply = server.get(path)
        check_contract(contract, "/v1/trades", reply)
        found += [row["record"] for row in reply.document["records"]]
        cursor = reply.document["next"]
        path = f"/v1/trades?symbol=SIM0&limit=700&cursor={cursor}" if cursor else ""
    assert found == expected


def test_the_newest_trades_up_to_a_moment(server: Server, contract: dict[str, Any]) -> None:
    trades = server.get("/v1/trades?symbol=SIM0&limit=1000").document["records"]
    last = trades[700]
    expected = trades[700::-1]
    for at in (f"record:{last['record']}", f"record:{trades[701]['record'] - 1}"):
        found, cursor = [], ""
        while True:
            path = f"/v1/trades?symbol=SIM0&order=newest&at={at}&limit=300{cursor}"
            reply = server.get(path)
            check_contract(contract, "/v1/trades", reply)
            found += reply.document["records"]
            if reply.document["next"] is None:
                break
            cursor = f"&cursor={reply.document['next']}"
        assert found == expected
    (newest,) = server.get("/v1/records?symbol=SIM0&order=newest&limit=1").document["records"]
    step = server.get(f"/v1/next?symbol=SIM0&kind=event&from=record:{newest['record']}")
    assert step.status == 404
    for query in ("order=newest&from=2026-01-05", "at=2026-01-05", "order=oldest&at=record:1"):
        assert server.get(f"/v1/trades?symbol=SIM0&{query}").status == 422


def test_a_span_of_records_has_its_beginning_and_not_its_end(server: Server) -> None:
    rows = server.get("/v1/records?symbol=SIM0&from=2026-01-05T14:30:20").document["records"]
    first, last = rows[0]["ts_recv"], rows[-1]["ts_recv"]
    assert first < last
    page = server.get(f"/v1/records?symbol=SIM0&from={first}&to={last}").document
    assert page == {"records": [row for row in rows if row["ts_recv"] < last], "next": None}


def test_the_next_and_the_previous_trade(server: Server, contract: dict[str, Any]) -> None:
    trades = server.get("/v1/trades?symbol=SIM0&limit=3").document["records"]
    for path, moment, expected in (
        ("next", f"from={trades[1]['ts_recv']}", trades[2]),
        ("next", f"from=record:{trades[1]['record']}", trades[2]),
        ("previous", f"from={trades[1]['ts_recv']}", trades[0]),
        ("previous", f"from=record:{trades[1]['record']}", trades[0]),
    ):
        reply = server.get(f"/v1/{path}?symbol=SIM0&{moment}")
        check_contract(contract, f"/v1/{path}", reply)
        assert reply.document == expected
    last = server.get("/v1/previous?symbol=SIM0").document
    assert server.get(f"/v1/next?symbol=SIM0&from=record:{last['record']}").status == 404
    assert server.get("/v1/next?symbol=SIM0").status == 404
    assert server.get(f"/v1/previous?symbol=SIM0&from=record:{trades[0]['record']}").status == 404


def test_the_next_and_the_previous_sweep(server: Server, contract: dict[str, Any]) -> None:
    """A sweep is an event whose trades have two prices; the record is the one that ends it."""
    reply = server.get("/v1/next?symbol=SIM0&kind=sweep&from=2026-01-05T14:30:10")
    check_contract(contract, "/v1/next", reply)
    sweep = reply.document
    before = f"/v1/previous?symbol=SIM0&kind=event&from=record:{sweep['record']}"
    start = server.get(before).document["record"] + 1
    rows = server.get(f"/v1/records?symbol=SIM0&cursor={start}").document["records"]
    ended = [row["record"] for row in rows].index(sweep["record"]) + 1
    trades = [row["price"] for row in rows[:ended] if row["action"] == "T"]
    assert len(set(trades)) > 1
    again = server.get(f"/v1/next?symbol=SIM0&kind=sweep&from=record:{sweep['record']}").document
    back = f"/v1/previous?symbol=SIM0&kind=sweep&from=record:{again['record']}"
    assert server.get(back).document == sweep
    assert server.get("/v1/next?symbol=SIM0&kind=gap&from=record:0").status == 404


def test_stepping_by_event_shows_each_state_of_the_book(server: Server) -> None:
    """From event to event the book changes as its records say, though times are equal."""
    start = server.get(f"/v1/next?symbol=SIM0&kind=event&from={HALFWAY}").document
    record, events = start["record"], []
    for _ in range(5):
        book = server.get(f"/v1/books/SIM0?at=record:{record}&depth=1").document
        events.append(book["events"])
        record = server.get(f"/v1/next?symbol=SIM0&kind=event&from=record:{record}").document[
            "record"
        ]
    assert events == list(range(events[0], events[0] + 5))


def test_an_order_has_its_records_and_its_place(server: Server, contract: dict[str, Any]) -> None:
    book = server.get(f"/v1/books/SIM0?level=l3&at={HALFWAY}").document
    level = next(level for level in book["bids"] if level["count"] >= 3)
    first, second, third, *_ = level["orders"]
    reply = server.get(f"/v1/orders/{third['order_id']}?at={HALFWAY}")
    check_contract(contract, "/v1/orders/{order_id}", reply)
    (order,) = reply.document["orders"]
    assert order["is_live"]
    assert (order["side"], order["price"], order["size"]) == ("B", level["price"], third["size"])
    assert order["ahead"] == {"orders": 2, "size": first["size"] + second["size"]}
    assert {row["order_id"] for row in order["records"]} == {third["order_id"]}
    assert all(row["ts_recv"] <= HALFWAY for row in order["records"])


def test_an_order_says_how_far_its_book_may_be_trusted(test_data: Path) -> None:
    """A cold book, and a venue whose priority is not known, are said as /v1/books says them."""
    with serving(test_data / "clx5" / "CLX5_mbo.dbn") as server:
        book = server.get("/v1/books/CLX5?level=l3&depth=1").document
        order_id = book["bids"][0]["orders"][0]["order_id"]
        (order,) = server.get(f"/v1/orders/{order_id}").document["orders"]
    assert (order["status"], order["warnings"]) == (book["status"], book["warnings"])
    assert "cold" in order["warnings"]
    assert order["priority"] == "unknown"
    assert "match_algorithm" in order["priority_rule"]


def test_an_order_that_has_gone_is_not_live(server: Server) -> None:
    rows = server.get("/v1/records?symbol=SIM0&limit=1000&from=2026-01-05T14:30:20").document
    gone = next(row for row in rows["records"] if row["action"] == "C")["order_id"]
    (order,) = server.get(f"/v1/orders/{gone}").document["orders"]
    assert (order["is_live"], order["price"], order["ahead"]) == (False, None, None)
    assert [row["action"] for row in order["records"]][-1] == "C"


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/v1/books/NONE", 404, "no book has the symbol 'NONE'"),
        ("/v1/books/SIM0?at=2020-01-01", 410, "before the first record"),
        ("/v1/books/SIM0?at=yesterday", 400, "at: "),
        ("/v1/books/SIM0?depth=0", 400, "depth must be 1 to"),
        ("/v1/books/SIM0?level=l9", 400, "level must be l2 or l3"),
        ("/v1/books/SIM0?levle=l2", 400, "expected publisher, at, level, depth"),
        ("/v1/books/SIM0?publisher=70000", 400, "below 2^16"),
        ("/v1/books/SIM0?publisher=9", 404, "no book has the symbol"),
        ("/v1/books/SIM0?at=record:100000", 404, "there are 100000 records"),
        ("/v1/books/SIM0?at=record:x", 400, "expected record:NUMBER"),
        ("/v1/orders/12a", 400, "a number below 2^64"),
        ("/v1/orders/1", 404, "no record up to the time"),
        ("/v1/symbols?limit=0", 400, "limit must be 1 to"),
        ("/v1/symbols?cursor=x", 400, "cursor must be"),
        ("/v1/trades", 400, "give symbol"),
        ("/v1/trades?symbol=", 400, "symbol is empty"),
        ("/v1/next?symbol=SIM0&kind=nothing", 400, "kind must be"),
        (f"/v1/books/{quote('a/b')}", 404, ""),
        ("/v1/heatmap/NONE", 404, "no book has the symbol 'NONE'"),
        ("/v1/heatmap/SIM0?rows=0", 400, "rows must be 1 to 500"),
        ("/v1/heatmap/SIM0?low=1", 422, "low and high come together: give high"),
        ("/v1/heatmap/SIM0?low=2&high=1", 422, "low must be below high"),
        ("/v1/heatmap/SIM0?low=x&high=1", 400, "low: not a price"),
        ("/v1/heatmap/SIM0?from=2027-01-01", 422, "`from` must be before `to`"),
        ("/v1/heatmap/SIM0?to=2020-01-01", 410, "`to` is before the first record"),
        ("/v1/bars/SIM0", 400, "give every"),
        ("/v1/bars/SIM0?every=1mo", 400, "every: "),
        ("/v1/coverage/NONE", 404, "no book has the symbol 'NONE'"),
        ("/v2", 404, "GET / lists them"),
    ],
)
def test_what_cannot_be_answered_is_a_problem(
    server: Server, path: str, status: int, detail: str
) -> None:
    reply = server.get(path)
    assert (reply.status, reply.kind) == (status, "application/problem+json")
    assert reply.document["status"] == status
    assert detail in reply.document["detail"]


def test_a_symbol_of_several_publishers_needs_one(test_data: Path) -> None:
    with serving(test_data / "dbeq" / "dbeq-20240131.mbo.dbn") as server:
        books = server.get("/v1/symbols").document["books"]
        assert len({book["symbol"] for book in books}) < len(books)
        for book in books:
            name = book["symbol"] or book["instrument_id"]
            assert server.get(f"/v1/books/{name}").status in (200, 400)
            chosen = server.get(f"/v1/books/{name}?publisher={book['publisher_id']}").document
            assert chosen["publisher_id"] == book["publisher_id"]
            by_id = f"/v1/books/{book['instrument_id']}?publisher={book['publisher_id']}"
            assert server.get(by_id).document == chosen
        refused = server.get(f"/v1/books/{books[0]['symbol']}")
        assert refused.status == 400
        assert "books fit: publisher=" in refused.document["detail"]


def test_a_heatmap_shows_the_books_at_the_ends_of_its_columns(
    server: Server, contract: dict[str, Any]
) -> None:
    path = f"/v1/heatmap/SIM0?from=2026-01-05T14:30:20&to={HALFWAY}&columns=9&rows=11"
    reply = server.get(path)
    check_contract(contract, "/v1/heatmap/{symbol}", reply)
    grid = reply.document
    assert (grid["columns"], grid["rows"], grid["to"]) == (9, 11, "2026-01-05T14:30:40.000000007Z")
    book = server.get(f"/v1/books/SIM0?at={grid['to']}").document
    assert grid["status"][-1] == book["status"]
    for side, best in ("bid", "best_bid_1e9"), ("ask", "best_ask_1e9"):
        levels = book[f"{side}s"]
        assert grid[best][-1] == levels[0]["price_1e9"]
        cells = [0] * 11
        for level in levels:
            band = (level["price_1e9"] - grid["low_1e9"]) // grid["row_1e9"]
            if 0 <= band < 11:
                cells[band] += level["size"]
        assert grid[f"{side}_size"][-1] == cells


def test_a_heatmap_has_the_trades_of_its_range(server: Server) -> None:
    grid = server.get("/v1/heatmap/SIM0?columns=1&rows=1&low=0&high=1000000").document
    trades, path = [], "/v1/trades?symbol=SIM0"
    while path:
        page = server.get(path).document
        trades += page["records"]
        path = f"/v1/trades?symbol=SIM0&cursor={page['next']}" if page["next"] else ""
    for side, grid_name in ("B", "buy_volume"), ("A", "sell_volume"), ("N", "other_volume"):
        assert grid[grid_name] == [[sum(row["size"] for row in trades if row["side"] == side)]]


def test_a_heatmap_as_arrow_has_the_same_integers(server: Server) -> None:
    path = "/v1/heatmap/SIM0?columns=30&rows=20"
    document = server.get(path).document
    request = urllib.request.Request(
        f"http://{server.address}{path}",
        headers={"Accept": "application/vnd.apache.arrow.stream"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers.get_content_type() == "application/vnd.apache.arrow.stream"
        table = pa.ipc.open_stream(answer.read()).read_all()
    head = json.loads(table.schema.metadata[b"batonics.heatmap"])
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "ts"}
    assert head | columns == document
    assert table.schema.field("bid_size").type == pa.list_(pa.int64(), 20)
    ends = table["ts"].cast(pa.int64()).to_pylist()
    assert {end - start for start, end in itertools.pairwise(ends)} == {head["column_ns"]}


def test_bars_sum_the_trades(server: Server, contract: dict[str, Any]) -> None:
    reply = server.get("/v1/bars/SIM0?every=10s")
    check_contract(contract, "/v1/bars/{symbol}", reply)
    bars = reply.document["bars"]
    assert len(bars) > 3
    rows, path = [], "/v1/trades?symbol=SIM0"
    while path:
        page = server.get(path).document
        rows += page["records"]
        path = f"/v1/trades?symbol=SIM0&cursor={page['next']}" if page["next"] else ""
    assert sum(bar["volume"] for bar in bars) == sum(row["size"] for row in rows)
    assert bars[0]["open_1e9"] == rows[0]["price_1e9"]
    assert bars[-1]["close_1e9"] == rows[-1]["price_1e9"]
    assert server.get("/v1/bars/SIM0?every=10s&limit=1").document["next"] is not None


def test_coverage_has_the_statuses_of_the_books(server: Server, contract: dict[str, Any]) -> None:
    reply = server.get("/v1/coverage/SIM0")
    check_contract(contract, "/v1/coverage/{symbol}", reply)
    spans = reply.document["spans"]
    assert spans[-1]["until"] == reply.document["data"]["until"]
    for span in spans:
        if span["status"] != "missing":
            book = server.get(f"/v1/books/SIM0?at={span['from']}&depth=1").document
            assert book["status"] == span["status"]
    check_contract(contract, "/v1/stats", server.get("/v1/stats"))


def test_who_has_an_answer_gets_304(server: Server) -> None:
    url = f"http://{server.address}/v1/books/SIM0?at={HALFWAY}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        tag = answer.headers["ETag"]
    request = urllib.request.Request(url, headers={"If-None-Match": tag})
    with pytest.raises(HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == 304
    refused.value.close()
    other = urllib.request.Request(f"{url}&depth=1", headers={"If-None-Match": tag})
    with urllib.request.urlopen(other, timeout=30) as answer:
        assert answer.status == 200


def test_the_root_lists_every_path(server: Server, contract: dict[str, Any]) -> None:
    listed = server.get("/").document["endpoints"]
    assert set(contract["paths"]) | {"/openapi.json", "/asyncapi.json", "/v1/ws"} == set(listed)


def test_a_long_answer_is_compressed_for_who_accepts_it(server: Server) -> None:
    url = f"http://{server.address}/v1/books/SIM0"
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(answer.read())) == server.get("/v1/books/SIM0").document
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip, zstd;q=0.5"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["Content-Encoding"] == "zstd"
        assert json.loads(zstd.decompress(answer.read())) == server.get("/v1/books/SIM0").document


def test_after_the_data_a_book_says_so(server: Server) -> None:
    assert server.get("/v1/books/SIM0?at=2026-01-07").document["warnings"] == ["after_data"]


def test_a_signal_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    with serving(SAMPLE, TMPDIR=str(tmp_path)) as server:
        assert list(tmp_path.iterdir())
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
    assert not list(tmp_path.iterdir())


def test_wrong_inputs_are_one_line(tmp_path: Path) -> None:
    missing = run_command("serve", tmp_path / "no.dbn", "--http", "127.0.0.1:0")
    assert missing.code
    assert "no.dbn: cannot be opened" in missing.err
    public = run_command("serve", SAMPLE, "--http", "0.0.0.0:0", env=environment(BATONICS_TOKEN=""))
    assert public.code
    assert "needs a token" in public.err
    unknown = run_command("serve", SAMPLE, "--http", "127.0.0.1:0", "--symbols", "NONE")
    assert unknown.code
    assert "NONE" in unknown.err
    for result in (missing, public, unknown):
        assert "Traceback" not in result.err
