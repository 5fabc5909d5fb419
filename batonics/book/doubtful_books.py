"""What makes each book of an engine doubtful."""

from __future__ import annotations

from batonics.book.engine import BookEngine
from batonics.model.absences import AbsenceFinder, Absences, is_absent
from batonics.model.answers import AnswerWarning, AsOf, book_warnings
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.symbols import SymbolMap


def warnings_of_books(engine: BookEngine, as_of: AsOf) -> list[list[AnswerWarning]]:
    """The warnings of each book's own state and trading status, in the order of the books.

    Args:
        engine: the books.
        as_of: their trading statuses, and instruments that are renamed.
    """
    crossed = engine.levels().crossed_books()
    states = zip(engine.statuses(), engine.keys(), strict=True)
    return [
        book_warnings(
            status.name.lower(),
            crossed=book in crossed,
            trading=as_of.trading.get(key),
            renamed=key[1] in as_of.renamed,
        )
        for book, (status, key) in enumerate(states)
    ]


def find_renamed(engine: BookEngine, symbols: SymbolMap, as_of: AsOf) -> set[int]:
    """The instruments of books that their symbol stopped naming after their last record.

    A symbol that has named another instrument since then and names this one again is such a one.

    Args:
        engine: the books.
        symbols: the symbols of answers about them.
        as_of: the time of the books. What is after the last record is not known.
    """
    ts_ns = as_of.data.until_ns
    if ts_ns is None:
        return set()
    renamed = set()
    absences = AbsenceFinder(()).find(symbols) if symbols.has_moved else Absences()
    seen = zip(engine.keys(), engine.last_seen()[:, 1].tolist(), strict=True)
    for (_, instrument_id), last_ns in seen:
        end_ns = symbols.symbol_end(instrument_id, ts_ns)
        has_ended = end_ns is not None and (last_ns < end_ns or last_ns == UNDEF_TIMESTAMP)
        if has_ended or is_absent(absences, instrument_id, min(last_ns, ts_ns) + 1, ts_ns):
            renamed.add(instrument_id)
    return renamed
