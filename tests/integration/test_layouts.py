"""Directories, patterns, batch downloads and archives give what their files give, at every door.

The rule: whatever the layout, an answer equals that of the same files named one by one, and what is
not whole is refused in one line.
"""

from __future__ import annotations

import gc
import io
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

import batonics
from batonics.model.errors import DataWarning, InputError, UsageError
from batonics.model.mbo import Action
from batonics.model.times import NS_PER_DAY, NS_PER_S
from batonics.sources.inputs import find_inputs
from tests.support.batch_downloads import (
    batch_files,
    conditions,
    symbology,
    write_batch,
    zip_batch,
)
from tests.support.command import error_line, run_in_process
from tests.support.dbn_files import DAY_NS, adds, compress, encode, list_names, metadata, record
from tests.support.replays import receive_all, run_replay

FIRST = compress(metadata() + encode(adds(20)))
SECOND = compress(metadata() + encode(adds(30, ts_recv=DAY_NS + NS_PER_DAY)))
NAMES = ("xnas-itch-20241004.mbo.dbn.zst", "xnas-itch-20241005.mbo.dbn.zst")
DATA = dict(zip(NAMES, (FIRST, SECOND), strict=True))


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """A download of two days."""
    return write_batch(tmp_path / "job", batch_files(DATA))


def books_of(*inputs: str | Path) -> bytes:
    """The JSON of the books, as `reconstruct` writes it."""
    result = run_in_process("reconstruct", *map(str, inputs), "--out", "-", "--quiet")
    assert result.code == 0, result.err
    return result.out


def records_of(inputs: object) -> pl.DataFrame:
    """All records, with symbols."""
    return batonics.scan_mbo(inputs).collect()  # type: ignore[arg-type]


def test_every_layout_gives_what_its_files_give(batch: Path, tmp_path: Path) -> None:
    files = [batch / name for name in NAMES]
    expected = books_of(*files)
    plain = tmp_path / "plain"
    plain.mkdir()
    for file in reversed(files):
        shutil.copy(file, plain / f"part-{file.name}")
    flat = zip_batch(tmp_path / "flat.zip", batch_files(DATA))
    nested = zip_batch(tmp_path / "nested.zip", batch_files(DATA), "job/")
    layouts: dict[str, Sequence[str | Path]] = {
        "directory": [plain],
        "batch": [batch],
        "pattern": [f"{batch}/*.dbn.zst"],
        "pattern of everything": [f"{batch}/*"],
        "deep pattern": [f"{tmp_path}/**/xnas*.mbo.dbn.zst"],
        "what a shell makes of job/*": sorted(batch.iterdir()),
        "archive": [flat],
        "archive of a directory": [nested],
        "URL": [batch.as_uri()],
    }
    for what, named in layouts.items():
        assert books_of(*named) == expected, what


def test_every_door_takes_a_download(batch: Path, tmp_path: Path) -> None:
    archive = zip_batch(tmp_path / "job.zip", batch_files(DATA))
    lake = tmp_path / "lake"
    for named in (str(batch), str(archive)):
        out = tmp_path / f"{Path(named).name}.csv"
        doors = [
            ("convert", named, "--schema", "mbo", "--out", str(out)),
            ("verify", named),
            ("inspect", named, "--json"),
            ("reconstruct", named),
            ("fill", named, "--symbols", "AAA", "--side", "buy", "--price", "99", "--size", "1",
             "--at", str(DAY_NS + 10_000)),
            ("lake", "load", named, "--lake", f"{lake}-{Path(named).name}", "--one-stream"),
            ("query", "SELECT count(*) AS n FROM mbo", "--from", named),
        ]  # fmt: skip
        for door in doors:
            result = run_in_process(*door, "--quiet")
            assert result.code == 0, (door, result.err)
        assert len(out.read_text().splitlines()) == 51
        assert records_of(named).height == 50
        assert len(batonics.reconstruct(named)) == 2
        with run_replay(named) as replay:
            assert receive_all(replay).endswith(encode(adds(30, ts_recv=DAY_NS + NS_PER_DAY)))


