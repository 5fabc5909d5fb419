"""Every error that a user can see. The command line prints one line and exits with its code.

    BatonicsError
    ├── UsageError           the request is wrong: a bad option, an unknown symbol               (2)
    ├── InputError           the input cannot be opened, or has an unknown form                  (3)
    │   └── DamagedInputError    the bytes break the format at a known offset                    (3)
    ├── OutputError          the output cannot be written; no partial file is left               (4)
    ├── CheckpointError      a checkpoint is damaged, or belongs to other input                  (5)
    └── LakeError            a lake is damaged or missing                                        (6)

A message is one line: what is wrong, where, and what to do.

`LossWarning` is a warning: the command goes on, as its user has asked for, without what is lost.
"""

from __future__ import annotations


class BatonicsError(Exception):
    """Base of every error that batonics raises on purpose."""

    exit_code = 1


class UsageError(BatonicsError):
    """The request is wrong: a bad option value, an unknown symbol, an empty time range."""

    exit_code = 2


class InputError(BatonicsError):
    """The input cannot be opened, or has a form that batonics does not read."""

    exit_code = 3


class DamagedInputError(InputError):
    """The bytes break the format.

    Attributes:
        byte_offset: offset of the damage in the (decompressed) stream.
        record_index: the number of whole records before the damage; None within metadata.
        source: the name of the input; None if unknown.
        advice: what the caller can do, for the message; empty: nothing.
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
        self.advice = ""
        super().__init__(reason)

    def __str__(self) -> str:
        where = f"byte {self.byte_offset}"
        if self.record_index is not None:
            where += f", record {self.record_index}"
        prefix = f"{self.source}: " if self.source else ""
        advice = f"; {self.advice}" if self.advice else ""
        return f"{prefix}{where}: {self.reason}{advice}"


class DataWarning(UserWarning):
    """An answer is doubtful, or has nothing in it.

    It is about a time after the last record, about books that are cold, stale, crossed, closed or
    renamed, or about something of which there are no records; or it shows one of several symbols of
    an instrument; or the unit of its numbers is not known.
    """


class LossWarning(UserWarning):
    """A part of the input is lost. The message says how much, and where."""


class OutputError(BatonicsError):
    """The output cannot be written. No partial file has the final name."""

    exit_code = 4


class CheckpointError(BatonicsError):
    """A checkpoint cannot be used: damaged, of another version, or of other input."""

    exit_code = 5


class LakeError(BatonicsError):
    """A lake cannot be used: a part is damaged or missing, or the catalog has another format."""

    exit_code = 6
