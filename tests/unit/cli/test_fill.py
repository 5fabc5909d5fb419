"""`batonics fill` on the screen and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from batonics.cli import fill
from batonics.codec.dbn import encode_records
from batonics.model.times import format_time
from tests.support.reference_books import Record
from tests.support.streams import START_NS, batch_of, in_time

FILLS = 25


@pytest.fixture
def path(tmp_path: Path) -> str:
    """One ask of one lot, then many lots that trade behind it."""
    flags, price_1e9 = 128, 40_250_000_000

    def record(action: str, order_id: int) -> Record:
        return Record(
            1_000, 0, 1, 100, ord(action), ord("A"), price_1e9, 1, 0, order_id, flags, 0, 0
        )

    rows = [record("A", 1), record("C", 1)]
    for order_id in range(2, 2 + FILLS):
        rows += [record(action, order_id) for action in "AFC"]
    file = tmp_path / "day.dbn"
    file.write_bytes(encode_records(batch_of(in_time(rows))))
    return str(file)


def run(path: str, *options: str) -> str:
    app = typer.Typer()
    app.command()(fill.command)
    order = ["--side", "sell", "--price", "40.25", "--size", str(FILLS)]
    result = CliRunner().invoke(
        app, [path, *order, "--at", str(START_NS + 1_000), "--quiet", *options]
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_small_table_says_what_became_of_the_order(path: str) -> None:
    lines = run(path).splitlines()
    assert lines[0].startswith("sell 25 #100 at 40.25, publisher 1, entering at 2025-09-24T")
    assert lines[1].strip().startswith("cold: the book began mid-session")  # before any figure
    assert lines[2].strip() == (
        "ahead at entry: 1 in 1 orders; of it filled 0, cancelled or moved 1, left 0"
    )
    assert lines[3].strip() == "filled 25 of 25: filled"
    assert lines[4].strip().startswith("priority unknown: GLBX.MDP3 ranks by price, then")
    assert lines[5].split() == ["ts_event", "size", "price", "by"]
    assert len(lines) == 6 + fill.FILL_ROWS_MAX + 1
    assert lines[-1] == "and 5 more fills; --json has them all"


def test_an_open_order_says_until_when_it_was_watched(path: str) -> None:
    until = format_time(START_NS + 77_000)
    assert f"filled 25 of 26: open, watched until the last record at {until}" in run(
        path, "--size", "26"
    )


def test_json_has_the_whole_report(path: str) -> None:
    report = json.loads(run(path, "--json", "--symbols", "100", "--publisher", "1"))
    assert (report["side"], report["end"], report["price"]) == ("A", "filled", "40.25")
    assert len(report["fills"]) == FILLS


@pytest.mark.parametrize(("unit", "price"), [("fixed", 40_250_000_000), ("float", 40.25)])
def test_prices_in_json_have_the_unit_that_is_asked_for(
    unit: str, price: object, path: str
) -> None:
    options = ("--symbols", "100", "--publisher", "1", "--prices", unit)
    report = json.loads(run(path, "--json", *options))
    assert report["price"] == price
    assert {type(fill["price"]) for fill in report["fills"]} == {type(price)}
