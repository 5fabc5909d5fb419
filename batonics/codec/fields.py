"""Fields read one after another from bytes that may be damaged.

The rule here: a field is read only if all of its bytes exist. Any fault is a `DamagedInputError` at
the offset of the field's first byte.
"""

from __future__ import annotations

from batonics.model.errors import DamagedInputError
from batonics.model.symbols import day_start_ns


class FieldReader:
    """Reads little-endian fields from `data`.

    Args:
        data: the bytes.
        what: the words for `data` in an error.
        base_offset: the offset of `data` in the stream.
        record_index: the number of records before `data`; None within metadata.
        source: a name for error messages.

    Attributes:
        offset: the offset in `data` of the next field.
    """

    def __init__(
        self,
        data: bytes,
        *,
        what: str,
        base_offset: int = 0,
        record_index: int | None = None,
        source: str | None = None,
    ) -> None:
        self._data = data
        self._what = what
        self._base_offset = base_offset
        self._record_index = record_index
        self._source = source
        self.offset = 0

    def damage(self, reason: str, offset: int | None = None) -> DamagedInputError:
        """The error for the field at an offset of `data`, by default for the next field."""
        at = self.offset if offset is None else offset
        return DamagedInputError(
            reason,
            byte_offset=self._base_offset + at,
            record_index=self._record_index,
            source=self._source,
        )

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        left = len(self._data) - self.offset
        if size > left:
            raise self.damage(f"{self._what} ends: {size} bytes expected, {left} are left")
        self.offset += size
        return self._data[self.offset - size : self.offset]

    def integer(self, size: int) -> int:
        """The next unsigned integer, of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def count(self, item_bytes: int) -> int:
        """The count of the items that follow, each of at least `item_bytes`."""
        count = self.integer(4)
        left = len(self._data) - self.offset
        if count * item_bytes > left:
            raise self.damage(
                f"count is {count}, but the {left} bytes left hold {left // item_bytes}",
                self.offset - 4,
            )
        return count

    def text(self, width: int, *, must_be_id: bool = False) -> str:
        """Text in a field of `width` bytes, closed and padded by NUL.

        With `must_be_id` it is the decimal digits of an instrument_id, or empty.
        """
        text, _, rest = self.take(width).partition(b"\0")
        start = self.offset - width
        if len(text) == width or rest.strip(b"\0"):
            raise self.damage(f"text field of {width} bytes is not closed by NUL", start)
        try:
            decoded = text.decode()
        except UnicodeDecodeError as error:
            raise self.damage(f"text is not UTF-8 ({error.reason})", start + error.start) from None
        if must_be_id and decoded and not (text.isdigit() and int(text) < 2**32):
            raise self.damage(f"symbol is {decoded!r}, expected an instrument_id", start)
        return decoded

    def texts(self, width: int) -> tuple[str, ...]:
        """A count, then that many texts of `width` bytes."""
        return tuple(self.text(width) for _ in range(self.count(width)))

    def date(self) -> int:
        """A date such as 20250924, in a u32."""
        yyyymmdd = self.integer(4)
        try:
            day_start_ns(yyyymmdd)
        except ValueError as error:
            raise self.damage(f"date is {yyyymmdd} ({error})", self.offset - 4) from None
        return yyyymmdd
