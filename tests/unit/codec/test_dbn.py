"""The DBN decoder against the vendor's, on real files and made ones, however they are cut."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import databento_dbn
import numpy as np
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from batonics.codec.dbn import OTHERS_MAX, DbnDecoder, encode_records
from batonics.codec.framing import LengthPrefixedDecoder
from batonics.codec.messages import parse_symbol_mapping
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.model.errors import InputError, UsageError
from batonics.model.mbo import MBO_DTYPE, Action, batch_from_records
from batonics.model.symbols import SymbolMap
from tests.support.decoder_runs import METADATA, decode_every_way, decode_in_chunks, mbo_rows

MAPPING = bytes(
    databento_dbn.SymbolMappingMsg(
        publisher_id=1,
        instrument_id=17,
        ts_event=5,
        stype_in=databento_dbn.SType.RAW_SYMBOL,
        stype_in_symbol="X",
        stype_out=databento_dbn.SType.INSTRUMENT_ID,
        stype_out_symbol="Y",
        start_ts=2**64 - 1,
        end_ts=2**64 - 1,
    )
)


def read(path: Path) -> bytes:
    data = path.read_bytes()
    return zstd.decompress(data) if path.suffix == ".zst" else data


def vendor_records(data: bytes) -> list[databento_dbn.DBNRecord]:
    decoder = databento_dbn.DBNDecoder(upgrade_policy=databento_dbn.VersionUpgradePolicy.AS_IS)
    decoder.write(data)
    records: list[databento_dbn.DBNRecord] = decoder.decode()
    return records[1:]


@pytest.mark.parametrize(
    "name",
    [
        "dbn-versions/test_data.mbo.dbn",
        "dbn-versions/test_data.mbo.v1.dbn.zst",
        "dbn-versions/test_data.mbo.v2.dbn.zst",
        "dbn-versions/test_data.mbo.v3.dbn",
        "dbn-versions/test_data.mbo.v3.dbn.zst",
        "dbn-versions/live-mixed.v3.dbn.zst",
        "venues/GLBX.MDP3.mbo.dbn.zst",
        "venues/IFEU.IMPACT.mbo.dbn.zst",
        "venues/NDEX.IMPACT.mbo.dbn.zst",
        "venues/XNAS.ITCH.mbo.dbn.zst",
    ],
)
def test_small_real_files_decode_as_the_vendor_decodes_them(test_data: Path, name: str) -> None:
    data = read(test_data / name)
    expected = vendor_records(data)
    outcome = decode_every_way(DbnDecoder, data)
    mbo = [bytes(record) for record in expected if isinstance(record, databento_dbn.MBOMsg)]
    other_records = [
        bytes(record) for record in expected if not isinstance(record, databento_dbn.MBOMsg)
    ]
    assert outcome.error is None
    assert outcome.rows == b"".join(mbo)
    assert [other.data for other in outcome.other_records] == other_records
    assert [other.record_index for other in outcome.other_records] == [
        index
        for index, record in enumerate(expected)
        if not isinstance(record, databento_dbn.MBOMsg)
    ]
    for other in outcome.other_records:
        assert data[other.byte_offset :].startswith(other.data)
        assert other.rtype == other.data[1]
    assert (outcome.records, outcome.byte_offset) == (len(expected), len(data))


@pytest.mark.parametrize(
    "name",
    [
        "clx5/CLX5_mbo.dbn",
        "esh4/esh4-glbx-mdp3-20231224.mbo.dbn.zst",
        "esh4/esh4-glbx-mdp3-20231225.mbo.dbn.zst",
    ],
)
def test_large_real_files_decode_as_the_vendor_decodes_them(test_data: Path, name: str) -> None:
    data = read(test_data / name)
    expected = b"".join(bytes(record) for record in vendor_records(data))
    for chunk_bytes in (len(data), 65_537, 1000):
        outcome = decode_in_chunks(DbnDecoder(batch_rows=5000), data, chunk_bytes)
        assert outcome.error is None
        assert outcome.rows == expected
        assert outcome.row_count == len(expected) // 56


def test_live_mappings_name_instruments(test_data: Path) -> None:
    data = read(test_data / "dbn-versions" / "live-mixed.v3.dbn.zst")
    outcome = decode_in_chunks(DbnDecoder(), data, len(data))
    mappings = [
        parse_symbol_mapping(other, 3) for other in outcome.other_records if other.rtype == 0x16
    ]
    assert len(mappings) == 20
    assert {mapping[1:] for mapping in mappings} == {(2**64 - 1, 183748, "ESZ4")}
    symbols = SymbolMap()
    for mapping in mappings:
        symbols.add(mapping)
    # The first holds for all times, and the others say the same.
    assert symbols.intervals() == [(0, 2**64 - 1, 183748, "ESZ4")]


@pytest.mark.parametrize("cut", range(1, 56))
def test_a_stream_that_ends_within_a_record_is_refused_after_its_whole_rows(cut: int) -> None:
    data = METADATA + encode_records(mbo_rows(3))
    outcome = decode_every_way(DbnDecoder, data[:-cut])
    assert outcome.rows == encode_records(mbo_rows(2))
    assert str(outcome.error) == (
        f"byte {len(data) - 56}, record 2: the stream ends after {56 - cut} bytes of a record"
    )


def test_a_cut_at_every_byte_of_a_real_file_is_seen_unless_between_records(
    test_data: Path,
) -> None:
    data = read(test_data / "clx5" / "CLX5_mbo.dbn")
    metadata_bytes = 360
    for length in range(4096):
        outcome = decode_in_chunks(DbnDecoder(), data[:length], 4096)
        whole_records = max(length - metadata_bytes, 0) // 56
        assert outcome.row_count == whole_records
        if length == 0:
            assert type(outcome.error) is InputError
        elif length < metadata_bytes:
            assert str(outcome.error) == (
                f"byte {length}: the stream ends after {length} bytes, within its metadata"
            )
        else:
            assert (outcome.error is None) == ((length - metadata_bytes) % 56 == 0), length


def test_a_fragment_is_decoded_without_metadata() -> None:
    decoder = DbnDecoder()
    rows = encode_records(mbo_rows(5))
    assert decode_in_chunks(decoder, rows, 100).rows == rows
    assert decoder.metadata is None
    assert decode_every_way(DbnDecoder, rows).error is None


def test_length_prefixed_records_are_decoded() -> None:
    rows = encode_records(mbo_rows(50))
    data = b"".join(
        record.to_bytes(4, "little") + body
        for record, body in [(56, rows[at : at + 56]) for at in range(0, len(rows), 56)]
    )
    prefixed_mapping = (176).to_bytes(4, "little") + MAPPING
    outcome = decode_every_way(LengthPrefixedDecoder, prefixed_mapping + data + prefixed_mapping)
    assert outcome.error is None
    assert outcome.rows == rows
    assert [other.byte_offset for other in outcome.other_records] == [4, 180 + 3000 + 4]
    assert [other.data for other in outcome.other_records] == [MAPPING, MAPPING]


def test_ts_out_makes_every_record_longer() -> None:
    rows = encode_records(mbo_rows(20))
    sent = [b"\x10" + rows[at + 1 : at + 56] + bytes(range(8)) for at in range(0, len(rows), 56)]
    mapping = b"\x2e" + MAPPING[1:] + bytes(8)
    data = encode_metadata(Metadata(ts_out=True)) + mapping + b"".join(sent)
    outcome = decode_every_way(DbnDecoder, data)
    assert outcome.error is None
    assert outcome.rows == rows
    assert outcome.other_records[0].data == mapping


def test_a_stream_of_another_schema_is_refused_by_name(test_data: Path) -> None:
    for path in sorted((test_data / "venues").iterdir()):
        schema = path.name.split(".")[2]
        outcome = decode_in_chunks(DbnDecoder(source="x"), read(path), 1000)
        if schema == "mbo":
            assert outcome.error is None
        else:
            assert str(outcome.error) == (
                f"x: its schema is {schema}, but books are built from mbo"
            )


def test_metadata_alone_is_an_empty_stream() -> None:
    outcome = decode_every_way(DbnDecoder, METADATA)
    assert (outcome.error, outcome.rows, outcome.byte_offset) == (None, b"", len(METADATA))


def test_other_records_stand_where_they_stood() -> None:
    one = encode_records(mbo_rows(1))
    outcome = decode_every_way(DbnDecoder, METADATA + one + MAPPING + MAPPING + one + one + MAPPING)
    assert [(o.record_index, o.rows_before) for o in outcome.other_records] == [
        (1, 1),
        (2, 1),
        (5, 3),
    ]
    assert (outcome.records, outcome.row_count) == (6, 3)


def test_a_flood_of_other_records_comes_in_bounded_parts() -> None:
    decoder = DbnDecoder()
    most = 0
    seen = 0
    for _ in decoder.feed(METADATA + MAPPING * (2 * OTHERS_MAX + 5)):
        most = max(most, len(decoder.other_records))
        seen += len(decoder.other_records)
        decoder.other_records.clear()
    assert (most, seen + len(decoder.other_records)) == (OTHERS_MAX, 2 * OTHERS_MAX + 5)


def test_batches_are_views_of_at_most_batch_rows() -> None:
    decoder = DbnDecoder(batch_rows=7)
    batches = [(len(b.price), b.price.base is not None) for b in decoder.feed(METADATA)]
    batches += [
        (len(b.price), b.price.base is not None) for b in decoder.feed(encode_records(mbo_rows(17)))
    ]
    assert batches == [(7, True), (7, True), (3, True)]


def test_any_buffer_may_be_fed() -> None:
    data = METADATA + encode_records(mbo_rows(9))
    array = np.frombuffer(data, np.uint8)
    writable = array.copy()
    for buffer in (data, bytearray(data), memoryview(data), array, writable):
        decoder = DbnDecoder()
        assert sum(len(batch.action) for batch in decoder.feed(buffer)) == 9
        decoder.close()
    assert writable.flags.writeable


def test_a_decoder_that_has_failed_goes_on_failing() -> None:
    decoder = DbnDecoder()
    with pytest.raises(InputError) as first:
        list(decoder.feed(b"nothing of ours"))
    for again in (lambda: list(decoder.feed(METADATA)), decoder.close):
        with pytest.raises(InputError) as second:
            again()
        assert second.value is first.value


def test_a_partial_modify_is_not_written_as_dbn() -> None:
    batch = mbo_rows(2)
    batch.action[1] = Action.MODIFY_PARTIAL
    with pytest.raises(UsageError):
        encode_records(batch)


@given(
    st.lists(st.binary(min_size=56, max_size=56), max_size=30),
    st.integers(1, 300),
    st.integers(1, 40),
)
def test_whatever_rows_hold_they_come_back(
    bodies: list[bytes], chunk_bytes: int, batch_rows: int
) -> None:
    records = np.frombuffer(b"".join(bodies), MBO_DTYPE).copy()
    records["length"] = 14
    records["rtype"] = 0xA0
    records["action"] = np.frombuffer(b"ACMRTFN", np.uint8)[records["action"] % 7]
    records["side"] = np.frombuffer(b"ABN", np.uint8)[records["side"] % 3]
    assert encode_records(batch_from_records(records)) == records.tobytes()
    outcome = decode_in_chunks(
        DbnDecoder(batch_rows=batch_rows), METADATA + records.tobytes(), chunk_bytes
    )
    assert (outcome.error, outcome.rows) == (None, records.tobytes())


def test_decoding_dbn_imports_neither_arrow_nor_polars() -> None:
    heavy = "{'pyarrow', 'polars', 'orjson', 'pandas'}"
    code = f"import sys, batonics.codec.dbn; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"


def test_a_batch_must_have_room_for_a_row() -> None:
    with pytest.raises(UsageError):
        DbnDecoder(batch_rows=0)
