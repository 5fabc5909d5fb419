"""What is found while the columns of a table are converted, and the error of a bad value."""

from __future__ import annotations

from collections import Counter

from batonics.model.errors import InputError

LOSSY_ADVICE = "--lossy (in Python lossy=True) takes it as it is"
"""What to do about a value that is refused because something of it is lost."""

NO_NANOSECONDS = "times as text have no digits of nanoseconds"

IN_INTEGERS, ZONED, LOCAL = "integers", "zoned", "local"
"""How times are written: as integers of nanoseconds, or as text with or without a zone."""


class BadValueError(ValueError):
    """A value that is refused.

    Attributes:
        row: its row in the record batch.
        reason: what is wrong with it.
    """

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row, self.reason = row, reason


class ColumnNotes:
    """What was found while columns were converted.

    Args:
        lossy: whether values of which something is lost are taken.
        advice: what to do about one that is refused.

    Attributes:
        has_float_prices: prices were floats, each of them exact.
        near_floats: number of prices whose floats were beside the nearest one.
        losses: number of values of which something is lost, by what it is.
        decimal_prices: whether prices are decimals or floats, not integers of 1e-9; None: none has
            come.
        has_nanoseconds: a time as text has more digits than microseconds have.
        text_times: number of rows with a time as text, until one has nanoseconds.
        time_forms: by column of times, how its first known value is written.
    """

    def __init__(self, *, lossy: bool = False, advice: str = LOSSY_ADVICE) -> None:
        self.has_float_prices = False
        self.near_floats = 0
        self.losses = Counter[str]()
        self.decimal_prices: bool | None = None
        self.has_nanoseconds = False
        self.text_times = 0
        self.time_forms: dict[str, str] = {}
        self._lossy, self._advice = lossy, advice

    def take_loss(self, row: int | None, kind: str, values: int = 1) -> None:
        """Count values of which something is lost.

        Args:
            row: the first of them; None: all values of the column.
            kind: what is lost.
            values: their number.

        Raises:
            BadValueError, InputError: losses are refused.
        """
        if not self._lossy and row is None:
            raise InputError(f"{kind}; {self._advice}")
        if not self._lossy and row is not None:
            raise BadValueError(row, f"{kind}; {self._advice}")
        self.losses[kind] += values

    def copy(self) -> ColumnNotes:
        """A copy, to go back to."""
        other = ColumnNotes(lossy=self._lossy)
        other.__dict__.update(self.__dict__)
        other.losses, other.time_forms = self.losses.copy(), self.time_forms.copy()
        return other


def check_text_times(notes: ColumnNotes) -> None:
    """Refuse times as text of which none has nanoseconds, or count them as a loss.

    Raises:
        InputError: losses are refused.
    """
    if notes.text_times and not notes.has_nanoseconds:
        notes.take_loss(None, NO_NANOSECONDS, notes.text_times)
        notes.text_times = 0
