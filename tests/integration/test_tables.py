"""Tables of records through the public functions: frames, losses, files of several forms."""

from __future__ import annotations

import gzip
import io
import json
import warnings
from pathlib import Path

import polars as pl
import pytest

import batonics
from batonics.jobs.convert import ConvertRequest, TableOutput, convert
from batonics.jobs.inspect import Inspection
from batonics.jobs.reconstruct import BookOutput, ReconstructRequest, reconstruct_files
from batonics.model.errors import DataWarning, InputError, LossWarning, UsageError
from batonics.public.polars_namespace import mbo
from batonics.sources.input_options import InputOptions
from batonics.sources.stream import read_metadata
from tests.support.command import reconstruct_books
from tests.support.dbn_files import SMALL, compress


@pytest.fixture
def dbn(tmp_path: Path) -> Path:
    path = tmp_path / "day.dbn"
    path.write_bytes(SMALL)
    return path


@pytest.fixture
def records(dbn: Path) -> pl.DataFrame:
    """The records as a writer of floats and text has them."""
    frame = batonics.scan_mbo(dbn).collect()
    return frame.with_columns(
        pl.col("price") / 1e9,
        pl.col("action", "side").cast(pl.String),
        pl.col("size", "order_id", "flags").cast(pl.Int64),
    )


def test_frames_of_other_writers_need_no_casts(dbn: Path, records: pl.DataFrame) -> None:
    expected = mbo(batonics.scan_mbo(dbn)).mbp(10, extra=("symbol",)).collect()
    text = records.with_columns(pl.col("ts_recv", "ts_event").dt.strftime("%Y-%m-%dT%H:%M:%S%.9fZ"))
    nested = records.select(
        pl.struct("ts_event", "publisher_id", "instrument_id").alias("hd"),
        pl.exclude("ts_event", "publisher_id", "instrument_id"),
    )
    for frame in (records, text, nested, records.select(sorted(records.columns))):
        assert mbo(frame.lazy()).mbp(10, extra=("symbol",)).collect().equals(expected)


def test_frames_with_losses_are_refused(records: pl.DataFrame) -> None:
    coarse = records.with_columns(pl.col("ts_recv").cast(pl.Datetime("us", "UTC")))
    with pytest.raises(InputError, match="column ts_recv is in microseconds"):
        mbo(coarse.lazy()).bbo().collect()
    with pytest.raises(UsageError, match=r"column side is .*list"):
        mbo(records.with_columns(pl.concat_list("side")).lazy()).bbo()


def test_losses_are_refused_or_kept_in_the_answer(records: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "coarse.parquet"
    records.with_columns(pl.col("ts_event").cast(pl.Datetime("us", "UTC"))).write_parquet(path)
    out = tmp_path / "book.json"
    with pytest.raises(InputError, match=r"coarse\.parquet: column ts_event is in microseconds"):
        batonics.reconstruct(path)
    lossy = InputOptions(lossy=True)
    with pytest.warns() as caught:
        reconstruct_files(
            ReconstructRequest((str(path),), options=lossy), books=BookOutput(str(out))
        )
    assert {LossWarning, DataWarning} <= {warning.category for warning in caught}
    loss = "column ts_event is in microseconds, and has lost its nanoseconds (20 values)"
    assert json.loads(out.read_bytes())["losses"] == [f"{path}: {loss}"]
    with pytest.warns():
        report = Inspection([str(path)], lossy).run()
    assert report["files"][0]["losses"] == [loss]
    assert report["files"][0]["remarks"] == [
        "prices are floats; each is the float nearest to one price of 1e-9"
    ]


def test_files_of_several_forms_are_one_stream(
    dbn: Path, records: pl.DataFrame, tmp_path: Path
) -> None:
    first, second = tmp_path / "b.csv", tmp_path / "a.parquet"
    text = records.with_columns(pl.col("ts_recv", "ts_event").dt.strftime("%Y-%m-%dT%H:%M:%S%.9fZ"))
    text.head(8).write_csv(first)
    records.slice(8).with_columns((pl.col("price") * 1e9).cast(pl.Int64)).write_parquet(second)
    expected = batonics.scan_mbo(dbn).collect()
    assert batonics.scan_mbo([second, first]).collect().equals(expected)


def test_a_cut_line_is_refused_or_left_out(records: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "cut.csv"
    text = records.with_columns(pl.col("ts_recv", "ts_event").dt.strftime("%Y-%m-%dT%H:%M:%S%.9fZ"))
    data = text.write_csv().encode()
    path.write_bytes(data[:-40])
    with pytest.raises(InputError, match="expected 14 as in the header; --salvage"):
        batonics.scan_mbo(path).collect()
    with pytest.warns(LossWarning, match="after record 19"):
        assert batonics.scan_mbo(path, salvage=True).collect().height == 19
    path.write_bytes(data[:-1])  # it might be within the last value
    with pytest.warns(DataWarning, match="the last line has no newline: is it cut"):
        batonics.scan_mbo(path).collect()


@pytest.mark.parametrize("form", ["parquet", "arrow", "arrows"])
def test_tables_come_through_pipes_and_compressed(
    form: str, dbn: Path, records: pl.DataFrame, tmp_path: Path
) -> None:
    out = io.BytesIO()
    if form == "parquet":
        records.write_parquet(out)
    elif form == "arrow":
        records.write_ipc(out)
    else:
        records.write_ipc_stream(out)
    data, books = out.getvalue(), reconstruct_books(dbn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        for stdin in (data, compress(data), gzip.compress(data)):
            assert reconstruct_books("-", stdin=stdin) == books
        path = tmp_path / "packed"
        path.write_bytes(compress(data))
        assert reconstruct_books(path) == books
        with pytest.raises(InputError, match=r"packed: is .* its time is known too late"):
            batonics.scan_mbo([path, dbn]).collect()


def test_dbn_of_a_table_has_its_names_on_their_dates(records: pl.DataFrame, tmp_path: Path) -> None:
    later = records.with_columns(
        pl.col("ts_recv", "ts_event").dt.offset_by("3d"), pl.col("symbol") + "2"
    )
    path, out = tmp_path / "day.parquet", tmp_path / "day.dbn"
    pl.concat([records, later]).write_parquet(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        convert(ConvertRequest((str(path),), schema="mbo"), TableOutput(str(out)))
    found = batonics.scan_mbo(out).collect()
    assert found["symbol"].to_list() == [*records["symbol"], *later["symbol"]]
    metadata = read_metadata(out)
    assert metadata is not None
    days = {m.raw_symbol: m.intervals for m in metadata.mappings}
    assert len(days) == 2 * records["symbol"].n_unique()
    assert all(one.end_date - one.start_date == 1 for each in days.values() for one in each)
