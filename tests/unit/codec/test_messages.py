"""Records that are not MBO: lengths and contents against the vendor's own."""

from __future__ import annotations

from typing import Any

import databento_dbn
import numpy as np
import pytest
from databento_dbn import v1, v2, v3

from batonics.codec.messages import (
    ERROR_SYMBOL,
    OtherRecord,
    parse_definition,
    parse_error_message,
    parse_symbol_mapping,
    parse_system_message,
    record_words,
    write_error_message,
    write_symbol_mapping,
    write_system_message,
)
from batonics.model.definitions import Definition
from batonics.model.errors import DamagedInputError, UsageError
from batonics.model.mbo import UNDEF_PRICE, UNDEF_TIMESTAMP
from batonics.model.symbols import MappingInterval


def other(data: bytes) -> OtherRecord:
    return OtherRecord(data[1], 1000, 7, 5, data)


@pytest.mark.parametrize(("version", "module"), [(1, v1), (2, v2), (3, v3)])
def test_lengths_are_the_vendors(version: int, module: object) -> None:
    words = record_words(version, ts_out=False)
    kinds = {
        0x00: "TradeMsg",
        0x01: "MBP1Msg",
        0x0A: "MBP10Msg",
        0x12: "StatusMsg",
        0x13: "InstrumentDefMsg",
        0x14: "ImbalanceMsg",
        0x15: "ErrorMsg",
        0x16: "SymbolMappingMsg",
        0x17: "SystemMsg",
        0x18: "StatMsg",
        0x20: "OHLCVMsg",
        0xA0: "MBOMsg",
        0xB1: "CMBP1Msg",
        0xC0: "CBBOMsg",
        0xC3: "BBOMsg",
    }
    for rtype, name in kinds.items():
        kind = getattr(module, name, None) or getattr(databento_dbn, name)
        assert 4 * int(words[rtype]) == kind.size_hint, name
    known = {rtype.value for rtype in databento_dbn.RType.variants()}
    assert {rtype for rtype in range(256) if words[rtype]} == known
    longer = record_words(version, ts_out=True)
    assert {int(longer[r]) - int(words[r]) for r in known} == {2}
    assert {int(longer[r]) for r in range(256) if r not in known} == {0}


@pytest.mark.parametrize(("version", "module"), [(1, v1), (2, v2), (3, v3)])
def test_a_definition_is_read_where_the_vendor_has_it(version: int, module: object) -> None:
    row: Any = np.zeros(1, module.InstrumentDefMsg._dtypes)  # type: ignore[attr-defined]
    row["instrument_id"], row["ts_recv"], row["raw_symbol"] = 17, 5, b"ESH4"
    row["min_price_increment"], row["display_factor"] = -(2**62), 10**7
    row["match_algorithm"] = b"K"
    expected = Definition(5, UNDEF_TIMESTAMP, 17, "ESH4", -(2**62), 10**7, "K")
    assert parse_definition(other(row.tobytes()), version) == expected
    row["security_update_action"] = b"D"
    row["ts_recv"] = UNDEF_TIMESTAMP
    gone = expected._replace(
        start_ns=0,
        min_price_increment=UNDEF_PRICE,
        display_factor=UNDEF_PRICE,
        match_algorithm="",
    )
    assert parse_definition(other(row.tobytes()), version) == gone
    row["security_update_action"], row["match_algorithm"] = b"A", b" "
    assert parse_definition(other(row.tobytes()), version).match_algorithm == ""


MAPPING = {
    "publisher_id": 1,
    "instrument_id": 17,
    "ts_event": 5,
    "stype_in_symbol": "ES.c.0",
    "stype_out_symbol": "ESH4",
    "start_ts": 3,
    "end_ts": 9,
}
STYPES = {
    "stype_in": databento_dbn.SType.CONTINUOUS,
    "stype_out": databento_dbn.SType.RAW_SYMBOL,
}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_symbol_mapping_names_its_instrument(version: int) -> None:
    if version == 1:
        message = bytes(v1.SymbolMappingMsg(**MAPPING))
    else:
        message = bytes(v3.SymbolMappingMsg(**MAPPING, **STYPES))
    assert parse_symbol_mapping(other(message), version) == MappingInterval(3, 9, 17, "ESH4")


