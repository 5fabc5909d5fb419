"""A question in SQL, asked of a lake or straight of MBO files.

The rule here: files that are asked without a lake become a lake of their own for the time of the
question, of the schemas that it names: so there is one way in which SQL is answered.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

from batonics.frames.schemas.table import FAMILIES, SCHEMAS, dbn_schemas, find_schema
from batonics.jobs import lake_load as lakes
from batonics.lake.catalog import RowFilter
from batonics.lake.digest import Verifier
from batonics.lake.lake import check_symbols
from batonics.lake.sql import LakeDatabase, find_named_schemas
from batonics.lake.storage import open_store
from batonics.lake.views import view_schema
from batonics.model.errors import UsageError

SHELL_SCHEMAS = ("trades", "tbbo", "mbp-1", "mbp-10", "bbo-1s", "ohlcv-1m", "orders")
"""What is made of files before it is known what will be asked."""
_FAMILY_VIEW = rf"\b(?:{'|'.join(FAMILIES)})_\w+"
"""A word that may be the view of a schema whose name has a parameter."""


@dataclass(frozen=True)
class QueryRequest:
    """Where to ask, and of which rows.

    Attributes:
        lake: a lake's directory, or `s3://BUCKET/PREFIX`; or
        files: MBO files, one stream in the order of their time.
        wanted: only rows of these symbols and times.
        skip_bad: of files, count and skip bad records where the framing survives.
    """

    lake: str | None = None
    files: tuple[str, ...] = ()
    wanted: RowFilter = field(default_factory=RowFilter)
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if (self.lake is None) == (not self.files):
            raise UsageError("one of --lake and --from says what is asked")


@contextmanager
def open_database(
    request: QueryRequest, named_in: str = "", progress: lakes.LoadProgress | None = None
) -> Iterator[LakeDatabase]:
    """Where questions are asked, until the block ends.

    Args:
        request: where to ask.
        named_in: of files, the schemas that this text names are made; empty: `FOR_SHELL`.
        progress: of making them.
    """
    if request.lake is not None:
        with closing(_asked(request.lake, request.wanted)) as asked:
            yield asked
        return
    with TemporaryDirectory(prefix="batonics-query-") as directory:
        lake = os.path.join(directory, "lake")  # noqa: PTH118 - text
        load = lakes.LakeLoad(
            lakes.LoadRequest(
                request.files,
                lake,
                schemas=_schemas_in(named_in) if named_in else SHELL_SCHEMAS,
                one_stream=True,
                skip_bad=request.skip_bad,
            )
        )
        load.progress = progress
        list(load.run())
        with closing(_asked(lake, request.wanted)) as asked:
            yield asked


def _asked(lake: str, wanted: RowFilter) -> LakeDatabase:
    store = open_store(lake)
    check_symbols(store, wanted.symbols)
    return LakeDatabase(store, Verifier(), wanted)


def _schemas_in(text: str) -> tuple[str, ...]:
    """The schemas that a query over files names."""
    known = {*SCHEMAS, *dbn_schemas()}
    known |= {view_schema(name) for name in re.findall(_FAMILY_VIEW, text.lower())}
    found = []
    for name in find_named_schemas(text, known):
        try:
            found.append(find_schema(name).name)
        except UsageError:
            continue  # a word that looks like one
    if not found:
        raise UsageError(f"the query names none of the views {', '.join(sorted(known))}")
    return tuple(found)
