"""What is wrong with the bytes of a DBN stream, by a slow and literal reading of its format.

The rule: it shares nothing with the codec. Fields are read one by one in the order in which they
stand; the first that breaks the format is the damage, and where it starts is the place.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

UNDEFINED_U16 = 0xFFFF
MBO = 0xA0

WORDS = {0x00: 12, 0x01: 20, 0x0A: 92, 0x11: 14, 0x12: 10, 0x13: 130, 0x14: 28, 0x15: 80}
WORDS |= {0x16: 44, 0x17: 80, 0x18: 20, MBO: 14, 0xB1: 20}
WORDS |= {0x20: 14, 0x21: 14, 0x22: 14, 0x23: 14, 0x24: 14}
WORDS |= {0xC0: 20, 0xC1: 20, 0xC2: 20, 0xC3: 20, 0xC4: 20}
"""Length in 4-byte words by rtype, DBN version 3 (the sizes of the structs of dbn `record.rs`)."""
WORDS_2 = WORDS | {0x13: 100, 0x18: 16}
WORDS_1 = WORDS_2 | {0x13: 90, 0x15: 20, 0x16: 20, 0x17: 20}


class DbnVerdict(NamedTuple):
    """What a reader must make of a stream.

    `refused` with a `byte_offset`: damage there, after `record_index` whole records (None within
    the metadata); without one: no stream of ours, as a whole. Otherwise it holds `records` whole
    records, `rows` of them MBO.
    """

    refused: bool
    byte_offset: int | None = None
    record_index: int | None = None
    records: int = 0
    rows: int = 0


class _DamageError(Exception):
    def __init__(self, offset: int) -> None:
        self.offset = offset


def judge_dbn(data: bytes) -> DbnVerdict:  # noqa: PLR0911 - one for each way to be refused
    """The verdict on a whole stream that begins with DBN metadata, or with an MBO record."""
    if data[:2] == bytes([WORDS[MBO], MBO]):
        return _records(data, 0, WORDS, ts_out=False)
    if data[:3] != b"DBN":
        return DbnVerdict(refused=True)
    if len(data) < 8:
        return DbnVerdict(refused=True, byte_offset=len(data))
    if data[3] not in (1, 2, 3):
        return DbnVerdict(refused=True, byte_offset=3)
    stop = 8 + int.from_bytes(data[4:8], "little")
    if stop > len(data):
        return DbnVerdict(refused=True, byte_offset=len(data))
    metadata = _Metadata(data[:stop])
    try:
        metadata.read()
    except _DamageError as damage:
        return DbnVerdict(refused=True, byte_offset=damage.offset)
    if metadata.schema not in (0, UNDEFINED_U16):
        return DbnVerdict(refused=True)
    words = {1: WORDS_1, 2: WORDS_2, 3: WORDS}[data[3]]
    return _records(data, stop, words, ts_out=metadata.ts_out)


def _records(data: bytes, position: int, words: dict[int, int], *, ts_out: bool) -> DbnVerdict:
    records = rows = 0
    more = 2 if ts_out else 0
    while position < len(data):
        here = DbnVerdict(refused=True, byte_offset=position, record_index=records)
        if len(data) - position < 2:
            return here
        if data[position : position + 3] == b"DBN":  # another file follows
            return _behind(judge_dbn(data[position:]), here, rows)
        length, rtype = data[position], data[position + 1]
        if rtype not in words or length != words[rtype] + more:
            return here
        if position + 4 * length > len(data):
            return here
        if rtype == MBO:
            if data[position + 38] not in b"ACMRTFN" or data[position + 39] not in b"BAN":
                return here
            rows += 1
        records += 1
        position += 4 * length
    return DbnVerdict(refused=False, records=records, rows=rows)


def _behind(verdict: DbnVerdict, here: DbnVerdict, rows: int) -> DbnVerdict:
    """The verdict on what follows some records, as one on the whole stream."""
    before = here.record_index or 0
    if not verdict.refused:
        return verdict._replace(records=before + verdict.records, rows=rows + verdict.rows)
    if verdict.byte_offset is None or here.byte_offset is None:
        return DbnVerdict(refused=True)
    index = None if verdict.record_index is None else before + verdict.record_index
    return verdict._replace(byte_offset=here.byte_offset + verdict.byte_offset, record_index=index)


class _Metadata:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 8
        self.schema = 0
        self.ts_out = False

    def read(self) -> None:
        version = self.data[3]
        self.text(16)
        self.schema = self.number(2)
        for _ in range(4 if version == 1 else 3):
            self.number(8)
        stype_in, stype_out = self.number(1), self.number(1)
        ts_out = self.number(1)
        self.refuse_if(ts_out > 1, self.at - 1)
        self.ts_out = ts_out == 1
        width = 22
        if version > 1:
            width = self.number(2)
            self.refuse_if(width < 2, self.at - 2)
        self.skip(47 if version == 1 else 53)
        self.refuse_if(self.number(4) != 0, self.at - 4)
        for _ in range(3):
            for _ in range(self.count(width)):
                self.text(width)
        for _ in range(self.count(width + 4)):
            self.text(width, numeric=stype_in == 0)
            for _ in range(self.count(width + 8)):
                first, last = self.day(), self.day()
                self.refuse_if(last < first, self.at - 4)
                self.text(width, numeric=stype_out == 0)
        rest = self.data[self.at :]
        self.refuse_if(len(rest) > 7 or rest != bytes(len(rest)), self.at)

    def refuse_if(self, wrong: bool, offset: int) -> None:
        if wrong:
            raise _DamageError(offset)

    def skip(self, size: int) -> bytes:
        self.refuse_if(self.at + size > len(self.data), self.at)
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.skip(size), "little")

    def count(self, least: int) -> int:
        count = self.number(4)
        self.refuse_if(count * least > len(self.data) - self.at, self.at - 4)
        return count

    def text(self, width: int, *, numeric: bool = False) -> None:
        start = self.at
        field = self.skip(width)
        end = field.find(b"\0")
        self.refuse_if(end < 0 or field[end:] != bytes(width - end), start)
        try:
            text = field[:end].decode()
        except UnicodeDecodeError as error:
            raise _DamageError(start + error.start) from None
        digits = set(text) <= set("0123456789")
        self.refuse_if(numeric and text != "" and not (digits and int(text) < 2**32), start)

    def day(self) -> int:
        number = self.number(4)
        try:
            date(number // 10_000, number // 100 % 100, number % 100)
        except (ValueError, OverflowError):
            raise _DamageError(self.at - 4) from None
        return number
