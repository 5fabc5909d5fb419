"""Records in every form of the vendor's client and of data frames: the books of the DBN they were.

The rule here: the same bytes of JSON, of real data and of a simulated day.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pytest

from batonics.jobs.reconstruct import Reconstruction, ReconstructRequest
from batonics.jobs.simulate import simulate
from batonics.model.errors import DataWarning
from batonics.sinks.book_json import write_books
from tests.support.real_files import CLX5, DBEQ, ESH4_DAYS
from tests.support.vendor_forms import NAMED, NAMELESS, cut_records, without_names, write_form

RECORDS = 10_000
DAYS = {"clx5": CLX5, "esh4": ESH4_DAYS[1], "dbeq": DBEQ, "simulated": None}


def books_json(path: Path) -> bytes:
    """The books of a file with their orders, as `reconstruct` writes them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "prices are floats|.*prices are floats", DataWarning)
        run = Reconstruction(ReconstructRequest(paths=(str(path),)))
        run.run()
    out = io.BytesIO()
    write_books(out, run.engine, run.symbols, orders=True, as_of=run.as_of)
    return out.getvalue()


@pytest.fixture(scope="module", params=DAYS)
def day(
    request: pytest.FixtureRequest, test_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """DBN of the first records of a day."""
    name = DAYS[request.param]
    if name is not None:
        return cut_records(test_data / name, RECORDS)
    path = tmp_path_factory.mktemp("simulated") / "day.dbn"
    simulate(str(path), records=RECORDS, instruments=20, seed=11)
    return cut_records(path, RECORDS)


@pytest.fixture(scope="module")
def expected(day: bytes, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, bytes]:
    """The books of the DBN, with names and without."""
    directory = tmp_path_factory.mktemp("dbn")
    books = {}
    for is_named, data in ((True, day), (False, without_names(day))):
        path = directory / f"{is_named}.dbn"
        path.write_bytes(data)
        books[is_named] = books_json(path)
    return books


@pytest.mark.parametrize("form", [*NAMED, *NAMELESS])
def test_books_of_a_form_are_those_of_the_dbn_it_was_written_from(
    form: str, day: bytes, expected: dict[bool, bytes], tmp_path: Path
) -> None:
    path = write_form(form, day, tmp_path)
    assert books_json(path) == expected[form in NAMED]
