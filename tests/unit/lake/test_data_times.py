"""Questions about times of which a lake has nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import batonics
from tests.support.command import SAMPLE, error_line, run_in_process

FIRST, LAST = "2026-01-05T14:30:00.004720268Z", "2026-01-05T14:31:22.783850030Z"
SPAN = f"; the rows are from {FIRST} to {LAST}"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> batonics.Lake:
    """Trades of one day."""
    return batonics.load_lake(SAMPLE, tmp_path_factory.mktemp("times") / "lake", schemas=["trades"])


def doors(lake: batonics.Lake, target: Path) -> Iterator[tuple[str, Any]]:
    """The functions that choose rows of a lake by symbols and times."""
    yield "files", lambda **options: lake.files("trades", **options)
    yield "scan", lambda **options: lake.scan("trades", **options)
    yield "join_asof", lambda **options: lake.join_asof("trades", "trades", **options)
    yield "export_lake", lambda **options: batonics.export_lake(lake.store.name, target, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": "2026-01-06"}, "no rows from 2026-01-06T00:00:00.000000000Z" + SPAN),
        ({"end": "2026-01-05"}, "no rows before 2026-01-05T00:00:00.000000000Z" + SPAN),
        ({"start": "2027-01-01", "end": "2027-01-02"}, "and before 2027-01-02T00"),
        ({"symbols": "SIM9"}, "no symbol 'SIM9' in "),
    ],
    ids=["start", "end", "both", "symbol"],
)
def test_what_a_lake_does_not_have_is_refused_at_every_door(
    options: dict[str, Any], words: str, lake: batonics.Lake, tmp_path: Path
) -> None:
    for name, choose in doors(lake, tmp_path / "tables"):
        with pytest.raises(batonics.UsageError) as refused:
            choose(**options)
        assert words in str(refused.value), name
    assert not (tmp_path / "tables").exists()


def test_times_that_reach_into_the_data_are_taken(lake: batonics.Lake) -> None:
    count = lake.sql("SELECT count(*) FROM trades").item()
    taken: list[dict[str, Any]] = [{"start": "2020-01-01"}, {"end": "2030-01-01"}, {"start": FIRST}]
    for options in taken:
        assert lake.scan("trades", **options).collect().height == count
    # No trade in this instant is an answer, not a mistake.
    quiet: dict[str, Any] = {
        "start": "2026-01-05T14:30:00.01Z",
        "end": "2026-01-05T14:30:00.010000001Z",
    }
    assert lake.scan("trades", **quiet).collect().height == 0


WHERE = ["date = '2027-01-01'", "ts_recv > '2027-01-01'", "symbol = 'SIM9'"]


@pytest.mark.parametrize("condition", WHERE)
def test_sql_of_what_a_lake_does_not_have_is_marked(condition: str, lake: batonics.Lake) -> None:
    query = f"SELECT count(*) AS n FROM trades WHERE {condition}"
    words = "trades: no row can meet the conditions of the query" + SPAN
    with pytest.warns(batonics.DataWarning, match=words):
        assert lake.sql(query).item() == 0
    done = run_in_process("query", query, "--lake", lake.store.name)
    assert done.code == 0
    assert done.err == f"batonics: {words}\n"


def test_sql_without_rows_within_the_data_is_an_answer(lake: batonics.Lake) -> None:
    assert lake.sql("SELECT * FROM trades WHERE size > 1000000").height == 0
    assert lake.sql("SELECT * FROM trades WHERE date = '2026-01-05' AND size < 1").height == 0


def test_the_command_refuses_a_date_that_the_rows_do_not_have(lake: batonics.Lake) -> None:
    query = ("query", "SELECT count(*) AS n FROM trades", "--date", "2027-01-01")
    line = error_line(run_in_process(*query, "--lake", lake.store.name), 2)
    assert line.endswith(f"{SPAN}, and `batonics lake ls` shows them")
    line = error_line(run_in_process(*query, "--from", SAMPLE), 2)
    assert line.startswith("the files: no rows from 2027-01-01T00:00:00")
