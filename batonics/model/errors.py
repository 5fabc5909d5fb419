"""Every error a user can meet. The command line prints it as one line and exits with its code.

    BatonicsError
    ├── UsageError           the call cannot mean anything: a bad option, an unknown symbol      (2)
    ├── InputError           the input cannot be opened or is not something we read              (3)
    │   └── DamagedInputError    the bytes break the format at a known place                     (3)
    ├── OutputError          the output cannot be written; nothing half-written is left behind   (4)
    ├── CheckpointError      a checkpoint is damaged or belongs to other input                   (5)
    └── LakeError            a lake is damaged, or there is none                                 (6)

A message says what is wrong, where, and what to do. It never spans two lines.
"""

from __future__ import annotations


class BatonicsError(Exception):
    """Base of every error batonics raises on purpose."""

    exit_code = 1


class UsageError(BatonicsError):
    """The request itself is wrong: a bad option value, an unknown symbol, an empty time range."""

    exit_code = 2


class InputError(BatonicsError):
    """The input cannot be opened, or is of a kind batonics does not read."""

    exit_code = 3


class DamagedInputError(InputError):
    """The bytes break the format.

    Attributes:
        byte_offset: where in the (decompressed) stream the damage starts, in bytes.
        record_index: how many whole records precede it, or None inside the metadata.
        source: the file's name, when the reader knew it.
    """

    def __init__(
        self,
        reason: str,
        *,
        byte_offset: int,
        record_index: int | None = None,
        source: str | None = None,
    ) -> None:
        self.reason = reason
        self.byte_offset = byte_offset
        self.record_index = record_index
        self.source = source
        super().__init__(reason)

    def __str__(self) -> str:
        where = f"byte {self.byte_offset}"
        if self.record_index is not None:
            where += f", record {self.record_index}"
        prefix = f"{self.source}: " if self.source else ""
        return f"{prefix}{where}: {self.reason}"


class OutputError(BatonicsError):
    """The output cannot be written. No partial file is left under the final name."""

    exit_code = 4


class CheckpointError(BatonicsError):
    """A checkpoint cannot be used: damaged, of another version, or of other input."""

    exit_code = 5


class LakeError(BatonicsError):
    """A lake cannot be trusted: a part is damaged or missing, the catalog of another format."""

    exit_code = 6
