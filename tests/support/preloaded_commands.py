"""What most commands import and load, for `forked_command.py`; no thread may begin here."""

from __future__ import annotations

import duckdb  # noqa: F401
import polars as pl  # noqa: F401

from batonics.book.engine import BookEngine
from batonics.cli import main
from batonics.codec.dbn import DbnDecoder
from batonics.jobs import (  # noqa: F401
    convert,
    lake_append,
    lake_load,
    query,
    reconstruct,
    stream,
    verify,
)
from tests.support.dbn_files import adds, encode, metadata

main.root_command()
# Loads the kernels that commands with books use; kernels begin no thread.
for _batch in DbnDecoder().feed(metadata() + encode(adds(1))):
    BookEngine(bbo=True).fold(_batch)
