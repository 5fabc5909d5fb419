"""The form of a stream, detected from its first bytes.

The rule here: a form is returned only when the bytes leave no doubt. A stream of an unknown form is
refused, with a line that says what it seems to be.

| first bytes                       | form                                                     |
|-----------------------------------|----------------------------------------------------------|
| `DBN`                             | DBN with metadata                                        |
| 0E A0                             | DBN fragment: an MBO record, no metadata                 |
| u32 byte count, header of a record| length-prefixed, if the lengths agree: 38 00 00 00 0E A0 |
| `{`, after any white space        | NDJSON ops or JSON records, by the first name of a member|
|                                   | that only one of them has: `type`, or `ts_recv`, `hd`    |
| `[` and `{`                       | an array of JSON records                                 |
| a line of names, such as `ts_recv`| CSV                                                      |
| `PAR1`                            | Parquet                                                  |
| `ARROW1`                          | an Arrow IPC file (Feather version 2)                    |
| FF FF FF FF                       | an Arrow IPC stream                                      |
| 00 0C `S`                         | ITCH 5.0: a system event of 12 bytes                     |
| numbers as in `34200.1,1,7,9,5,-1`| LOBSTER: the six columns of a message file               |
| 28 B5 2F FD                       | zstd, with any of the above inside                       |
| 1F 8B                             | gzip, the same                                           |
| 50-5F 2A 4D 18, size, `DBZ`       | DBZ, the vendor's format before DBN: refused             |
| 50-5F 2A 4D 18, size, other       | zstd that opens with a skippable frame                   |
| a byte order mark, or `{` in UTF-16 | text that is not plain UTF-8: refused                  |
"""

from __future__ import annotations

import re
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from batonics.codec.dbn import DbnDecoder
from batonics.codec.messages import record_words
from batonics.codec.metadata import DBN_MAGIC, LATEST_VERSION
from batonics.codec.ndjson_ops import UNREAD_ENCODINGS
from batonics.model.errors import InputError
from batonics.model.mbo import MBO_DTYPE, RTYPE_MBO, MboBatch

HEAD_BYTES_MAX = 4096
"""An input whose form is still open after so many bytes, such as white space, is refused."""

