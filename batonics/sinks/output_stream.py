"""The stream to which a table is written: a file, compressed with zstd if asked.

The rule: after `discard` nothing more is written. A Parquet writer that is collected before it is
closed writes its footer in its destructor: on standard output, a cut table would look complete.
"""

from __future__ import annotations

import sys
from typing import BinaryIO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OUTPUT_ZSTD_LEVEL = 3
"""The vendor's level. Above it, compression limits the speed of a stream of records."""


class OutputStream:
    """A binary file to write to. The caller opens and closes the file.

    Args:
        file: the file.
        compressed: compress with zstd.

    Attributes:
        closed: always False; pyarrow reads it.
    """

    closed = False

    def __init__(self, file: BinaryIO, *, compressed: bool = False) -> None:
        self._file = file
        self._compressor = zstd.ZstdCompressor(level=OUTPUT_ZSTD_LEVEL) if compressed else None
        self._is_discarded = False

    def write(self, data: bytes | memoryview) -> None:
        """Write bytes, in order."""
        if not self._is_discarded:
            self._file.write(data if self._compressor is None else self._compressor.compress(data))

    def flush(self) -> None:
        """Do nothing: the file writes its buffer when it is closed. pyarrow calls this."""

    def close(self) -> None:
        """Do nothing: the caller closes the file. pyarrow calls this."""

    def finish(self) -> None:
        """Write the end of the compressed data."""
        if self._compressor is not None:
            self._file.write(self._compressor.flush())

    def discard(self) -> None:
        """Drop everything that is written from now on."""
        self._is_discarded = True
