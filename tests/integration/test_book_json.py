"""The books as JSON: by the schema, against every truth there is, and the same bytes every time.

The rule: expected books come from somewhere else than the engine: independent results, the
simulated exchange's own, or the reference.
"""

from __future__ import annotations

import hashlib
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import polars as pl
import pytest

import batonics
from batonics.jobs import simulate as simulation
from batonics.jobs.simulate import simulate
from batonics.model.times import NS_PER_DAY, NS_PER_S
from tests.support.book_json import book_rows, reference_book_rows
from tests.support.command import SAMPLE, SCRIPT, environment, reconstruct_books
from tests.support.dbn_files import compress, decompress
from tests.support.paths import ROOT
from tests.support.real_files import CLX5, DBEQ, ESH4_DAYS, read_mbo
from tests.support.reference_books import ReferenceBooks, records

SCHEMA = orjson.loads((ROOT / "batonics" / "sinks" / "book.schema.json").read_bytes())
SAMPLE_SHA256 = "42ac9882a831f8abf14dd3e28b0afad9583c5391ba3344e71ba36a6f107d6a48"
"""Of `batonics reconstruct --orders --out -` on data/sample.dbn.zst."""
REAL = {"clx5": CLX5, "dbeq": DBEQ, "esh4": ESH4_DAYS[1], "esh4-adds": ESH4_DAYS[0]}


@pytest.fixture(scope="module")
def sample() -> dict[str, bytes]:
    """The sample's books in every form."""
    return {
        "plain": reconstruct_books(SAMPLE),
        "orders": reconstruct_books(SAMPLE, "--orders"),
        "depth": reconstruct_books(SAMPLE, "--orders", "--depth", "3"),
        "ndjson": reconstruct_books(SAMPLE, "--orders", "--format", "ndjson"),
    }


@pytest.fixture(scope="module")
def real(test_data: Path) -> dict[str, dict[str, Any]]:
    """The books of the real files, with queues."""
    return {
        name: orjson.loads(reconstruct_books(test_data / REAL[name], "--orders")) for name in REAL
    }


def assert_follows_schema(document: Any) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("form", ["plain", "orders", "depth"])
def test_the_sample_follows_the_schema(form: str, sample: dict[str, bytes]) -> None:
    assert_follows_schema(orjson.loads(sample[form]))


@pytest.mark.parametrize("name", REAL)
def test_real_books_follow_the_schema(name: str, real: dict[str, dict[str, Any]]) -> None:
    assert real[name]["books"]
    assert_follows_schema(real[name])


@pytest.mark.parametrize(
    ("field", "value"),
    [("price_1e9", 1.5), ("price", "1.50"), ("size", 0), ("count", -1), ("extra", 1)],
)
def test_the_schema_refuses_what_is_no_level(
    field: str, value: float | str, sample: dict[str, bytes]
) -> None:
    document = orjson.loads(sample["plain"])
    document["books"][0]["bids"][0][field] = value
    with pytest.raises(jsonschema.ValidationError):
        assert_follows_schema(document)


def test_the_forms_of_the_sample_agree(sample: dict[str, bytes]) -> None:
    whole = orjson.loads(sample["orders"])["books"]
    without_queues = [
        {**book, **{side: [_without_orders(level) for level in book[side]] for side in SIDES}}
        for book in whole
    ]
    assert without_queues == orjson.loads(sample["plain"])["books"]
    top = [{**book, **{side: book[side][:3] for side in SIDES}} for book in whole]
    assert top == orjson.loads(sample["depth"])["books"]
    lines = [orjson.loads(line) for line in sample["ndjson"].splitlines()]
    head = {key: orjson.loads(sample["plain"])[key] for key in ("schema", "at", "data")}
    assert lines == [{**head, **book} for book in whole]
    assert [next(iter(line)) for line in lines] == ["schema"] * 5


SIDES = ("bids", "asks")


def _without_orders(level: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in level.items() if key != "orders"}


def test_the_sample_gives_the_bytes_it_has_always_given(sample: dict[str, bytes]) -> None:
    assert hashlib.sha256(sample["orders"]).hexdigest() == SAMPLE_SHA256


def test_the_sample_is_the_exchanges_own_book(sample: dict[str, bytes]) -> None:
    truth = orjson.loads((ROOT / "data" / "sample.truth.json").read_bytes())
    ours = {
        book["symbol"]: {side: book_rows(book, side) for side in SIDES}
        for book in orjson.loads(sample["orders"])["books"]
    }
    assert ours == {
        symbol: {
            side: [
                (price, size, len(queue), [[int(order_id), left] for order_id, left in queue])
                for price, size, queue in levels
            ]
            for side, levels in sides.items()
        }
        for symbol, sides in truth.items()
    }
    assert all(
        book["status"] == "synced" and not any(book["anomalies"].values())
        for book in orjson.loads(sample["plain"])["books"]
    )