_MBO_HEADER = bytes([MBO_DTYPE.itemsize // 4, RTYPE_MBO])
_PREFIXED_HEADER_BYTES = 6
_RECORD_WORDS = record_words(LATEST_VERSION, ts_out=False)
_ZSTD = bytes.fromhex("28b52ffd")
_SKIPPABLE = bytes.fromhex("2a4d18")  # after a byte 0x50 to 0x5F
_DBZ = b"DBZ"
_KNOWN_FOREIGN = {
    b"PK\x03\x04": "a zip archive; give it as a file, or unpack it",
    b"FEA1": "Feather version 1; write version 2",
    **{mark: f"text in {name}" for mark, name in UNREAD_ENCODINGS.items()},
}


class Framing(Enum):
    """The form of a stream."""

    DBN = "dbn"
    FRAGMENT = "fragment"
    LENGTH_PREFIXED = "length-prefixed"
    NDJSON = "ndjson"
    JSON_RECORDS = "json-records"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"
    ARROW_STREAM = "arrow-stream"
    ITCH = "itch"
    LOBSTER = "lobster"
    ZSTD = "zstd"
    GZIP = "gzip"


COMPRESSIONS = frozenset({Framing.ZSTD, Framing.GZIP})
"""Forms that have another form inside."""
TABLES = frozenset(
    {
        Framing.CSV,
        Framing.JSON_RECORDS,
        Framing.PARQUET,
        Framing.ARROW,
        Framing.ARROW_STREAM,
    }
)
"""Forms that have the fields of records as columns, by name."""
WHOLE_FILE_FORMS = frozenset({Framing.PARQUET, Framing.ARROW, Framing.ARROW_STREAM})
"""Tables that are read as files, not as chunks of bytes."""

_OPENINGS = {
    DBN_MAGIC: Framing.DBN,
    _MBO_HEADER: Framing.FRAGMENT,
    _ZSTD: Framing.ZSTD,
    b"\x1f\x8b": Framing.GZIP,
    b"PAR1": Framing.PARQUET,
    b"ARROW1": Framing.ARROW,
    b"\xff\xff\xff\xff": Framing.ARROW_STREAM,
    b"\x00\x0cS": Framing.ITCH,
}
_OP_NAMES = frozenset({"type", "oid", "px", "qty", "seq", "ts_ns"})
"""Names that only NDJSON ops have."""
_RECORD_NAMES = frozenset({*MboBatch._fields, "rtype", "hd"}) - {"side"}
"""Names that only records have; ops have a side, too."""
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?')
"""A text in JSON, and whether it is the name of a member."""
_HEADER = re.compile(rb'[\w "#.:/-]*(?:[,;\t|][\w "#.:/-]*)+\r?')
"""A line of names."""
_HEADER_BEGINNING = re.compile(rb'[\w "#.:/-]*(?:[,;\t|][\w "#.:/-]*)*\r?')
_LOBSTER_LINE = re.compile(rb"\d{1,5}(?:\.\d{1,9})?,[1-7],-?\d+,\d+,-?\d+,-?1(?:,[^,]*)?")
"""A line of a LOBSTER message file."""
SEPARATORS = ",;\t|"
"""What may part the names and values of CSV."""

NUMBERED_FORMS = frozenset({Framing.NDJSON, Framing.LOBSTER})
"""Forms without instrument ids: instruments are numbered in the order of their symbols."""

_NOT_READ = "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER"
_SHOWN_BYTES = 8
_REFUSAL_BYTES = max(_SHOWN_BYTES, *map(len, _KNOWN_FOREIGN))
"""So many bytes are read before an input is refused, if it has them."""


def detect_framing(
    first: bytes, *, complete: bool = False, source: str | None = None
) -> Framing | None:
    """The form of the stream that starts with `first`; None if more bytes are needed.

    Only the first HEAD_BYTES_MAX bytes count. With `complete` there are no more bytes, and the
    result is never None.

    Raises:
        InputError: the stream is empty, or of an unknown form.
    """
    complete = complete or len(first) >= HEAD_BYTES_MAX
    first = first[:HEAD_BYTES_MAX]
    text = first.lstrip(b" \t\r\n")
    if any(first.startswith(mark) for mark in UNREAD_ENCODINGS):
        raise InputError(f"{source}: {_refusal(first)}" if source else _refusal(first))
    for opening, framing in _OPENINGS.items():
        if first.startswith(opening):
            return framing
    if _is_length_prefixed(first):
        return Framing.LENGTH_PREFIXED
    form = _text_form(text, complete=complete)
    if form is not None:
        return form
    if _is_skippable_frame(first) and len(first) >= 11 and first[8:11] != _DBZ:
        return Framing.ZSTD
    # A refusal names the same bytes however they arrive.
    if not complete and (len(first) < _REFUSAL_BYTES or _may_become_known(first, text)):
        return None
    raise InputError(f"{source}: {_refusal(first)}" if source else _refusal(first))


def _text_form(text: bytes, *, complete: bool) -> Framing | None:
    """The form of a text that starts so; None: it has another form, or more is needed."""
    if text.startswith((b"{", b"[")):
        for match in _TEXT.finditer(text.decode("latin-1")):
            name, colon = match.groups()
            if colon and name in _RECORD_NAMES:
                return Framing.JSON_RECORDS
            if colon and name in _OP_NAMES and text.startswith(b"{"):
                return Framing.NDJSON
        # The decoder of NDJSON says what is wrong with a line.
        ended = complete or b"\n" in text
        return Framing.NDJSON if ended and text.startswith(b"{") else None
    line, newline, _ = text.partition(b"\n")
    if (newline or complete) and _LOBSTER_LINE.fullmatch(line.rstrip(b"\r")):
        return Framing.LOBSTER
    if (newline or complete) and len(header_names(line) & _RECORD_NAMES) > 1:
        return Framing.CSV
    return None


def header_names(line: bytes) -> set[str]:
    """The names in the first line of CSV, whatever parts them; empty: it is no such line."""
    if not _HEADER.fullmatch(line):
        return set()
    text = line.decode("latin-1").strip()
    return {name.strip(' "') for name in re.split(f"[{SEPARATORS}]", text)}


def _refusal(first: bytes) -> str:
    if not first:
        return "the input is empty"
    if _is_skippable_frame(first) and first[8:11] == _DBZ:
        return (
            "DBZ, the vendor's format before DBN, is not read; convert it with the vendor's"
            " `dbn` tool, or download it again as DBN"
        )
    for opening, name in _KNOWN_FOREIGN.items():
        if first.startswith(opening):
            return f"this is {name}"
    if len(first) == HEAD_BYTES_MAX and not first.strip():
        return f"{_NOT_READ}: {HEAD_BYTES_MAX} bytes of white space come first"
    return f"{_NOT_READ}: it starts with {first[:_SHOWN_BYTES].hex(' ')}"


def _is_skippable_frame(first: bytes) -> bool:
    return first[1:4] == _SKIPPABLE and 0x50 <= first[0] <= 0x5F


def _is_length_prefixed(first: bytes) -> bool:
    if len(first) < _PREFIXED_HEADER_BYTES:
        return False
    words, rtype = first[4], first[5]
    return words == _RECORD_WORDS[rtype] and int.from_bytes(first[:4], "little") == 4 * words > 0


def _may_become_known(first: bytes, text: bytes) -> bool:
    if not text or any(opening.startswith(first) for opening in (*_OPENINGS, *UNREAD_ENCODINGS)):
        return True
    if text.startswith(b"{") or re.fullmatch(rb"\[\s*(\{.*)?", text, re.DOTALL):
        return True
    if b"\n" not in text and _HEADER_BEGINNING.fullmatch(text):
        return True
    if len(first) < _PREFIXED_HEADER_BYTES and not any(first[2:4]):
        return True
    return len(first) < 11 and 0x50 <= first[0] <= 0x5F and _SKIPPABLE.startswith(first[1:4])


class LengthPrefixedDecoder(DbnDecoder):
    """Decodes records of DBN version 3, each after its byte count, a little-endian u32.

    There is no metadata. Offsets include the byte counts; the offset of a record in an error is
    that of its byte count.
    """

    _frame_bytes = 4

    def _begin(self, chunk: NDArray[np.uint8], position: int) -> int:
        self._in_records = len(chunk) > 0
        return position
