"""ITCH 5.0 messages: their lengths, their names, and what is read of them in Python.

The rule here: a message is of a known type and of that type's length, or it is damage.

Source: "Nasdaq TotalView-ITCH 5.0" (nasdaqtrader.com, NQTVITCHSpecification.pdf). All integers are
big-endian. Every message begins alike:

| offset | bytes | field                                            |
|--------|-------|--------------------------------------------------|
| 0      | 1     | type, a letter                                   |
| 1      | 2     | stock locate, a number of the stock on its day   |
| 3      | 2     | tracking number, of Nasdaq's own use             |
| 5      | 6     | nanoseconds since midnight                       |

In a file a u16 with the length of the message stands before each; a length of 0 ends the session.
"""

from __future__ import annotations

import numpy as np

from batonics.model.book_changes import TradingStatus

MESSAGE_BYTES = {
    "S": 12,  # system event
    "R": 39,  # stock directory
    "H": 25,  # stock trading action
    "Y": 20,  # Reg SHO
    "L": 26,  # market participant position
    "V": 35,  # market-wide circuit breaker: levels
    "W": 12,  # market-wide circuit breaker: status
    "K": 28,  # quoting period update of an IPO
    "J": 35,  # limit up, limit down: auction collar
    "h": 21,  # operational halt
    "A": 36,  # add order
    "F": 40,  # add order, with attribution
    "E": 31,  # order executed
    "C": 36,  # order executed with price
    "X": 23,  # order cancel
    "D": 19,  # order delete
    "U": 35,  # order replace
    "P": 44,  # trade, non-cross
    "Q": 40,  # cross trade
    "B": 19,  # broken trade
    "I": 50,  # net order imbalance indicator
    "N": 20,  # retail price improvement indicator
    "O": 48,  # direct listing with capital raise: price discovery
}
"""Bytes of a message by its type, without the length before it."""

MESSAGE_WIDTHS = np.zeros(256, np.uint8)
"""(256,) The same by the code of the letter; 0: there is no such type."""
for _letter, _width in MESSAGE_BYTES.items():
    MESSAGE_WIDTHS[ord(_letter)] = _width

ITCH_MESSAGE_BYTES_MAX = max(MESSAGE_BYTES.values())

ITCH_NAMES = {
    ord("S"): "itch_system_event",
    ord("R"): "itch_stock_directory",
    ord("H"): "itch_trading_action",
    ord("Y"): "itch_reg_sho",
    ord("L"): "itch_participant_position",
    ord("V"): "itch_mwcb_levels",
    ord("W"): "itch_mwcb_status",
    ord("K"): "itch_ipo_quoting_period",
    ord("J"): "itch_luld_collar",
    ord("h"): "itch_operational_halt",
    ord("B"): "itch_broken_trade",
    ord("I"): "itch_imbalance",
    ord("N"): "itch_retail_interest",
    ord("O"): "itch_price_discovery",
}
"""Names of the messages that are no orders and no trades, by the code of the letter (rule I12)."""

READ_MESSAGES = "SRH"
"""Types of messages that the decoder gives as other records."""
COUNTED_MESSAGES = tuple(code for code in ITCH_NAMES if chr(code) not in READ_MESSAGES)
"""Types of messages that are only counted, by the code of the letter."""

TRADING_STATES = {
    ord("H"): TradingStatus.HALT,
    ord("P"): TradingStatus.PAUSE,
    ord("Q"): TradingStatus.QUOTING,
    ord("T"): TradingStatus.TRADING,
}
"""The status of a stock by the trading state of a message of type H (rule I11)."""

SYMBOL_BYTES = 8
SYMBOL_AT = {"R": 11, "H": 11, "A": 24, "F": 24, "P": 24, "Q": 19}
TRADING_STATE_AT = 19


def message_symbol(message: bytes) -> str:
    """The stock symbol of a message of type R, H, A, F, P or Q; it has been checked."""
    start = SYMBOL_AT[chr(message[0])]
    return message[start : start + SYMBOL_BYTES].decode("ascii").rstrip(" ")
