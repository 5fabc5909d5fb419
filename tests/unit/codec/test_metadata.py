"""Metadata against the vendor's library, and every field of it damaged."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace

import databento_dbn
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from batonics.codec.metadata import (
    SCHEMA_NAMES,
    DatedSymbol,
    Metadata,
    SymbolMapping,
    encode_metadata,
    parse_metadata,
    parse_prefix,
    schema_name,
    symbol_intervals,
)
from batonics.model.errors import DamagedInputError, UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.symbols import MappingInterval

ESH4 = Metadata(
    dataset="GLBX.MDP3",
    start=1,
    end=2,
    symbols=("ESH4", "ESM4"),
    partial=("ESM4",),
    mappings=(
        SymbolMapping("ESH4", (DatedSymbol(20231224, 20231225, "17077"),)),
        SymbolMapping(
            "ESM4",
            (DatedSymbol(20231224, 20231225, ""), DatedSymbol(20231225, 20231226, "5602")),
        ),
    ),
)
DAY_NS = 86_400 * 10**9
DAY_20231224_NS = 1_703_376_000 * 10**9

symbol_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=21)
dates = st.dates(dt.date(1970, 1, 1)).map(lambda day: int(f"{day:%Y}{day:%m}{day:%d}"))
intervals = st.builds(
    lambda one, other, symbol: DatedSymbol(min(one, other), max(one, other), symbol),
    dates,
    dates,
    st.one_of(st.just(""), st.integers(0, 2**32 - 1).map(str)),
)
metadatas = st.builds(
    Metadata,
    version=st.sampled_from([1, 2, 3]),
    dataset=st.sampled_from(["", "GLBX.MDP3", "XNAS.ITCH"]),
    schema=st.one_of(st.none(), st.integers(0, len(SCHEMA_NAMES) - 1)),
    start=st.integers(0, 2**64 - 1),
    end=st.one_of(st.none(), st.integers(1, 2**64 - 2)),
    limit=st.one_of(st.none(), st.integers(1, 2**64 - 1)),
    stype_in=st.one_of(st.none(), st.integers(1, 15)),
    ts_out=st.booleans(),
    symbols=st.lists(symbol_texts, max_size=3).map(tuple),
    partial=st.lists(symbol_texts, max_size=3).map(tuple),
    not_found=st.lists(symbol_texts, max_size=3).map(tuple),
    mappings=st.lists(
        st.builds(SymbolMapping, symbol_texts, st.lists(intervals, max_size=3).map(tuple)),
        max_size=3,
        unique_by=lambda mapping: mapping.raw_symbol,
    ).map(tuple),
).map(
    lambda metadata: (
        metadata
        if metadata.version > 1
        else Metadata(
            **{name: getattr(metadata, name) for name in Metadata.__slots__}
            | {"symbol_cstr_len": 22}
        )
    )
)


def as_vendor(metadata: Metadata) -> databento_dbn.Metadata:
    stypes = list(databento_dbn.SType.variants())
    return databento_dbn.Metadata(
        dataset=metadata.dataset,
        start=metadata.start,
        stype_in=None if metadata.stype_in is None else stypes[metadata.stype_in],
        stype_out=stypes[metadata.stype_out],
        schema=None
        if metadata.schema is None
        else databento_dbn.Schema.from_str(schema_name(metadata.schema)),
        symbols=list(metadata.symbols),
        partial=list(metadata.partial),
        not_found=list(metadata.not_found),
        mappings=[
            SimpleNamespace(
                raw_symbol=mapping.raw_symbol,
                intervals=[
                    SimpleNamespace(
                        start_date=as_date(interval.start_date),
                        end_date=as_date(interval.end_date),
                        symbol=interval.symbol,
                    )
                    for interval in mapping.intervals
                ],
            )
            for mapping in metadata.mappings
        ],
        end=metadata.end,
        limit=metadata.limit,
        ts_out=metadata.ts_out,
        version=metadata.version,
    )


def as_date(yyyymmdd: int) -> dt.date:
    return dt.date(yyyymmdd // 10_000, yyyymmdd // 100 % 100, yyyymmdd % 100)


@given(metadatas)
def test_is_written_as_the_vendor_writes_it_and_read_back(metadata: Metadata) -> None:
    encoded = encode_metadata(metadata)
    assert encoded == bytes(as_vendor(metadata))
    assert parse_metadata(encoded) == metadata
    assert parse_prefix(encoded[:8]) == len(encoded)


def test_every_real_metadata_is_read_and_written_back(test_data: Path) -> None:
    paths = sorted(test_data.rglob("*.dbn*"))
    assert len(paths) > 40
    for path in paths:
        data = path.read_bytes()
        if path.suffix == ".zst":
            data = zstd.decompress(data)
        encoded = data[: parse_prefix(data[:8])]
        assert encode_metadata(parse_metadata(encoded)) == encoded, path.name


def test_schema_numbers_are_the_vendors() -> None:
    for number, schema in enumerate(databento_dbn.Schema.variants()):
        vendor = bytes(as_vendor(Metadata(schema=number)))
        assert (schema_name(number), vendor[24]) == (str(schema), number)
    assert schema_name(None) == "mixed"
    assert schema_name(300) == "schema 300"


def test_names_of_instruments_come_from_dated_mappings() -> None:
    assert list(symbol_intervals(ESH4)) == [
        MappingInterval(DAY_20231224_NS, DAY_20231224_NS + DAY_NS, 17077, "ESH4"),
        MappingInterval(DAY_20231224_NS + DAY_NS, DAY_20231224_NS + 2 * DAY_NS, 5602, "ESM4"),
    ]


def test_names_of_instruments_come_from_the_inverse_mapping_too() -> None:
    inverse = Metadata(
        stype_in=0,
        stype_out=1,
        mappings=(SymbolMapping("17077", (DatedSymbol(20231224, 99991231, "ESH4"),)),),
    )
    assert list(symbol_intervals(parse_metadata(encode_metadata(inverse)))) == [
        MappingInterval(DAY_20231224_NS, UNDEF_TIMESTAMP - 1, 17077, "ESH4")
    ]


def test_mappings_without_instrument_ids_name_nothing() -> None:
    mappings = (SymbolMapping("ES.c.0", (DatedSymbol(20231224, 20231225, "ESH4"),)),)
    assert list(symbol_intervals(Metadata(stype_in=3, stype_out=1, mappings=mappings))) == []


# Offsets in the encoding of ESH4: 8 bytes of prefix, 100 fixed, then the counts and symbols.
SYMBOLS = 8 + 100 + 4
MAPPINGS = SYMBOLS + (4 + 2 * 71) + (4 + 71) + 4


@pytest.mark.parametrize(
    ("offset", "patch", "reason", "at"),
    [
        (0, b"DBZ", "found b'DBZ', expected b'DBN'", 0),
        (3, b"\x00", "DBN version is 0, expected 1 to 3", 3),
        (3, b"\x04", "DBN version is 4, expected 1 to 3", 3),
        (4, b"\xff\xff\xff\xff", "metadata of 4294967303 bytes, but 728 are there", 4),
        (8, b"\xff", "text is not UTF-8 (invalid start byte)", 8),
        (8, b"A" * 16, "text field of 16 bytes is not closed by NUL", 8),
        (8 + 10, b"x", "text field of 16 bytes is not closed by NUL", 8),
        (8 + 44, b"\x02", "ts_out is 2, expected 0 or 1", 52),
        (8 + 45, b"\x00\x00", "symbol length is 0, expected 2 or more", 53),
        (SYMBOLS - 4, b"\x01", "schema definition of 1 bytes, expected none", SYMBOLS - 4),
        (
            SYMBOLS,
            b"\xff\xff\xff\xff",
            "count is 4294967295, but the 612 bytes left hold 8",
            SYMBOLS,
        ),
        (SYMBOLS + 4 + 71, b"\x80", "text is not UTF-8 (invalid start byte)", SYMBOLS + 4 + 71),
        (MAPPINGS, b"\x07", "count is 7, but the 387 bytes left hold 5", MAPPINGS),
        (MAPPINGS, b"\x03", None, None),
        (MAPPINGS + 4 + 71, b"\x09", "count is 9, but the 312 bytes left hold 3", MAPPINGS + 75),
        (MAPPINGS + 79, b"\x00\x00\x00\x00", "date is 0 (year 0 is out of range)", MAPPINGS + 79),
        (MAPPINGS + 83, b"\x00\x00\x00\x00", "date is 0 (year 0 is out of range)", MAPPINGS + 83),
        (
            MAPPINGS + 83,
            (20231223).to_bytes(4, "little"),
            "mapping ends at 20231223, before it starts at 20231224",
            MAPPINGS + 83,
        ),
        (MAPPINGS + 87, b"x", "symbol is 'x7077', expected an instrument_id", MAPPINGS + 87),
        (MAPPINGS + 87, b"99999999999", None, None),
        (728 - 1, b"\x01", None, None),
    ],
)
def test_damage_is_found_where_it_is(
    offset: int, patch: bytes, reason: str | None, at: int | None
) -> None:
    encoded = bytearray(encode_metadata(ESH4))
    assert len(encoded) == 728
    encoded[offset : offset + len(patch)] = patch
    with pytest.raises(DamagedInputError) as caught:
        parse_metadata(bytes(encoded), "x.dbn")
    assert caught.value.source == "x.dbn"
    if reason is not None:
        assert (caught.value.reason, caught.value.byte_offset) == (reason, at)


def error_of(encoded: bytes) -> DamagedInputError | None:
    try:
        parse_metadata(encoded)
    except DamagedInputError as error:
        return error
    return None


def test_every_flipped_byte_is_read_or_named() -> None:
    encoded = encode_metadata(ESH4)
    named = 0
    for offset in range(len(encoded)):
        damaged = bytearray(encoded)
        damaged[offset] ^= 0xFF
        error = error_of(bytes(damaged))
        if error is not None:
            assert 0 <= error.byte_offset < len(encoded), offset
            named += 1
    # The rest are bytes of numbers, letters and reserved space, which may be anything.
    assert named == 647


def test_cut_metadata_is_refused_at_every_length() -> None:
    encoded = encode_metadata(ESH4)
    for length in range(len(encoded)):
        with pytest.raises(DamagedInputError):
            parse_metadata(encoded[:length])
        relabelled = encoded[:4] + max(length - 8, 0).to_bytes(4, "little") + encoded[8:length]
        if length < len(encoded) - 7:
            with pytest.raises(DamagedInputError):
                parse_metadata(relabelled)


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata(version=4),
        Metadata(version=1),
        Metadata(symbol_cstr_len=1),
        Metadata(dataset="sixteen letters!"),
        Metadata(symbols=("Ä",)),
        Metadata(symbols=("a\0b",)),
        Metadata(symbols=("x" * 71,)),
    ],
)
def test_what_does_not_fit_is_not_written(metadata: Metadata) -> None:
    with pytest.raises(UsageError):
        encode_metadata(metadata)
