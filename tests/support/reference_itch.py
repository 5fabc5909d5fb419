"""The MBO rows of ITCH messages, by the rules I5 to I10 and a dict: slow, and literal.

The rule: it shares nothing with the decoder.
"""

from __future__ import annotations

import struct
from typing import Any

UNDEF_PRICE, UNDEF_SIZE = 2**63 - 1, 2**32 - 1
LAST = 128
OPPOSITE = {"B": "A", "A": "B", "N": "N"}

Row = tuple[int, int, int, str, str, int, int, int, int, int]
"""publisher_id, instrument_id, ts_event, action, side, price, size, order_id, flags, sequence."""


class ReferenceItch:
    """Rows of good messages, in the order in which they are given."""

    def __init__(self, midnight_ns: int, publisher_id: int = 2) -> None:
        self._midnight_ns, self._publisher_id = midnight_ns, publisher_id
        self.orders: dict[int, list[Any]] = {}  # by reference: side, price, size
        self.rows: list[Row] = []
        self.symbols: dict[int, str] = {}
        self.messages = 0
        self._is_whole = False

    def read(self, message: bytes) -> None:  # noqa: C901, PLR0912, PLR0915 - a case a type
        self.messages += 1
        kind, locate = chr(message[0]), struct.unpack_from(">H", message, 1)[0]
        time_ns = self._midnight_ns + int.from_bytes(message[5:11], "big")

        def put(action: str, side: str, price: int, size: int, order: int, flags: int) -> None:
            price_1e9 = UNDEF_PRICE if price == UNDEF_PRICE else price * 10**5
            self.rows.append(
                (self._publisher_id, locate, time_ns, action, side, price_1e9, size, order, flags,
                 self.messages)
            )  # fmt: skip

        match kind:
            case "S":
                self._is_whole |= message[11:12] == b"O"
            case "R":
                is_new = locate not in self.symbols
                self._name(locate, message[11:19])
                if is_new and self._is_whole:
                    put("R", "N", UNDEF_PRICE, 0, 0, LAST)
            case "H":
                self._name(locate, message[11:19])
            case "A" | "F":
                order, side, size, stock, price = struct.unpack_from(">QcI8sI", message, 11)
                self._name(locate, stock)
                self.orders[order] = ["B" if side == b"B" else "A", price, size]
                put("A", self.orders[order][0], price, size, order, LAST)
            case "E" | "C":
                order, size = struct.unpack_from(">QI", message, 11)
                side, own_price, _ = self.orders.get(order, ["N", UNDEF_PRICE, 0])
                price, printable = own_price, True
                if kind == "C":
                    printable = message[31:32] == b"Y"
                    price = struct.unpack_from(">I", message, 32)[0]
                if printable:
                    put("T", OPPOSITE[side], price, size, 0, 0)
                put("F", side, price, size, order, 0)
                put("C", side, own_price, size, order, LAST)
                self._take(order, size)
            case "X":
                order, size = struct.unpack_from(">QI", message, 11)
                side, price, _ = self.orders.get(order, ["N", UNDEF_PRICE, 0])
                put("C", side, price, size, order, LAST)
                self._take(order, size)
            case "D":
                order = struct.unpack_from(">Q", message, 11)[0]
                side, price, size = self.orders.pop(order, ["N", UNDEF_PRICE, UNDEF_SIZE])
                put("C", side, price, size, order, LAST)
            case "U":
                old, new, new_size, new_price = struct.unpack_from(">QQII", message, 11)
                side, price, size = self.orders.pop(old, ["N", UNDEF_PRICE, UNDEF_SIZE])
                put("C", side, price, size, old, 0)
                self.orders[new] = [side, new_price, new_size]
                put("A", side, new_price, new_size, new, LAST)
            case "P":
                size, stock, price = struct.unpack_from(">I8sI", message, 20)
                self._name(locate, stock)
                put("T", "N", price if size else UNDEF_PRICE, size, 0, LAST)
            case "Q":
                size, stock, price = struct.unpack_from(">Q8sI", message, 11)
                self._name(locate, stock)
                put("T", "N", price if size else UNDEF_PRICE, size, 0, LAST)

    def _name(self, locate: int, stock: bytes) -> None:
        self.symbols.setdefault(locate, stock.decode().rstrip())

    def _take(self, order: int, size: int) -> None:
        if order in self.orders:
            self.orders[order][2] -= size
            if self.orders[order][2] <= 0:
                del self.orders[order]
