"""The unpacker: every form, however it is cut, and what it refuses."""

from __future__ import annotations

import gzip

import pytest
from backports import zstd

from batonics.codec.framing import HEAD_BYTES_MAX, Framing
from batonics.codec.unpacking import Unpacker
from batonics.model.errors import DamagedInputError, InputError

NDJSON = b'{"type":"clear","symbol":"X"}\n'
FRAGMENT = bytes([14, 0xA0]) + bytes(54)
SKIPPABLE = b"\x50\x2a\x4d\x18\3\0\0\0abc"
FORMS = {
    "ndjson": (NDJSON, NDJSON, Framing.NDJSON, False),
    "spaces": (b" \n\t" * 50 + NDJSON, b" \n\t" * 50 + NDJSON, Framing.NDJSON, False),
    "fragment": (FRAGMENT, FRAGMENT, Framing.FRAGMENT, False),
    "zstd": (zstd.compress(FRAGMENT), FRAGMENT, Framing.FRAGMENT, True),
    "gzip": (gzip.compress(NDJSON, mtime=0), NDJSON, Framing.NDJSON, True),
    "members": (
        gzip.compress(NDJSON[:1], mtime=0)
        + gzip.compress(b"", mtime=0)
        + gzip.compress(NDJSON[1:], mtime=0),
        NDJSON,
        Framing.NDJSON,
        True,
    ),
    "frames": (
        zstd.compress(NDJSON[:1]) + SKIPPABLE + zstd.compress(b"") + zstd.compress(NDJSON[1:]),
        NDJSON,
        Framing.NDJSON,
        True,
    ),
}


def unpack(data: bytes, chunk_bytes: int) -> tuple[bytes, Framing | None, bool | None]:
    unpacker = Unpacker("x")
    plain = b""
    for start in range(0, len(data), chunk_bytes):
        for piece in unpacker.feed(data[start : start + chunk_bytes]):
            assert unpacker.framing is not None
            plain += piece
    unpacker.close()
    return plain, unpacker.framing, unpacker.is_compressed


@pytest.mark.parametrize("chunk_bytes", [1, 3, 57, 1 << 20])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_detected_and_unpacked_however_it_is_cut(form: str, chunk_bytes: int) -> None:
    data, *expected = FORMS[form]
    assert unpack(data, chunk_bytes) == tuple(expected)


def test_the_form_of_the_input_is_known_before_anything_is_inflated() -> None:
    unpacker = Unpacker()
    pieces = unpacker.feed(zstd.compress(NDJSON))
    assert (unpacker.is_compressed, unpacker.framing) == (True, None)
    assert list(pieces) == [NDJSON]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the input is empty"),
        (b"  ", "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER"),
        (zstd.compress(b""), "the input is empty"),
        (zstd.compress(b"PK\x03\x04    "), "a zip archive"),
        (zstd.compress(zstd.compress(NDJSON)), "x: zstd within zstd; unpack it first"),
    ],
)
def test_an_input_of_no_form_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        unpack(data, 1 << 30)


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 1 << 20])
@pytest.mark.parametrize("compress", [False, True])
def test_blanks_before_the_first_record_are_bounded_however_they_are_cut(
    chunk_bytes: int, *, compress: bool
) -> None:
    few, many = (b" " * blanks + NDJSON for blanks in (HEAD_BYTES_MAX - 1, HEAD_BYTES_MAX))
    if compress:
        few, many = zstd.compress(few), zstd.compress(many)
    assert unpack(few, chunk_bytes)[1] is Framing.NDJSON
    with pytest.raises(InputError, match=f"{HEAD_BYTES_MAX} bytes of white space come first"):
        unpack(many, chunk_bytes)


def test_an_input_without_plain_bytes_may_be_accepted() -> None:
    for data in (b"", zstd.compress(b"")):
        unpacker = Unpacker()
        list(unpacker.feed(data))
        unpacker.close(may_be_empty=True)


def test_a_cut_frame_is_damage() -> None:
    with pytest.raises(DamagedInputError, match="within the zstd frame that starts at byte 0"):
        unpack(zstd.compress(NDJSON)[:-1], 1 << 20)