def test_every_object_gives_what_its_bytes_give(tmp_path: Path) -> None:
    path = tmp_path / "day.dbn.zst"
    path.write_bytes(FIRST)
    expected = records_of(path)
    with path.open("rb") as opened, path.open("rb", buffering=0) as raw:
        for named in (FIRST, io.BytesIO(FIRST), opened, raw, _buffered(FIRST)):
            assert records_of(named).equals(expected), named
        assert opened.tell() == 0
        assert records_of(opened).equals(expected)  # an open file is read by itself, so again
    once = batonics.scan_mbo(_buffered(FIRST))  # type: ignore[arg-type]
    once.collect()
    with pytest.raises(InputError, match="has been read; an object is read once"):
        once.collect()


def test_objects_begin_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "behind-a-head.bin"
    path.write_bytes(b"head" + FIRST)
    expected = records_of(FIRST)
    held = io.BytesIO(b"head" + FIRST)
    held.read(4)
    assert records_of(held).equals(expected)
    with path.open("rb") as opened:
        opened.read(4)
        assert records_of(opened).equals(expected)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (io.StringIO("text"), "binary mode"),
        ("gs://bucket/day.dbn", "not a URL that is read; there are file, s3, http, https"),
        ("file://elsewhere/day.dbn", "on the machine elsewhere"),
        ("nothing/*.dbn", "no file has such a name"),
    ],
)
def test_what_is_no_input_is_refused(named: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        records_of(named)


def test_the_home_directory_has_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "day.dbn.zst").write_bytes(FIRST)
    assert records_of("~/day.dbn.zst").height == 20
    assert records_of("~/*.dbn.zst").height == 20


def test_a_name_with_marks_of_patterns_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "day[1].dbn.zst"
    path.write_bytes(FIRST)
    assert records_of(path).height == 20


def test_what_is_left_out_of_a_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "day.dbn.zst").write_bytes(FIRST)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "old").mkdir()
    with pytest.warns(DataWarning, match=r"left out, as no data files of it: notes.txt, old/$"):
        assert records_of(tmp_path).height == 20
    (tmp_path / "day.dbn.zst").unlink()
    with pytest.raises(InputError, match=r"has no data files; name its directories, such as .*old"):
        find_inputs(tmp_path)


# ------------------------------------------------------------------ what a download says


def test_symbols_come_from_the_download_where_a_file_has_none(tmp_path: Path) -> None:
    bare = compress(metadata({}) + encode(adds(20)))
    fragment = encode(adds(20))
    expected = records_of(FIRST)
    for name, data in {"a.dbn.zst": bare, "b.dbn.frag": fragment}.items():
        batch = write_batch(tmp_path / name, batch_files({name: data}))
        for named in (
            batch,
            batch / name,
            zip_batch(tmp_path / f"{name}.zip", batch_files({name: data})),
        ):
            found = records_of(named)
            assert found["symbol"].equals(expected["symbol"]), named
            assert batonics.scan_mbo(named, symbols="BBB").collect().height == 10
    document = orjson.loads(books_of(tmp_path / "a.dbn.zst"))
    assert [book["symbol"] for book in document["books"]] == ["AAA", "BBB"]


def test_symbols_that_differ_are_refused(tmp_path: Path) -> None:
    files = batch_files(DATA, symbols=symbology({"AAA": 1, "CCC": 2}))
    batch = write_batch(tmp_path / "job", files)
    with pytest.raises(InputError, match=r"instrument 2 is BBB, but CCC in .*job/symbology.json"):
        records_of(batch)


def test_doubtful_days_are_said_everywhere(tmp_path: Path) -> None:
    days = conditions(d20241003="missing", d20241004="available", d20241005="degraded")
    batch = write_batch(tmp_path / "job", batch_files(DATA, days))
    said = "degraded: 2024-10-05 is degraded: the vendor does not vouch"
    for door in (
        ("reconstruct", batch),
        ("convert", batch, "--schema", "mbp-1", "--out", tmp_path / "out.csv"),
        ("verify", batch),
        ("inspect", batch),
        ("lake", "load", batch, "--lake", tmp_path / "lake", "--schemas", "bbo-1m"),
        ("query", "SELECT count(*) AS n FROM mbo", "--from", batch),
        ("fill", batch, "--symbols", "AAA", "--side", "buy", "--price", "90", "--size", "1",
         "--at", DAY_NS + 10_000),
        ("reconstruct", batch / NAMES[1]),
    ):  # fmt: skip
        result = run_in_process(*map(str, door))
        assert result.code == 0, result.err
        assert said in result.err, door
    inspected = orjson.loads(run_in_process("inspect", str(batch), "--json").out)
    assert inspected["doubtful_days"] == [
        {"date": "2024-10-03", "condition": "missing"},
        {"date": "2024-10-05", "condition": "degraded"},
    ]
    document = orjson.loads(books_of(batch))
    assert all("degraded" in book["warnings"] for book in document["books"])
    early = orjson.loads(books_of(batch, "--at", str(DAY_NS + 10_000)))
    assert not any("degraded" in book["warnings"] for book in early["books"])


