"""Reads files of the vendor's schema `definition`.

The rule: a definition is valid on its day (`model/definitions.py`), the first of an instrument from
the start of the day, since books may be older than its `ts_recv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from batonics.model.definitions import Definition, DefinitionMap
from batonics.model.times import NS_PER_DAY
from batonics.sources.record_files import read_contents


def read_definitions(paths: Sequence[str | Path]) -> DefinitionMap:
    """Read the definitions of files.

    Raises:
        InputError: a file cannot be read, is damaged, is not DBN, or has another schema.
    """
    known = DefinitionMap()
    days_seen: set[tuple[int, int]] = set()
    for path in paths:
        for definition in read_contents(path, "definition", Definition, "definitions"):
            day = definition.start_ns // NS_PER_DAY
            start_ns = definition.start_ns
            if (definition.instrument_id, day) not in days_seen:
                days_seen.add((definition.instrument_id, day))
                start_ns = day * NS_PER_DAY
            end_ns = (day + 1) * NS_PER_DAY
            known.add(definition._replace(start_ns=start_ns, end_ns=end_ns))
    return known
