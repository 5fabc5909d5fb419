"""Where a table's bytes go: a file with a shutter, packed with zstd where that is wanted.

The rule: once shut, nothing more gets out. A Parquet writer that is dropped in the middle writes
its footer from its destructor: on standard output, a cut table would look like a whole one.
"""

from __future__ import annotations

import sys
from typing import BinaryIO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OUTPUT_ZSTD_LEVEL = 3
"""The vendor's own: above it, packing is what a stream of records waits for."""


class OutputStream:
    """A binary file to write to. It is not closed here: whoever opened it does that.

    Attributes:
        closed: never; pyarrow asks.
    """

    closed = False

    def __init__(self, file: BinaryIO, *, packed: bool = False) -> None:
        self._file = file
        self._packer = zstd.ZstdCompressor(level=OUTPUT_ZSTD_LEVEL) if packed else None
        self._is_shut = False

    def write(self, data: bytes | memoryview) -> None:
        """Write bytes, in order."""
        if not self._is_shut:
            self._file.write(data if self._packer is None else self._packer.compress(data))

    def flush(self) -> None:
        """Nothing: what the file holds back it writes when it is closed. pyarrow calls this."""

    def close(self) -> None:
        """Nothing: whoever opened the file closes it. pyarrow calls this."""

    def finish(self) -> None:
        """Write what the packer still holds."""
        if self._packer is not None:
            self._file.write(self._packer.flush())

    def shut(self) -> None:
        """Let nothing more out, whoever writes."""
        self._is_shut = True
