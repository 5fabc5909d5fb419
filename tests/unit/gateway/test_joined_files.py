"""Files behind each other in a feed: their records pass, their metadata becomes names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import batonics
from batonics.codec.metadata import DatedSymbol, Metadata, SymbolMapping, encode_metadata
from batonics.gateway.dbn_feed import DbnFeed
from batonics.gateway.joined_files import JoinedFiles
from batonics.model.errors import InputError, UsageError
from tests.support.dbn_files import DAY_NS, adds, encode, metadata

HEAD = metadata()
FIRST, SECOND = encode(adds(6)), encode(adds(6, ts_recv=DAY_NS + 1_000_000))


def sent(path: Path, *, indexed: bool, in_this_order: bool = False) -> bytes:
    feed = DbnFeed([str(path)], in_this_order=in_this_order)
    return b"".join(bytes(piece.data) for piece in feed.pieces(None, indexed=indexed))


@pytest.mark.parametrize("size", [1, 2, 7, 55, 57, 400, 10_000])
def test_records_pass_without_the_metadata_between_them_however_they_are_cut(size: int) -> None:
    data = FIRST + HEAD + SECOND + HEAD + HEAD + SECOND
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    joined = JoinedFiles("x", HEAD, in_this_order=True)
    assert b"".join(map(bytes, joined.records(chunks))) == FIRST + SECOND + SECOND


@pytest.mark.parametrize("indexed", [False, True])
def test_names_of_a_later_file_are_records(indexed: bool, tmp_path: Path) -> None:
    path, received = tmp_path / "joined.dbn", tmp_path / "received.dbn"
    names = {"AAA": 1, "BBB": 2, "CCC": 3}
    rows = [row._replace(instrument_id=3) for row in adds(2, ts_recv=DAY_NS + 1_000_000)]
    path.write_bytes(HEAD + FIRST + metadata(names) + encode(rows))
    received.write_bytes(HEAD + sent(path, indexed=indexed))
    symbols = batonics.scan_mbo(received).collect()["symbol"].to_list()
    assert symbols == ["AAA", "BBB"] * 3 + ["CCC"] * 2


@pytest.mark.parametrize("indexed", [False, True])
def test_a_file_that_cannot_follow_is_refused(indexed: bool, tmp_path: Path) -> None:
    path = tmp_path / "joined.dbn"
    path.write_bytes(HEAD + SECOND + HEAD + FIRST)
    early = f"{path}, file 2: begins at 2024-10-04T00:00:00.000000000Z, before the file ahead"
    with pytest.raises(UsageError, match=early):
        sent(path, indexed=indexed)
    assert sent(path, indexed=indexed, in_this_order=True) == SECOND + FIRST
    path.write_bytes(HEAD + FIRST + encode_metadata(Metadata(version=2)) + SECOND)
    with pytest.raises(InputError, match="file 2: begins behind a file of another DBN version"):
        sent(path, indexed=indexed)
    path.write_bytes(HEAD + FIRST + HEAD[:-1])
    with pytest.raises(InputError, match="file 2: ends within its metadata"):
        sent(path, indexed=indexed)
    mapping = SymbolMapping("Z", (DatedSymbol(20240101, 20250101, "9"),))
    first = Metadata(version=1, symbol_cstr_len=22)
    second = replace(first, mappings=(mapping,))
    path.write_bytes(encode_metadata(first) + FIRST + encode_metadata(second) + SECOND)
    with pytest.raises(InputError, match="has names of its own, for which the feed has no record"):
        sent(path, indexed=indexed)


SEAM_NS = DAY_NS + 5_000_000
BEFORE, AT, OTHER, AFTER = (
    encode([adds(1, ts_recv=ns)[0]._replace(order_id=order_id)])
    for order_id, ns in enumerate((SEAM_NS - 1, SEAM_NS, SEAM_NS, SEAM_NS + 1), 1)
)


@pytest.mark.parametrize("size", [1, 7, 56, 57, 400, 10_000])
@pytest.mark.parametrize(
    ("files", "is_refused"),
    [
        ([BEFORE + AT, AT + AFTER], True),
        ([AT + OTHER, AT + AFTER], True),
        ([BEFORE + AT, OTHER + AT], True),
        ([BEFORE + AT, OTHER, AT], True),
        ([BEFORE + AT, OTHER + AFTER], False),
        ([AT, OTHER, AFTER + AT], False),  # within a file records may repeat
        ([BEFORE, AT, AFTER], False),
    ],
)
def test_a_record_that_the_file_ahead_ends_with_is_refused_however_it_is_cut(
    size: int, files: list[bytes], is_refused: bool
) -> None:
    data, records = HEAD.join(files), b"".join(files)
    for in_this_order in (False, True):
        chunks = (data[at : at + size] for at in range(0, len(data), size))
        joined = JoinedFiles("x", HEAD, in_this_order=in_this_order).records(chunks)
        if is_refused and not in_this_order:
            with pytest.raises(UsageError, match=r"x, file \d: begins with a record that the file"):
                list(joined)
        else:
            assert b"".join(map(bytes, joined)) == records


def test_damage_passes_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "damaged.dbn"
    bad = FIRST[:56] + bytes(4) + FIRST[60:]
    path.write_bytes(HEAD + bad)
    assert sent(path, indexed=False) == bad
