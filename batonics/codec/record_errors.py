"""What can be wrong with a record: the letters it may carry, the words for a fault, what to skip.

The rule here: a reason code of the kernel becomes one line that says what was found and what was
expected. A record is skipped only if its own length is beyond doubt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from batonics.codec import record_kernels
from batonics.codec.messages import HEADER_BYTES
from batonics.model.mbo import Action, Side

_ACTIONS = [action for action in Action if action is not Action.MODIFY_PARTIAL]

CODE_MASKS = np.zeros(256, np.uint8)
"""(256,) Which bytes are an action (ACTION_OK) or a side (SIDE_OK) on the wire."""
CODE_MASKS[_ACTIONS] |= record_kernels.ACTION_OK
CODE_MASKS[list(Side)] |= record_kernels.SIDE_OK


def skippable_bytes(record: NDArray[np.uint8], frame_bytes: int, reason: int) -> int:
    """The bytes of the bad record that `record` starts with that may be skipped; 0: refuse it."""
    if reason in (record_kernels.BAD_LENGTH, record_kernels.BAD_FRAME):
        return 0
    record_bytes = 4 * int(record[frame_bytes])
    if frame_bytes and _prefix(record, frame_bytes) != record_bytes:
        return 0
    return frame_bytes + record_bytes if record_bytes >= HEADER_BYTES else 0


def describe_bad_record(
    record: NDArray[np.uint8],
    frame_bytes: int,
    reason: int,
    words_of_rtype: NDArray[np.uint8],
    version: int,
) -> str:
    """One line on the bad record that `record` starts with: what was found, what was expected."""
    words, rtype = int(record[frame_bytes]), int(record[frame_bytes + 1])
    if reason == record_kernels.BAD_RTYPE:
        return f"rtype is 0x{rtype:02x}, which DBN version {version} does not have"
    if reason == record_kernels.BAD_LENGTH:
        return (
            f"length byte is {words}, expected {words_of_rtype[rtype]} for rtype 0x{rtype:02x}"
            f" in DBN version {version}"
        )
    if reason == record_kernels.BAD_FRAME:
        prefix = _prefix(record, frame_bytes)
        return f"length prefix is {prefix}, expected {4 * words}, the length of the record"
    if reason == record_kernels.BAD_ACTION:
        return f"action is 0x{record[frame_bytes + 38]:02x}, expected one of {_letters(_ACTIONS)}"
    return f"side is 0x{record[frame_bytes + 39]:02x}, expected one of {_letters(list(Side))}"


def _prefix(record: NDArray[np.uint8], frame_bytes: int) -> int:
    return int.from_bytes(record[:frame_bytes].tobytes(), "little")


def _letters(codes: Sequence[Action | Side]) -> str:
    return " ".join(chr(code) for code in codes)
