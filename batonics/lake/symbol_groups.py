"""Under which symbols an answer has the rows of parts.

The rule here: a row has one symbol in an answer: that of its file, or the one that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from batonics.lake.part import Part


class SymbolGroup(NamedTuple):
    """Parts of which an answer has the rows of the same symbols, under the same symbols.

    Attributes:
        parts: the parts.
        symbols: only rows that have these symbols in the file; empty: all rows.
        renamed: the symbol in the answer of those that have another one in the file.
    """

    parts: list[Part]
    symbols: tuple[str, ...] = ()
    renamed: Mapping[str, str] = {}


def group_by_symbols(parts: Iterable[Part], symbols: Sequence[str] = ()) -> list[SymbolGroup]:
    """Parts in groups, in their order.

    Args:
        parts: the parts.
        symbols: only rows of these symbols, under these; empty: all rows.
    """
    parts = list(parts)
    if not symbols:
        return [SymbolGroup(parts)] if parts else []
    groups: list[SymbolGroup] = []
    for part in parts:
        shown = part.list_symbols().shown(symbols)
        pairs = {str(found.stored.symbol): str(found.symbol) for found in shown}
        renamed = {stored: name for stored, name in pairs.items() if stored != name}
        if groups and groups[-1].renamed == renamed:
            last = groups[-1]
            names = tuple(dict.fromkeys((*last.symbols, *pairs)))
            groups[-1] = SymbolGroup([*last.parts, part], names, renamed)
        else:
            groups.append(SymbolGroup([part], tuple(pairs), renamed))
    return groups
