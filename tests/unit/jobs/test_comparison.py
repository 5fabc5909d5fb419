"""Our rows against another's: what is paired, what differs, and why."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from batonics.codec.dbn import encode_records
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.jobs import comparison, row_chunks
from batonics.jobs.comparison import Comparison, compare
from batonics.jobs.convert import Conversion, ConvertRequest
from batonics.model.errors import InputError
from batonics.model.mbo import UNDEF_PRICE, Action, Flag, Side
from tests.support.command import SAMPLE, run_in_process
from tests.support.dbn_files import SMALL
from tests.support.reference_books import Record
from tests.support.streams import batch_of

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
    assert found.old_generation is not False
    if schema == "mbp-10" and records.startswith("dbeq"):
        assert (found.ours, found.theirs, found.equal) == (5_655, 5_655, 5_655)


def test_sides_are_compared_unless_all_of_them_are_missing(tmp_path: Path) -> None:
    rows = converted(tmp_path / "x.parquet", "mbp-1")
    is_change = pl.col("action") != "T"
    changes = rows.filter(is_change & (pl.col("side") != "N")).height
    none = pl.when(is_change).then(pl.lit("N")).otherwise("side")
    rows.with_columns(side=none.cast(rows.schema["side"])).write_parquet(tmp_path / "old.parquet")
    found = compared(SAMPLE, "mbp-1", tmp_path / "old.parquet")
    assert found.agrees
    assert found.old_generation
    assert found.sides_not_compared == changes > 0
    assert found.equal == found.pairs
    assert found.columns == {}

    one = pl.when(pl.int_range(pl.len()) == rows.height - 1).then(rows["side"]).otherwise(none)
    assert rows["action"][-1] != "T"
    assert rows["side"][-1] != "N"
    rows.with_columns(side=one.cast(rows.schema["side"])).write_parquet(tmp_path / "new.parquet")
    found = compared(SAMPLE, "mbp-1", tmp_path / "new.parquet")
    assert not found.agrees
    assert found.old_generation is False
    assert found.columns == {"side": changes - 1}
    assert found.differing == {"unexplained": changes - 1}
    assert found.equal == found.pairs - (changes - 1)
    assert len(found.examples) == comparison.EXAMPLES_MAX


def test_other_columns_are_compared_in_a_file_of_the_old_generation(tmp_path: Path) -> None:
    rows = converted(tmp_path / "x.parquet", "mbp-1")
    none = pl.when(pl.col("action") != "T").then(pl.lit("N")).otherwise("side")
    wrong = pl.when(pl.int_range(pl.len()) == 500).then(pl.col("flags") + 1).otherwise("flags")
    rows.with_columns(side=none.cast(rows.schema["side"]), flags=wrong).write_parquet(
        tmp_path / "y.parquet"
    )
    found = compared(SAMPLE, "mbp-1", tmp_path / "y.parquet")
    assert found.columns == {"flags": 1}
    assert found.differing == {"unexplained": 1}


def written(path: Path, records: list[Record]) -> Path:
    path.write_bytes(encode_metadata(Metadata()) + encode_records(batch_of(records)))
    return path


FIRST_NS = 1_700_000_000 * 10**9
LAST = int(Flag.LAST)
BASE = Record(FIRST_NS, FIRST_NS, 1, 7, Action.ADD, Side.BID, 100, 5, 0, 1, LAST, 3, 1)
TRADE = BASE._replace(action=Action.TRADE, side=Side.ASK, size=2)


@pytest.mark.parametrize("kept", [slice(2, None), slice(None, -1)])
def test_rows_of_an_event_that_the_input_cuts_off_are_explained(
    kept: slice, tmp_path: Path
) -> None:
    clear = BASE._replace(action=Action.CLEAR, side=Side.NONE, price=UNDEF_PRICE, size=0)
    events = [
        [TRADE, BASE._replace(action=Action.MODIFY, size=3), BASE._replace(order_id=2)],
        [clear, BASE._replace(order_id=5, size=9)],
        [TRADE, BASE._replace(order_id=6), BASE._replace(order_id=7)],
    ]
    records = [
        record._replace(ts_recv=FIRST_NS + n, sequence=n, flags=LAST if record is event[-1] else 0)
        for n, event in enumerate(events)
        for record in event
    ]
    whole = written(tmp_path / "whole.dbn", records)
    converted(tmp_path / "x.parquet", "mbp-1", whole)
    found = compared(written(tmp_path / "part.dbn", records[kept]), "mbp-1", tmp_path / "x.parquet")
    counts = found.differing + found.only_theirs + found.only_ours
    assert set(counts) == {"cut_off"}
    assert found.agrees, found.report()


@pytest.mark.parametrize("schema", ["ohlcv-1s", "bbo-1s"])
def test_bars_whose_interval_the_input_cuts_off_are_explained(schema: str, tmp_path: Path) -> None:
    trades = [
        TRADE._replace(ts_recv=FIRST_NS + n * 3 * 10**8, price=100 + n % 5, sequence=n)
        for n in range(20)
    ]
    converted(tmp_path / "x.parquet", schema, written(tmp_path / "whole.dbn", trades))
    part = written(tmp_path / "part.dbn", trades[5:15])
    found = compared(part, schema, tmp_path / "x.parquet")
    counts = found.differing + found.only_theirs + found.only_ours
    assert counts["cut_off"] > 0
    assert counts["unexplained"] == 0
    assert found.equal > 0


def test_sizes_that_may_exceed_32_bits_are_counted_and_not_compared(tmp_path: Path) -> None:
    large = BASE._replace(size=2**32 - 2)
    records = [
        record._replace(ts_recv=FIRST_NS + n, sequence=n)
        for n, record in enumerate([BASE._replace(price=99), large, large._replace(order_id=2)])
    ]
    records.append(large._replace(ts_recv=FIRST_NS + 9, sequence=9, action=Action.CANCEL))
    whole = written(tmp_path / "whole.dbn", records)
    rows = converted(tmp_path / "x.parquet", "mbp-1", whole)
    wrong = pl.when(pl.int_range(pl.len()) == 2).then(7).otherwise("bid_ct_00")
    rows.with_columns(bid_ct_00=wrong.cast(pl.UInt32)).write_parquet(tmp_path / "y.parquet")
    found = compared(whole, "mbp-1", tmp_path / "y.parquet")
    assert found.over_32_bits == {"ours": 1, "theirs": 1}
    assert found.not_compared == {"sizes over 32 bits": 1}
    assert (found.pairs, found.equal, found.differing) == (4, 3, {})


@pytest.mark.parametrize("form", ["parquet", "arrow", "csv", "dbn", "dbn.zst"])
@pytest.mark.parametrize("schema", ["mbp-10", "tbbo", "bbo-1s", "ohlcv-1m", "mbo"])
def test_what_we_wrote_agrees_in_every_form(schema: str, form: str, tmp_path: Path) -> None:
    converted(tmp_path / f"x.{form}", schema)
    found = compared(SAMPLE, schema, tmp_path / f"x.{form}")
    assert found.agrees
    assert found.ours == found.theirs == found.pairs == found.equal > 0


def test_chunks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted(tmp_path / "x.parquet", "mbp-1")
    monkeypatch.setattr(row_chunks, "CHUNK_ROWS", 100)
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


def test_prices_that_are_floats_are_compared_if_they_are_exact(tmp_path: Path) -> None:
    rows = converted(tmp_path / "x.parquet", "trades")
    exact = pl.Series(rows["price"].to_numpy() / 1e9)
    rows.with_columns(price=exact).write_parquet(tmp_path / "y.parquet")
    assert compared(SAMPLE, "trades", tmp_path / "y.parquet").agrees
    # Polars multiplies by the inverse, which gives a double beside the nearest one.
    rows.with_columns(price=pl.col("price") / 1e9).write_parquet(tmp_path / "y.parquet")
    assert compared(SAMPLE, "trades", tmp_path / "y.parquet").agrees
    rows.with_columns(price=exact + 3e-10).write_parquet(tmp_path / "y.parquet")
    with pytest.raises(InputError, match="column price has floats of more than 9 decimals"):
        compared(SAMPLE, "trades", tmp_path / "y.parquet")


def test_rows_of_one_time_alone_are_compared_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = converted(tmp_path / "x.parquet", "mbp-1").tail(3)
    same = rows.with_columns(pl.col("ts_recv").first())
    (tmp_path / "one.dbn").write_bytes(SMALL)
    pl.concat([same] * 3).write_parquet(tmp_path / "y.parquet")
    monkeypatch.setattr(row_chunks, "CHUNK_ROWS", 2)
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
