"""The records of each schema against the vendor's own description and its files, byte for byte."""

from __future__ import annotations

from pathlib import Path

import databento_dbn
import numpy as np
import pytest
from backports import zstd

from batonics.codec.metadata import PREFIX_BYTES, parse_metadata, parse_prefix, schema_name
from batonics.codec.records import PRICE_FIELDS, RECORD_LAYOUTS, UNDEFINED
from batonics.frames.schemas.table import dbn_schemas, find_schema
from tests.support.vendor_frames import VENUE_FILES, vendor_store

MESSAGES = {
    "mbo": databento_dbn.MBOMsg,
    "trades": databento_dbn.TradeMsg,
    "tbbo": databento_dbn.MBP1Msg,
    "mbp-1": databento_dbn.MBP1Msg,
    "mbp-10": databento_dbn.MBP10Msg,
    "bbo-1s": databento_dbn.BBOMsg,
    "bbo-1m": databento_dbn.BBOMsg,
    **dict.fromkeys(("ohlcv-1s", "ohlcv-1m", "ohlcv-1h", "ohlcv-1d"), databento_dbn.OHLCVMsg),
}
BYTES = {"mbo": 56, "trades": 48, "tbbo": 80, "mbp-1": 80, "mbp-10": 368, "bbo-1s": 80}


def layout(dtype: np.dtype) -> list[tuple[str, int, int]]:
    """Name, offset and bytes of each field."""
    assert dtype.names is not None
    assert dtype.fields is not None
    return [(name, dtype.fields[name][1], dtype.fields[name][0].itemsize) for name in dtype.names]


def test_every_schema_has_its_record_and_every_column_its_field() -> None:
    assert {find_schema(name).layout for name in dbn_schemas()} == set(RECORD_LAYOUTS)
    for name in dbn_schemas():
        schema = find_schema(name)
        assert set(schema.columns) <= set(schema.record_dtype.names or ()), name


@pytest.mark.parametrize("schema", dbn_schemas())
def test_fields_lie_where_the_vendors_library_says(schema: str) -> None:
    dtype = find_schema(schema).record_dtype
    assert layout(dtype) == layout(np.dtype(MESSAGES[schema]._dtypes))
    # No byte is without a name, and lengths are counted in words of 4.
    assert dtype.itemsize == sum(size for _, _, size in layout(dtype))
    assert dtype.itemsize == BYTES.get(schema, 80 if schema == "bbo-1m" else 56)


@pytest.mark.parametrize("schema", dbn_schemas())
def test_prices_and_their_sentinel_are_the_vendors(schema: str) -> None:
    fields = set(find_schema(schema).record_dtype.names or ())
    assert PRICE_FIELDS & fields == set(MESSAGES[schema]._price_fields)
    undefined = {name: value for name, value in UNDEFINED.items() if name in fields}
    assert undefined == {
        **dict.fromkeys(MESSAGES[schema]._price_fields, databento_dbn.UNDEF_PRICE),
        **dict.fromkeys(MESSAGES[schema]._timestamp_fields, databento_dbn.UNDEF_TIMESTAMP),
        **({"size": databento_dbn.UNDEF_ORDER_SIZE} if "size" in fields else {}),
    }


@pytest.mark.parametrize("name", VENUE_FILES)
def test_a_file_reads_in_every_field_as_the_vendors_client_reads_it(
    name: str, test_data: Path
) -> None:
    data = zstd.decompress((test_data / "venues" / f"{name}.dbn.zst").read_bytes())
    metadata_bytes = parse_prefix(data[:PREFIX_BYTES])
    schema = schema_name(parse_metadata(data[:metadata_bytes]).schema)
    assert name.endswith(f".{schema}")
    dtype = find_schema(schema).record_dtype
    records = np.frombuffer(data[metadata_bytes:], dtype)
    vendor = vendor_store(test_data, name).to_ndarray()
    assert len(records) == len(vendor) == 4
    for field in dtype.names or ():
        assert records[field].tobytes() == vendor[field].tobytes(), field
    assert records["length"].tolist() == [dtype.itemsize // 4] * 4
    assert records["rtype"].tolist() == [find_schema(schema).rtype] * 4
