"""Bad records: which codes a record may carry, how a fault reads, and what may be skipped.

The rule here: a reason of the kernel becomes one line that says what was found and what was
expected. A record is skipped only if its own length is beyond doubt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from batonics.codec.messages import HEADER_BYTES
from batonics.codec.record_kernels import (
    ACTION_OK,
    BAD_ACTION,
    BAD_FRAME,
    BAD_LENGTH,
    BAD_RTYPE,
    SIDE_OK,
    RecordFormat,
)
from batonics.model.mbo import Action, Side

_ACTIONS = [action for action in Action if action is not Action.MODIFY_PARTIAL]

CODE_MASKS = np.zeros(256, np.uint8)
"""(256,) ACTION_OK for each byte that is an action on the wire, SIDE_OK for each that is a side."""
CODE_MASKS[_ACTIONS] |= ACTION_OK
CODE_MASKS[list(Side)] |= SIDE_OK


def skippable_bytes(data: NDArray[np.uint8], record_format: RecordFormat, reason: int) -> int:
    """The length of the bad record at the start of `data`; 0 if it cannot be skipped."""
    if reason in (BAD_LENGTH, BAD_FRAME):
        return 0
    frame_bytes = record_format.frame_bytes
    record_bytes = 4 * int(data[frame_bytes])
    if frame_bytes and _prefix(data, frame_bytes) != record_bytes:
        return 0
    return frame_bytes + record_bytes if record_bytes >= HEADER_BYTES else 0


def describe_bad_record(
    data: NDArray[np.uint8], record_format: RecordFormat, reason: int, version: int
) -> str:
    """One line on the bad record at the start of `data`: what was found, what was expected."""
    frame_bytes = record_format.frame_bytes
    words, rtype = int(data[frame_bytes]), int(data[frame_bytes + 1])
    if reason == BAD_RTYPE:
        return f"rtype is 0x{rtype:02x}, which DBN version {version} does not have"
    if reason == BAD_LENGTH:
        expected = record_format.words_of_rtype[rtype]
        return (
            f"length byte is {words}, expected {expected} for rtype 0x{rtype:02x}"
            f" in DBN version {version}"
        )
    if reason == BAD_FRAME:
        prefix = _prefix(data, frame_bytes)
        return f"length prefix is {prefix}, expected {4 * words}, the length of the record"
    if reason == BAD_ACTION:
        return f"action is 0x{data[frame_bytes + 38]:02x}, expected one of {_letters(_ACTIONS)}"
    return f"side is 0x{data[frame_bytes + 39]:02x}, expected one of {_letters(list(Side))}"


def _prefix(data: NDArray[np.uint8], frame_bytes: int) -> int:
    return int.from_bytes(data[:frame_bytes].tobytes(), "little")


def _letters(codes: Sequence[Action | Side]) -> str:
    return " ".join(chr(code) for code in codes)
