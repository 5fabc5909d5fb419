"""Every form of stream is detected by its first bytes; everything else is refused in words."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from backports import zstd

from batonics.codec.dbn import encode_records
from batonics.codec.framing import Framing, detect_framing
from batonics.model.errors import InputError
from tests.support.decoder_runs import METADATA, mbo_rows

DETECT_BYTES = 16
"""So many first bytes suffice to detect each of these forms."""
RECORD = encode_records(mbo_rows(1))
STREAMS = [
    (METADATA, Framing.DBN),
    (RECORD, Framing.FRAGMENT),
    ((56).to_bytes(4, "little") + RECORD, Framing.LENGTH_PREFIXED),
    ((176).to_bytes(4, "little") + b"\x2c\x16" + bytes(174), Framing.LENGTH_PREFIXED),
    (b'{"type":"clear","symbol":"X"}\n', Framing.NDJSON),
    (b' \t\r\n{"type":"clear","symbol":"X"}\n', Framing.NDJSON),
    (b'{"hd":{"ts_event":"1"},"action":"A"}\n', Framing.JSON_RECORDS),
    (b'[\n{"ts_recv":1,"side":"A"},\n', Framing.JSON_RECORDS),
    (b"PAR1\x15\x04\x15\x10", Framing.PARQUET),
    (b"ARROW1\0\0\xff\xff\xff\xff", Framing.ARROW),
    (b"\xff\xff\xff\xff\x08\x01\0\0", Framing.ARROW_STREAM),
    (b"\x00\x0cS\x00\x00\x00\x00\x00", Framing.ITCH),
    (gzip.compress(METADATA, mtime=0), Framing.GZIP),
    (zstd.compress(METADATA), Framing.ZSTD),
    (bytes.fromhex("502a4d18") + bytes(4) + zstd.compress(METADATA), Framing.ZSTD),
    (bytes.fromhex("5f2a4d18") + (4).to_bytes(4, "little") + b"note", Framing.ZSTD),
]


@pytest.mark.parametrize(("stream", "framing"), STREAMS)
def test_a_form_is_never_detected_wrongly_from_fewer_bytes(stream: bytes, framing: Framing) -> None:
    for length in range(len(stream[: 2 * DETECT_BYTES])):
        assert detect_framing(stream[:length]) in (None, framing), length
    assert detect_framing(stream[:DETECT_BYTES]) is framing
    assert detect_framing(stream, complete=True) is framing


LINES = [
    (b"ts_recv,ts_event,rtype,price\n", Framing.CSV),
    (b'"price";"size"\r\n', Framing.CSV),
    (b",ts_event,order_id,symbol\n", Framing.CSV),
    (b'{"symbol":"hd\\":{","side":"bid","type":"add","oid":1}\n', Framing.NDJSON),
    (b'{"symbol":"X","side":"A","ts_recv":"type"}\n', Framing.JSON_RECORDS),
    (b'{"symbol":"X"}\n', Framing.NDJSON),
    (b"34200.16334803,4,15080205,7,31163800,-1\n", Framing.LOBSTER),
    (b"34200,6,-1,7,31163800,1,null\r\n", Framing.LOBSTER),
]


@pytest.mark.parametrize(("line", "framing"), LINES)
def test_a_form_of_text_is_detected_by_the_names_in_its_first_line(
    line: bytes, framing: Framing
) -> None:
    for length in range(1, len(line)):
        assert detect_framing(line[:length]) in (None, framing), length
    assert detect_framing(line) is framing


def test_real_files_are_detected(test_data: Path) -> None:
    for path in sorted(test_data.rglob("*.dbn*")):
        expected = Framing.ZSTD if path.suffix == ".zst" else Framing.DBN
        assert detect_framing(path.read_bytes()[:DETECT_BYTES]) is expected, path.name


def test_the_format_before_dbn_is_refused_with_advice(test_data: Path) -> None:
    data = (test_data / "dbn-versions" / "test_data.mbo.dbz").read_bytes()
    with pytest.raises(InputError, match=r"^a\.dbz: DBZ, .* download it again as DBN$"):
        detect_framing(data[:DETECT_BYTES], source="a.dbz")


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"", "the input is empty"),
        (b"PK\x03\x04\x14\x00", "this is a zip archive; give it as a file, or unpack it"),
        (b"FEA1\x00\x00", "this is Feather version 1; write version 2"),
        (
            b"name,age\nx,1\n",
            "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER: it starts with 6e 61 6d 65",
        ),
        (
            b"1,2,3\n",
            "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER: it starts with 31 2c 32",
        ),
        (b"D", "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER: it starts with 44"),
        (b"  \n", "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER: it starts with 20 20 0a"),
        (
            b"[1, 2]",
            (
                "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER: "
                "it starts with 5b 31 2c 20 32 5d"
            ),
        ),
        (
            b"\x5a\x2a\x4d\x18\x04\x00",
            "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER: it starts with 5a 2a 4d 18",
        ),
        (
            b"\x3c\x00\x00\x00\x0e\xa0",
            "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER: it starts with 3c 00 00 00",
        ),
        (b'\xef\xbb\xbf{"type"', "this is text in UTF-8 with a byte order mark; save it as UTF-8"),
        (b"\xff\xfe{\0", "this is text in UTF-16; save it as UTF-8 without a byte order mark"),
        (b"\xfe\xff\0{", "this is text in UTF-16"),
        (b'{\0"\0', "this is text in UTF-16"),
        (b'\0{\0"', "this is text in UTF-16"),
        (b"\xff\xfe\0\0", "this is text in UTF-32"),
        (
            bytes(16),
            (
                "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER: "
                "it starts with 00 00 00 00 00 00 00 00"
            ),
        ),
        (
            b"\x38\x00\x00\x00\x0e\xa1",
            "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER: it starts with 38 00 00 00",
        ),
    ],
)
def test_anything_else_is_refused_in_words(first: bytes, words: str) -> None:
    with pytest.raises(InputError) as caught:
        detect_framing(first, complete=True, source="x")
    assert str(caught.value).startswith(f"x: {words}")
