"""One op of NDJSON, read by a full JSON parser: what it must have, and the words for a fault.

The rule here: a valid op is rewritten in the form that the compiled pass reads, so the meaning of
an op is defined there alone.
"""

from __future__ import annotations

import orjson

from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_PRICE

_SAVE = "save it as UTF-8 without a byte order mark"
UNREAD_ENCODINGS = {
    b"\xff\xfe\0\0": f"UTF-32; {_SAVE}",
    b"\0\0\xfe\xff": f"UTF-32; {_SAVE}",
    b"\xff\xfe": f"UTF-16; {_SAVE}",
    b"\xfe\xff": f"UTF-16; {_SAVE}",
    b"\xef\xbb\xbf": f"UTF-8 with a byte order mark; {_SAVE}",
    b"{\0": f"UTF-16; {_SAVE}",
    b"\0{": f"UTF-16; {_SAVE}",
}
"""The encodings of text that are not read, by their first bytes."""

_NEEDED = {
    "add": ("symbol", "side", "oid", "px", "qty"),
    "modify": ("symbol", "oid"),
    "cancel": ("symbol", "oid"),
    "fill": ("symbol", "oid", "qty"),
    "clear": ("symbol",),
}
_INTEGERS = {
    "oid": (0, 2**64 - 1),
    "px": (-(2**63), UNDEF_PRICE - 1),
    "qty": (0, UNDEF_ORDER_SIZE - 1),
    "seq": (0, 2**32 - 1),
    "ts_ns": (0, 2**64 - 1),
}
_FIELDS = ("type", "symbol", "side", *_INTEGERS)


def normalize_op(line: bytes) -> bytes:
    """The op of a line, checked, in the form that the compiled pass reads.

    Raises:
        ValueError: the line is not an op; the message says why.
    """
    try:
        op = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        for mark, name in UNREAD_ENCODINGS.items():
            if line.startswith(mark):
                raise ValueError(f"not JSON: the line begins in {name}") from None
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(op, dict):
        raise ValueError(f"found {_short(op)}, expected a JSON object")  # noqa: TRY004
    kind = op.get("type")
    if not isinstance(kind, str) or kind not in _NEEDED:
        raise ValueError(f"type is {_short(kind)}, expected one of {', '.join(_NEEDED)}")
    fields = {name: op[name] for name in _FIELDS if op.get(name) is not None}
    for name in _NEEDED[kind]:
        if name not in fields:
            raise ValueError(f"{kind} without {name}")
    _check_values(fields)
    return orjson.dumps(fields) + b"\n"


def _check_values(fields: dict[str, object]) -> None:
    symbol, side = fields["symbol"], fields.get("side", "bid")
    if not isinstance(symbol, str) or not symbol or any(c < " " or c in '"\\' for c in symbol):
        raise ValueError(f"symbol is {_short(symbol)}, expected text without quotes or controls")
    if side not in ("bid", "ask"):
        raise ValueError(f"side is {_short(side)}, expected bid or ask")
    for name, (least, greatest) in _INTEGERS.items():
        value = fields.get(name, least)
        if type(value) is not int or not least <= value <= greatest:
            raise ValueError(
                f"{name} is {_short(value)}, expected an integer from {least} to {greatest}"
            )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
