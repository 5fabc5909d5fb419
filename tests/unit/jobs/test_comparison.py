"""Our rows against another's: what is paired, what differs, and why."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from batonics.jobs import comparison
from batonics.jobs.comparison import Comparison, compare
from batonics.jobs.convert import Conversion, ConvertRequest
from batonics.model.errors import InputError
from tests.support.command import SAMPLE, run_in_process
from tests.support.dbn_files import SMALL

DBEQ = "dbeq/dbeq-20240131.mbo.dbn", "dbeq/dbeq-20240131.mbp-10.parquet", "mbp-10"
VENUES = [
    (f"venues/{venue}.mbo.dbn.zst", f"venues/{venue}.{schema}.dbn.zst", schema)
    for venue in ("XNAS.ITCH", "IFEU.IMPACT")
    for schema in ("mbp-1", "mbp-10")
]


def compared(source: Path, schema: str, theirs: Path) -> Comparison:
    return compare(Conversion(ConvertRequest((str(source),), schema)), str(theirs))


def converted(out: Path, schema: str, source: Path = SAMPLE) -> pl.DataFrame:
    assert run_in_process("convert", source, "--schema", schema, "--out", out, "-q").code == 0
    return pl.read_parquet(out) if out.suffix == ".parquet" else pl.DataFrame()


@pytest.mark.parametrize(("records", "theirs", "schema"), [DBEQ, *VENUES])
def test_the_vendors_rows_agree_in_every_column(
    records: str, theirs: str, schema: str, test_data: Path
) -> None:
    found = compared(test_data / records, schema, test_data / theirs)
    # Of each venue the first four rows are there; ours go on for as long as the records do.
    assert found.theirs > 0
    assert found.pairs == found.equal
    assert found.agrees, found.report()
    if schema == "mbp-10" and records.startswith("dbeq"):
        assert (found.ours, found.theirs, found.equal) == (5_655, 5_655, 5_655)


@pytest.mark.parametrize("form", ["parquet", "arrow", "csv", "dbn", "dbn.zst"])
@pytest.mark.parametrize("schema", ["mbp-10", "tbbo", "bbo-1s", "ohlcv-1m", "mbo"])
def test_what_we_wrote_agrees_in_every_form(schema: str, form: str, tmp_path: Path) -> None:
    converted(tmp_path / f"x.{form}", schema)
    found = compared(SAMPLE, schema, tmp_path / f"x.{form}")
    assert found.agrees
    assert found.ours == found.theirs == found.pairs == found.equal > 0


def test_chunks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted(tmp_path / "x.parquet", "mbp-1")
    monkeypatch.setattr(comparison, "CHUNK_ROWS", 100)
    found = compared(SAMPLE, "mbp-1", tmp_path / "x.parquet")
    assert found.agrees
    assert found.ours == found.equal > 1_000


def test_a_wrong_price_a_missing_and_an_extra_row_are_found(tmp_path: Path) -> None:
    rows = converted(tmp_path / "x.parquet", "mbp-1")
    wrong = rows.with_columns(
        bid_px_00=pl.when(pl.int_range(pl.len()) == 500).then(pl.col("bid_px_00") + 1)
        .otherwise("bid_px_00")
    )  # fmt: skip
    extra = rows[700].with_columns(sequence=pl.lit(4_000_000_000, pl.UInt32))
    pl.concat([wrong[:600], wrong[601:700], extra, wrong[700:]]).write_parquet(
        tmp_path / "y.parquet"
    )
    found = compared(SAMPLE, "mbp-1", tmp_path / "y.parquet")
    assert not found.agrees
    assert found.columns == {"bid_px_00": 1}
    assert found.differing == {"unexplained": 1}
    assert found.only_ours == {"unexplained": 1}
    assert found.only_theirs == {"unexplained": 1}
    assert {example["what"] for example in found.examples} == {
        "differs",
        "only ours",
        "only theirs",
    }
    differs = next(e for e in found.examples if e["what"] == "differs")
    ours, theirs = differs["ours_and_theirs"]["bid_px_00"]
    assert theirs == ours + 1


def test_rows_outside_the_other_sides_span_are_explained(tmp_path: Path) -> None:
    rows = converted(tmp_path / "x.parquet", "mbp-1")
    middle = rows[5_000:6_000]
    middle.write_parquet(tmp_path / "y.parquet")
    found = compared(SAMPLE, "mbp-1", tmp_path / "y.parquet")
    assert found.agrees, found.report()
    assert found.equal == found.theirs == 1_000
    assert set(found.only_ours) == {"before", "after"}


def test_a_book_that_the_records_lack_is_explained(tmp_path: Path) -> None:
    rows = converted(tmp_path / "x.parquet", "mbp-1")
    other = rows[1_000:1_001].with_columns(instrument_id=pl.lit(99_999, pl.UInt32))
    pl.concat([rows[:1_000], other, rows[1_000:]]).write_parquet(tmp_path / "y.parquet")
    found = compared(SAMPLE, "mbp-1", tmp_path / "y.parquet")
    assert found.agrees
    assert found.only_theirs == {"no records": 1}


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("x.dbn", SMALL, "its schema is mbo, expected mbp-1"),
        ("x.dbn", SMALL[:50], "ends after"),
        ("x.parquet", b"PAR1", "cannot be read"),
        ("x.txt", b"", "the name must end in one of"),
    ],
)
def test_a_file_that_is_no_such_table_is_one_line(
    name: str, data: bytes, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=words) as raised:
        compared(SAMPLE, "mbp-1", tmp_path / name)
    assert "\n" not in str(raised.value)


def test_prices_that_are_floats_are_refused(tmp_path: Path) -> None:
    rows = converted(tmp_path / "x.parquet", "trades")
    rows.with_columns(price=pl.col("price") / 1e9).write_parquet(tmp_path / "y.parquet")
    with pytest.raises(InputError, match="column price is of floats"):
        compared(SAMPLE, "trades", tmp_path / "y.parquet")


def test_rows_of_one_time_alone_are_compared_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = converted(tmp_path / "x.parquet", "mbp-1").tail(3)
    same = rows.with_columns(ts_recv=rows["ts_recv"][0])
    (tmp_path / "one.dbn").write_bytes(SMALL)
    pl.concat([same] * 3).write_parquet(tmp_path / "y.parquet")
    monkeypatch.setattr(comparison, "CHUNK_ROWS", 2)
    found = compared(tmp_path / "one.dbn", "mbp-1", tmp_path / "y.parquet")
    assert found.theirs == 9
    assert found.ours > 0
    assert not found.agrees


def test_what_was_written_in_another_zone_agrees(tmp_path: Path) -> None:
    theirs = tmp_path / "x.parquet"
    command = ("convert", SAMPLE, "--schema", "mbp-1", "--tz", "Asia/Tokyo", "--out", theirs)
    assert run_in_process(*command, "-q").code == 0
    found = compared(SAMPLE, "mbp-1", theirs)
    assert found.agrees
    assert found.equal == found.theirs > 0
