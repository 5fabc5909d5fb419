"""The records of the schemas that can be derived from MBO: their bytes, field by field.

The rule here: every byte of a record belongs to a field, with the vendor's order and names; a
reserved one is written as 0. Source: the dbn reference library (`record.rs`), where these records
are the same in versions 1, 2 and 3. The MBO record is in `model/mbo.py`.

| layout: schemas    | bytes | after the header                                                   |
|--------------------|-------|--------------------------------------------------------------------|
| mbo                | 56    | the order                                                          |
| trade: trades      | 48    | the trade                                                          |
| mbp-1: mbp-1, tbbo | 80    | the trade or change, one level                                     |
| mbp-10             | 368   | the trade or change, ten levels                                    |
| bbo: bbo-1s, bbo-1m| 80    | the last trade, with reserved bytes where mbp-1 has the action,    |
|                    |       | the depth and ts_in_delta; one level                               |
| ohlcv: ohlcv-1s ...| 56    | open, high, low, close, volume                                     |

A level is both of its sides: two prices, two sizes, two counts of orders.

The vendor's bbo files of IFEU.IMPACT and NDEX.IMPACT have an action and a ts_in_delta in the
reserved bytes; in those of GLBX.MDP3 the bytes are 0.

| sentinel         | stands for the absence of                                                     |
|------------------|-------------------------------------------------------------------------------|
| UNDEF_PRICE      | a price: `price`, that of a level, `open`, `high`, `low`, `close`             |
| UNDEF_ORDER_SIZE | `size`; the size and count of a level that does not exist are 0               |
| UNDEF_TIMESTAMP  | `ts_event`, `ts_recv`                                                         |
"""

from __future__ import annotations

import numpy as np

from batonics.model.mbo import MBO_DTYPE, UNDEF_ORDER_SIZE, UNDEF_PRICE, UNDEF_TIMESTAMP

Fields = list[tuple[str, str]]

_HEADER: Fields = [
    ("length", "u1"),  # of the record, in words of 4 bytes
    ("rtype", "u1"),
    ("publisher_id", "<u2"),
    ("instrument_id", "<u4"),
    ("ts_event", "<u8"),
]
_TRADE: Fields = [
    *_HEADER,
    ("price", "<i8"),
    ("size", "<u4"),
    ("action", "u1"),
    ("side", "u1"),
    ("flags", "u1"),
    ("depth", "u1"),
    ("ts_recv", "<u8"),
    ("ts_in_delta", "<i4"),
    ("sequence", "<u4"),
]
_BBO_INTERVAL: Fields = [
    *_HEADER,
    ("price", "<i8"),
    ("size", "<u4"),
    ("_reserved1", "u1"),
    ("side", "u1"),
    ("flags", "u1"),
    ("_reserved2", "u1"),
    ("ts_recv", "<u8"),
    ("_reserved3", "V4"),
    ("sequence", "<u4"),
]
_OHLCV: Fields = [
    *_HEADER,
    ("open", "<i8"),
    ("high", "<i8"),
    ("low", "<i8"),
    ("close", "<i8"),
    ("volume", "<u8"),
]


def _levels(depth: int) -> Fields:
    return [
        (f"{side}_{name}_{level:02}", "<i8" if name == "px" else "<u4")
        for level in range(depth)
        for name in ("px", "sz", "ct")
        for side in ("bid", "ask")
    ]


TRADES_DTYPE = np.dtype(_TRADE)
MBP_1_DTYPE = np.dtype([*_TRADE, *_levels(1)])
MBP_10_DTYPE = np.dtype([*_TRADE, *_levels(10)])
BBO_INTERVAL_DTYPE = np.dtype([*_BBO_INTERVAL, *_levels(1)])
OHLCV_DTYPE = np.dtype(_OHLCV)

RECORD_LAYOUTS: dict[str, np.dtype] = {
    "mbo": MBO_DTYPE,
    "trade": TRADES_DTYPE,
    "mbp-1": MBP_1_DTYPE,
    "mbp-10": MBP_10_DTYPE,
    "bbo": BBO_INTERVAL_DTYPE,
    "ohlcv": OHLCV_DTYPE,
}
"""One record on the wire, its header included, by the name of its layout."""

PRICE_FIELDS = frozenset(
    name
    for dtype in RECORD_LAYOUTS.values()
    for name in dtype.names or ()
    if dtype[name] == np.dtype("<i8")
)
"""Every price of these records: int64 of 1e-9, and no other field is of that type."""

UNDEFINED: dict[str, int] = {
    **dict.fromkeys(sorted(PRICE_FIELDS), UNDEF_PRICE),
    "size": UNDEF_ORDER_SIZE,
    "ts_event": UNDEF_TIMESTAMP,
    "ts_recv": UNDEF_TIMESTAMP,
}
"""The fields that may be undefined, and what they then hold."""