def test_intervals_of_doubtful_days_are_not_complete(tmp_path: Path) -> None:
    days = conditions(d20241004="available", d20241005="pending")
    hours = [
        record(Action.ADD, order_id=1 + hour, ts_recv=DAY_NS + hour * 3_600 * NS_PER_S)
        for hour in range(48)
    ]
    rows: dict[str, pl.DataFrame] = {}
    for name, condition in {"known": None, "doubtful": days}.items():
        files = batch_files({NAMES[0]: metadata() + encode(hours)}, condition)
        batch = write_batch(tmp_path / name, files)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            rows[name] = batonics.scan_mbo(batch).mbo.depth(1, every="1h").collect()  # type: ignore[attr-defined]
    day = pl.col("ts") > pl.lit(DAY_NS + NS_PER_DAY).cast(pl.Datetime("ns", "UTC"))
    for name, frame in rows.items():
        complete = frame.filter(day)["complete"]
        assert complete.any() is (name == "known"), name
    assert rows["doubtful"].filter(~day)["complete"].any()


def test_checksums_are_verified_on_request(batch: Path) -> None:
    assert run_in_process("inspect", str(batch), "--verify-manifest", "--quiet").code == 0
    assert batonics.scan_mbo(batch / NAMES[0], verify_manifest=True).collect().height == 20
    path = batch / NAMES[1]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # the checksum of the frame, which zstd would notice at the end only
    path.write_bytes(bytes(data))
    refused = run_in_process("reconstruct", str(batch), "--verify-manifest", "--out", "-")
    assert (refused.code, refused.out) == (3, b"")
    assert "SHA-256 is not that of" in error_line(refused, refused.code)
    with pytest.raises(InputError, match="download it again"):
        batonics.reconstruct(batch, verify_manifest=True)
    with pytest.raises(InputError, match="is in no manifest"):
        batonics.scan_mbo(FIRST, verify_manifest=True)


# ------------------------------------------------------------------ what is not whole


Spoil = Callable[[dict[str, bytes]], None]


def spoil_manifest(change: Callable[[dict[str, Any]], object]) -> Spoil:
    def spoil(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["manifest.json"])
        change(manifest)
        files["manifest.json"] = json.dumps(manifest).encode()

    return spoil


def named_in_manifest(name: str) -> Spoil:
    return spoil_manifest(lambda manifest: manifest["files"][3].update(filename=name))


SPOILT: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "a file is missing": (
        lambda files: files.pop(NAMES[1]),
        f"{NAMES[1]} of manifest.json is missing",
    ),
    "a file is cut": (
        lambda files: files.update({NAMES[0]: FIRST[:-5]}),
        f"{NAMES[0]}: has {len(FIRST) - 5:,} bytes, {len(FIRST):,} in manifest.json",
    ),
    "conditions are missing": (
        lambda files: files.pop("condition.json"),
        "condition.json of manifest.json is missing",
    ),
    "a file more": (lambda files: files.update({"x.dbn": FIRST}), "x.dbn: is not in manifest.json"),
    "no JSON": (lambda files: files.update({"manifest.json": b"{"}), "manifest.json: not as the"),
    "no list": (lambda files: files.update({"manifest.json": b"[]"}), "manifest.json: not as the"),
    "above": (named_in_manifest("../x.dbn"), "'../x.dbn' is no name of a file beside it"),
    "absolute": (named_in_manifest("/etc/passwd"), "'/etc/passwd' is no name of a file beside it"),
    "NUL": (named_in_manifest("a\0.dbn"), "is no name of a file beside it"),
    "long": (named_in_manifest("a" * 256), "is no name of a file beside it"),
    "empty": (named_in_manifest(""), "is no name of a file beside it"),
    "twice": (named_in_manifest(NAMES[1]), f"filename {NAMES[1]} is there twice"),
    "no digest": (
        spoil_manifest(lambda manifest: manifest["files"][3].update(hash="md5:0")),
        f"{NAMES[0]} has no size or no SHA-256",
    ),
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_download_that_is_not_whole_is_refused(how: str, zipped: bool, tmp_path: Path) -> None:
    spoil, reason = SPOILT[how]
    files = batch_files(DATA)
    spoil(files)
    make = zip_batch if zipped else write_batch
    made = make(tmp_path / ("job.zip" if zipped else "job"), files)
    out = tmp_path / "books.json"
    refused = run_in_process("reconstruct", str(made), "--out", str(out))
    assert refused.code == 3
    assert reason in error_line(refused, refused.code)
    assert not out.exists()


