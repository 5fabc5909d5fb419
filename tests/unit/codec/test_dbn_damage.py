"""Damaged DBN: each kind is found at its offset and index, and skipped only where that is safe."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.codec.dbn import DbnDecoder, encode_records
from batonics.codec.framing import LengthPrefixedDecoder
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.model.errors import DamagedInputError, InputError
from tests.support.decoder_runs import METADATA, decode_every_way, decode_in_chunks, mbo_rows

ROWS = encode_records(mbo_rows(10))
START = len(METADATA)

# Byte of the record, its damaged value, the words, and whether it may be skipped.
DAMAGES = [
    (0, 0, "length byte is 0, expected 14 for rtype 0xa0 in DBN version 3", False),
    (0, 13, "length byte is 13, expected 14 for rtype 0xa0 in DBN version 3", False),
    (0, 255, "length byte is 255, expected 14 for rtype 0xa0 in DBN version 3", False),
    (1, 0xA1, "rtype is 0xa1, which DBN version 3 does not have", True),
    (1, 0x00, "length byte is 14, expected 12 for rtype 0x00 in DBN version 3", False),
    (38, 0, "action is 0x00, expected one of A C M R T F N", True),
    (38, ord("B"), "action is 0x42, expected one of A C M R T F N", True),
    (38, ord("m"), "action is 0x6d, expected one of A C M R T F N", True),
    (39, 0, "side is 0x00, expected one of B A N", True),
    (39, ord("C"), "side is 0x43, expected one of B A N", True),
]


def damaged(record: int, byte: int, value: int) -> bytes:
    rows = bytearray(ROWS)
    rows[56 * record + byte] = value
    return bytes(rows)


@pytest.mark.parametrize("record", [0, 4, 9])
@pytest.mark.parametrize(("byte", "value", "reason"), [damage[:3] for damage in DAMAGES])
def test_a_bad_record_is_named_after_the_rows_before_it(
    record: int, byte: int, value: int, reason: str
) -> None:
    data = METADATA + damaged(record, byte, value)
    outcome = decode_every_way(lambda: DbnDecoder(source="x.dbn"), data)
    assert isinstance(outcome.error, DamagedInputError)
    assert outcome.error.reason == reason
    assert outcome.error.byte_offset == START + 56 * record
    assert outcome.error.record_index == record
    assert str(outcome.error).startswith(f"x.dbn: byte {START + 56 * record}, record {record}: ")
    assert outcome.rows == ROWS[: 56 * record]
    # The same damage in a fragment; a first header that is none is no fragment at all.
    if record > 0:
        fragment = decode_every_way(DbnDecoder, data[START:])
        assert isinstance(fragment.error, DamagedInputError)
        assert fragment.error.byte_offset == 56 * record


@pytest.mark.parametrize("record", [0, 4, 9])
@pytest.mark.parametrize(("byte", "value", "reason", "skippable"), DAMAGES)
def test_a_bad_record_is_skipped_only_if_its_length_is_beyond_doubt(
    record: int, byte: int, value: int, reason: str, skippable: bool
) -> None:
    data = METADATA + damaged(record, byte, value)
    outcome = decode_every_way(partial(DbnDecoder, skip_bad=True), data)
    if skippable:
        assert outcome.error is None
        assert outcome.rows == ROWS[: 56 * record] + ROWS[56 * (record + 1) :]
        assert (outcome.records, outcome.row_count, outcome.skipped) == (10, 9, 1)
        assert outcome.byte_offset == len(data)
    else:
        assert isinstance(outcome.error, DamagedInputError)
        assert (outcome.error.reason, outcome.error.record_index) == (reason, record)


def test_many_bad_records_are_each_counted() -> None:
    rows = bytearray(ROWS * 50)
    rows[38::112] = bytes(250)
    outcome = decode_every_way(partial(DbnDecoder, skip_bad=True), METADATA + bytes(rows))
    assert (outcome.error, outcome.skipped, outcome.row_count) == (None, 250, 250)


@pytest.mark.parametrize("words", [4, 5, 100, 255])
def test_an_unknown_rtype_is_skipped_by_its_own_length(words: int) -> None:
    unknown = bytes([words, 0xEE]) + bytes(4 * words - 2)
    data = METADATA + ROWS[:56] + unknown + ROWS[56:]
    outcome = decode_every_way(partial(DbnDecoder, skip_bad=True), data)
    assert (outcome.error, outcome.rows, outcome.skipped) == (None, ROWS, 1)


@pytest.mark.parametrize("words", [0, 1, 3])
def test_an_unknown_rtype_shorter_than_a_header_is_refused(words: int) -> None:
    data = METADATA + bytes([words, 0xEE]) + ROWS
    outcome = decode_every_way(partial(DbnDecoder, skip_bad=True), data)
    assert isinstance(outcome.error, DamagedInputError)


def test_lengths_are_those_of_the_streams_own_version() -> None:
    definition_v1 = bytes([90, 0x13]) + bytes(358)
    old = encode_metadata(Metadata(version=1, symbol_cstr_len=22))
    assert decode_every_way(DbnDecoder, old + definition_v1).error is None
    outcome = decode_every_way(DbnDecoder, METADATA + definition_v1)
    assert isinstance(outcome.error, DamagedInputError)
    assert outcome.error.reason == (
        "length byte is 90, expected 130 for rtype 0x13 in DBN version 3"
    )


def test_a_length_prefix_that_contradicts_its_record_is_refused() -> None:
    good = (56).to_bytes(4, "little") + ROWS[:56]
    bad = (60).to_bytes(4, "little") + ROWS[56:112]
    for skip_bad in (False, True):
        outcome = decode_every_way(
            partial(LengthPrefixedDecoder, skip_bad=skip_bad), good + bad + good
        )
        assert isinstance(outcome.error, DamagedInputError)
        assert str(outcome.error) == (
            "byte 60, record 1: length prefix is 60, expected 56, the length of the record"
        )
        assert outcome.rows == ROWS[:56]


def test_a_bad_length_prefixed_record_is_skipped() -> None:
    bad = bytearray((56).to_bytes(4, "little") + ROWS[:56])
    bad[4 + 38] = 0
    good = (56).to_bytes(4, "little") + ROWS[:56]
    outcome = decode_every_way(
        partial(LengthPrefixedDecoder, skip_bad=True), good + bytes(bad) + good
    )
    assert (outcome.error, outcome.skipped, outcome.rows) == (None, 1, ROWS[:56] * 2)


def test_metadata_that_claims_too_much_is_refused_before_it_is_gathered() -> None:
    data = b"DBN\x03" + (2**32 - 1).to_bytes(4, "little") + bytes(100)
    outcome = decode_every_way(DbnDecoder, data)
    assert str(outcome.error) == (
        "byte 4: metadata claims 4294967303 bytes, more than the 67108864 that the setting"
        " input.metadata_bytes_max allows"
    )
    # A file of a known size says more: it ends there.
    whole = partial(DbnDecoder, file_bytes=len(data), metadata_bytes_max=8)
    assert str(decode_every_way(whole, data).error) == (
        "byte 108: the stream ends after 108 bytes, within its metadata of 4294967303 bytes"
    )


def test_metadata_may_be_as_long_as_its_file() -> None:
    data = METADATA + ROWS
    outcome = decode_every_way(partial(DbnDecoder, metadata_bytes_max=8), data)
    assert str(outcome.error).startswith(f"byte 4: metadata claims {len(METADATA)} bytes, more")
    whole = partial(DbnDecoder, file_bytes=len(data), metadata_bytes_max=8)
    assert decode_every_way(whole, data).error is None


def test_a_file_behind_another_is_read_on() -> None:
    small = encode_metadata(Metadata())  # shorter than the longest record
    for second in (METADATA, small):
        data = METADATA + ROWS + second + ROWS
        outcome = decode_every_way(DbnDecoder, data)
        assert (outcome.error, outcome.rows) == (None, ROWS * 2)
        cut = decode_every_way(DbnDecoder, data[: len(METADATA + ROWS) + 60])
        assert str(cut.error) == (
            f"byte {len(METADATA + ROWS) + 60}: the stream ends after 60 bytes, within its metadata"
        )
    # A record of that rtype does not exist: only the third letter decides.
    bad = decode_every_way(DbnDecoder, METADATA + ROWS + b"DBx" + bytes(300))
    assert str(bad.error).endswith("rtype is 0x42, which DBN version 3 does not have")


def test_the_metadata_of_each_file_comes_before_its_records() -> None:
    first, second = (encode_metadata(Metadata(dataset=name)) for name in ("A", "B"))
    for size in (1, 7, 56, 1 << 20):
        decoder, seen = DbnDecoder(), []
        data = first + second + ROWS[:56] + first + ROWS[:56]
        for start in range(0, len(data), size):
            for batch in decoder.feed(data[start : start + size]):
                assert decoder.metadata is not None
                seen += [(decoder.files, decoder.metadata.dataset)] * (1 + len(batch.action))
        assert list(dict.fromkeys(seen)) == [(1, "A"), (2, "B"), (3, "A")]


@pytest.mark.parametrize(
    "first", [b"x", b"DBX12345", b"\x0e", b"\x0e\xa1", b"PAR1", b"DB", b"\x00"]
)
def test_what_is_not_dbn_is_refused_in_words(first: bytes) -> None:
    outcome = decode_every_way(DbnDecoder, first)
    assert isinstance(outcome.error, InputError)
    assert "\n" not in str(outcome.error)


def test_nothing_at_all_is_refused() -> None:
    outcome = decode_every_way(lambda: DbnDecoder(source="x.dbn"), b"")
    assert type(outcome.error) is InputError
    assert str(outcome.error) == "x.dbn: the input is empty"


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=4),
    st.booleans(),
)
def test_any_damage_is_an_error_in_words_or_a_count(
    damages: list[tuple[int, int]], skip_bad: bool
) -> None:
    mapping = bytes([44, 0x16]) + bytes(174)
    data = bytearray(METADATA + ROWS + mapping + ROWS)
    for at, mask in damages:
        data[at % len(data)] ^= mask
    outcome = decode_every_way(partial(DbnDecoder, skip_bad=skip_bad), bytes(data))
    assert outcome.error is None or isinstance(outcome.error, InputError)
    assert outcome.records == outcome.row_count + len(outcome.other_records) + outcome.skipped
    assert len(outcome.rows) == 56 * outcome.row_count
    if outcome.error is None:
        assert outcome.byte_offset == len(data)


def test_every_flipped_header_byte_of_a_real_file_is_refused(test_data: Path) -> None:
    data = (test_data / "clx5" / "CLX5_mbo.dbn").read_bytes()[: 360 + 56 * 40]
    for offset in range(360, len(data), 56):
        for byte in (0, 1, 38, 39):
            copy = bytearray(data)
            copy[offset + byte] ^= 0xFF
            outcome = decode_in_chunks(DbnDecoder(), bytes(copy), 1000)
            assert isinstance(outcome.error, DamagedInputError)
            assert outcome.error.byte_offset == offset
            assert outcome.error.record_index == (offset - 360) // 56