def test_a_live_symbol_mapping_holds_from_its_record_on() -> None:
    undefined = MAPPING | {"start_ts": 2**64 - 1, "end_ts": 2**64 - 1}
    message = bytes(v3.SymbolMappingMsg(**undefined, **STYPES))
    assert parse_symbol_mapping(other(message), 3) == MappingInterval(5, 2**64 - 1, 17, "ESH4")


def test_a_symbol_that_is_no_text_is_named_by_its_offset() -> None:
    message = bytearray(bytes(v3.SymbolMappingMsg(**MAPPING, **STYPES)))
    message[89] = 0xFF
    with pytest.raises(DamagedInputError) as caught:
        parse_symbol_mapping(other(bytes(message)), 3, "x")
    assert str(caught.value) == ("x: byte 1089, record 7: text is not UTF-8 (invalid start byte)")


def test_words_of_the_gateway_are_read() -> None:
    error = bytes(
        v3.ErrorMsg(5, "too slow", is_last=True, code=databento_dbn.ErrorCode.AUTH_FAILED)
    )
    assert parse_error_message(other(error), 3) == (1, "too slow")
    system = bytes(v3.SystemMsg(5, "Heartbeat", databento_dbn.SystemCode.HEARTBEAT))
    assert parse_system_message(other(system), 3) == (0, "Heartbeat")
    uncoded = bytes(v3.SystemMsg(5, "hello"))
    assert parse_system_message(other(uncoded), 2) == (None, "hello")
    assert parse_error_message(other(bytes(v1.ErrorMsg(5, "old"))), 1) == (None, "old")
    assert parse_system_message(other(bytes(v1.SystemMsg(5, "old"))), 1) == (None, "old")


def test_written_messages_are_the_vendors_to_the_byte() -> None:
    live = MAPPING | {
        "publisher_id": 0,
        "start_ts": 2**64 - 1,
        "end_ts": 2**64 - 1,
    }
    theirs = bytes(v3.SymbolMappingMsg(**live, **STYPES))
    continuous = 3
    assert theirs[16] == continuous
    assert write_symbol_mapping(17, 5, continuous, "ES.c.0", "ESH4") == theirs
    system = v3.SystemMsg(5, "Heartbeat", databento_dbn.SystemCode.HEARTBEAT)
    assert write_system_message(0, "Heartbeat", 5) == bytes(system)
    error = v3.ErrorMsg(
        5, "no", is_last=True, code=databento_dbn.ErrorCode.SYMBOL_RESOLUTION_FAILED
    )
    assert write_error_message(ERROR_SYMBOL, "no", 5) == bytes(error)


def test_written_messages_are_read_again() -> None:
    assert parse_system_message(other(write_system_message(3, "done", 5)), 3) == (3, "done")
    assert parse_error_message(other(write_error_message(4, "no", 5)), 3) == (4, "no")
    long = "é" * 400
    assert parse_system_message(other(write_system_message(1, long, 5)), 3) == (1, "é" * 151)
    assert parse_error_message(other(write_error_message(1, long, 5)), 3) == (1, "é" * 150)
    dated = write_symbol_mapping(17, 5, 1, "ESH4", "ESH4", start_ns=3, end_ns=9)
    assert parse_symbol_mapping(other(dated), 3) == MappingInterval(3, 9, 17, "ESH4")
    mapping = write_symbol_mapping(17, 5, 1, "ESH4", "ESH4")
    assert parse_symbol_mapping(other(mapping), 3) == MappingInterval(5, 2**64 - 1, 17, "ESH4")


def test_a_symbol_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="does not fit"):
        write_symbol_mapping(1, 5, 1, "A" * 71, "A")