@pytest.mark.parametrize(
    ("document", "text", "reason"),
    [
        ("condition.json", b"{}", "expected a list of days"),
        ("condition.json", b'[{"date": "2024-13-01", "condition": "available"}]', "month"),
        ("condition.json", b'[{"date": "2024-10-04"}]', "no 'condition'"),
        ("symbology.json", b'{"result": {}}', "no 'stype_in'"),
        (
            "symbology.json",
            json.dumps(symbology({"A": "B"})).encode(),  # type: ignore[dict-item]
            "'B' is no instrument_id",
        ),
        ("metadata.json", b"[]", "not as the vendor writes it"),
    ],
)
def test_a_document_that_is_not_the_vendors_is_refused(
    document: str, text: bytes, reason: str, tmp_path: Path
) -> None:
    files = batch_files(DATA)
    del files["manifest.json"]
    files[document] = text
    batch = write_batch(tmp_path / "job", files)
    with pytest.raises(InputError, match=f"job/{document}: .*{reason}"):
        find_inputs(batch)


def test_documents_alone_are_no_data(batch: Path) -> None:
    with pytest.raises(
        InputError, match=r"manifest.json: is no data of a batch download; name its"
    ):
        find_inputs(batch / "manifest.json")


# ------------------------------------------------------------------ archives, lakes, checkpoints


def test_damaged_archives_are_one_line(tmp_path: Path) -> None:
    path = zip_batch(tmp_path / "day.zip", DATA)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(InputError, match="not a zip archive, or cut"):
        find_inputs(path)
    damaged = bytearray(whole)
    damaged[len(NAMES[0]) + 40] ^= 1
    path.write_bytes(bytes(damaged))
    refused = run_in_process("reconstruct", str(path), "--out", "-")
    assert (refused.code, refused.out) == (3, b"")
    assert f"day.zip/{NAMES[0]}" in error_line(refused, refused.code)
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(InputError, match="not a zip archive"):
        find_inputs(tmp_path / "text.zip")


def test_an_archive_is_never_replaced_by_an_output(tmp_path: Path) -> None:
    path = zip_batch(tmp_path / "day.zip", DATA)
    refused = run_in_process("reconstruct", str(path), "--out", str(path), "--format", "json")
    assert refused.code == 2
    assert "is an input" in error_line(refused, refused.code)


def test_a_lake_knows_members_of_archives(tmp_path: Path) -> None:
    archive, lake = zip_batch(tmp_path / "job.zip", batch_files(DATA)), tmp_path / "lake"
    load = ("lake", "load", str(archive), "--lake", str(lake), "--schemas", "trades,bbo")
    assert run_in_process(*load).code == 0
    again = run_in_process(*load)
    assert again.code == 0
    assert again.err.count("is in the lake already") == 2
    with pytest.raises(UsageError, match="expected a path"):
        batonics.load_lake([FIRST], lake)  # type: ignore[list-item]


def test_a_checkpoint_needs_an_input_that_comes_again(tmp_path: Path) -> None:
    archive = zip_batch(tmp_path / "job.zip", batch_files(DATA))
    done = run_in_process(
        "reconstruct", str(archive), "--checkpoint", str(tmp_path / "c"), "--out", "-", "--quiet"
    )
    assert done.code == 0
    assert done.out == books_of(archive)


def test_nothing_that_was_opened_for_an_input_stays_open(tmp_path: Path) -> None:
    path = zip_batch(tmp_path / "job.zip", batch_files(DATA))
    before = len(list_names(Path("/proc/self/fd")))
    assert records_of(path).height == 50
    gc.collect()
    assert len(list_names(Path("/proc/self/fd"))) <= before


def _buffered(data: bytes) -> io.BufferedReader:
    return io.BufferedReader(_Slow(data))  # type: ignore[arg-type]


class _Slow(io.RawIOBase):
    """Gives a few bytes at a time, and cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = self._data[self._at : self._at + min(100, len(buffer))]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