def test_the_sample_can_be_made_again(tmp_path: Path) -> None:
    out, truth = tmp_path / "sample.dbn.zst", tmp_path / "sample.truth.json"
    simulate(str(out), records=100_000, live_orders=2500, seed=7, truth=str(truth))
    assert out.read_bytes() == SAMPLE.read_bytes()
    assert truth.read_bytes() == (ROOT / "data" / "sample.truth.json").read_bytes()


def test_a_simulation_has_names_past_midnight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    midnight_ns = simulation.MARKET_START_NS // NS_PER_DAY * NS_PER_DAY + NS_PER_DAY
    monkeypatch.setattr(simulation, "MARKET_START_NS", midnight_ns - NS_PER_S)
    out = tmp_path / "market.dbn.zst"
    simulate(str(out), records=5_000)
    rows = batonics.scan_mbo(out).select("symbol", pl.col("ts_recv").dt.date()).collect()
    assert rows["ts_recv"].n_unique() == 2
    assert rows["symbol"].null_count() == 0


def test_clx5_is_the_final_book_that_others_have_found(
    test_data: Path, real: dict[str, dict[str, Any]]
) -> None:
    truth = orjson.loads((test_data / "clx5" / "final_book.json").read_bytes())
    (book,) = real["clx5"]["books"]
    for side in SIDES:
        ours = [[row["price_1e9"], row["size"], row["count"]] for row in book[side]]
        assert ours == truth[side]
    assert (book["symbol"], book["status"], book["market"]) == ("CLX5", "cold", "crossed")
    assert (book["bids"][0]["price"], book["asks"][0]["price"]) == ("65.4", "64.78")
    assert book["anomalies"]["unknown_cancel"] == 1224
    assert book["anomalies"]["unknown_modify"] == 216
    assert sum(len(row["orders"]) for side in SIDES for row in book[side]) == 147


@pytest.mark.parametrize("name", REAL)
def test_real_books_are_those_of_the_reference(
    name: str, test_data: Path, real: dict[str, dict[str, Any]]
) -> None:
    reference = ReferenceBooks()
    for record in records(read_mbo(test_data / REAL[name])):
        reference.apply(record)
    ours = {
        (book["publisher_id"], book["instrument_id"]): (
            book_rows(book, "bids"),
            book_rows(book, "asks"),
            book["status"],
            {anomaly: count for anomaly, count in book["anomalies"].items() if count},
            book["events"],
            book["event_open"],
        )
        for book in real[name]["books"]
    }
    assert list(ours) == sorted(ours)
    assert ours == reference_book_rows(reference)


def test_a_top_of_book_publisher_has_levels_without_orders(
    real: dict[str, dict[str, Any]],
) -> None:
    tops = [book for book in real["dbeq"]["books"] if book["publisher_id"] != 39]
    rows = [row for book in tops for side in SIDES for row in book[side]]
    assert any(row["count"] == 0 and row["orders"] == [] and row["size"] > 0 for row in rows)


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_the_bytes_do_not_depend_on_the_process(hash_seed: str, sample: dict[str, bytes]) -> None:
    command = [*SCRIPT, "reconstruct", "-q", "--orders", "--out", "-", str(SAMPLE)]
    env = environment(PYTHONHASHSEED=hash_seed)
    assert subprocess.check_output(command, env=env) == sample["orders"]


def test_the_bytes_do_not_depend_on_how_the_input_is_packed(
    tmp_path: Path, sample: dict[str, bytes]
) -> None:
    plain = tmp_path / "plain.dbn"
    unpacked = decompress(SAMPLE.read_bytes())
    plain.write_bytes(unpacked)
    frames = tmp_path / "frames.zst"
    cuts = [0, 1, 7, 400, 123_457, 3_000_001, len(unpacked)]
    pieces = [unpacked[start:stop] for start, stop in pairwise(cuts)]
    skippable = b"\x53\x2a\x4d\x18\x05\0\0\0hello"
    frames.write_bytes(skippable + b"".join(map(compress, [*pieces, b""])) + skippable)
    assert reconstruct_books(plain, "--orders") == sample["orders"]
    assert reconstruct_books(frames, "--orders") == sample["orders"]
    assert reconstruct_books("-", "--orders", stdin=plain.read_bytes()) == sample["orders"]
    assert reconstruct_books("-", "--orders", stdin=frames.read_bytes()) == sample["orders"]


def test_a_slow_pipe_gives_the_same_bytes(sample: dict[str, bytes]) -> None:
    with subprocess.Popen(
        [*SCRIPT, "reconstruct", "-q", "--out", "-", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        data = SAMPLE.read_bytes()
        for start in range(0, len(data), 4001):
            process.stdin.write(data[start : start + 4001])
            process.stdin.flush()
        process.stdin.close()
        assert process.stdout.read() == sample["plain"]
