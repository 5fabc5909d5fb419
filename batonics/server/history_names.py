"""The names of the books of a history.

The rule here: a name belongs to a book at times (rule 2). A name that fits no book, several, or
another one for a part of a span is a `ProblemError`, which says what there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from batonics.history.book_history import END, FileHistory
from batonics.model.mbo import UNDEF_TIMESTAMP
from batonics.model.symbols import MappingInterval, is_instrument_id, suggest_symbols
from batonics.model.times import format_time
from batonics.server.named_books import NamedBooks, NamedSpan, covers, describe_spans
from batonics.server.query_params import BOOKS_NAMED_MAX, ProblemError


class HistoryNames:
    """Finds books by their names. Any thread may ask; the history may grow.

    Args:
        history: the books.
    """

    def __init__(self, history: FileHistory) -> None:
        self._history = history
        self._lock = Lock()
        self._keys_of: dict[int, list[int]] = {}  # of each instrument
        self._keys_known = 0  # books whose keys are in `_keys_of`

    def find_key(self, name: str, publisher: int | None, at_ns: int | None = None) -> int:
        """The key of the one book that has a name at a time, by default at the end (rule 2)."""
        symbols, at_ns = self._history.symbols, self._known_time(at_ns)
        ids = {
            instrument_id
            for instrument_id in symbols.instrument_ids(name)
            if name in symbols.symbols_at(instrument_id, at_ns)
        }
        if is_instrument_id(name) and not symbols.instrument_ids(name):
            ids = {int(name)}
        keys = (key for instrument_id in ids for key in self._find_keys(instrument_id))
        found = self._one_key(keys, publisher)
        if found is None:
            raise self._unknown_name(name, at_ns)
        return found

    def find_books(
        self, name: str, publisher: int | None, from_ns: int | None, to_ns: int | None
    ) -> NamedBooks:
        """The books that have a name at times from `from_ns` to before `to_ns` (rule 2).

        None: the beginning and the end of the data.
        """
        first_ns = self._history.records.first_ns
        if to_ns is not None and first_ns is not None and to_ns <= first_ns:
            described = self._history.place(END).as_of.data.describe()
            detail = f"the time ends before the first record; {described}"
            raise ProblemError(410, "Before the data", detail)
        spans = self._spans_of(name, from_ns, to_ns)
        if not spans:
            key = self.find_key(name, publisher, None if to_ns is None else to_ns - 1)
            return NamedBooks((NamedSpan(key, 0, UNDEF_TIMESTAMP),))
        keys = {
            instrument_id: self._one_key(self._find_keys(instrument_id), publisher)
            for instrument_id in {span.instrument_id for span in spans}
        }
        found = [
            NamedSpan(of_span, span.start_ns, span.end_ns)
            for span in spans
            if (of_span := keys[span.instrument_id]) is not None
        ]
        if not found:
            raise self._unknown_name(name, to_ns)
        return NamedBooks(tuple(found))

    def find_one_key(
        self, name: str, publisher: int | None, from_ns: int | None, to_ns: int | None
    ) -> int:
        """The key of the one book that has a name at all times from `from_ns` to before `to_ns`.

        ProblemError 422 if the name is another instrument, or none, for a part of that time.
        """
        from_ns, to_ns = self._bounds(from_ns, to_ns)
        spans = self._spans_of(name, from_ns, to_ns)
        ids = {span.instrument_id for span in spans}
        if len(ids) > 1 or (ids and not covers(spans, from_ns, to_ns)):
            detail = (
                f"{describe_spans(name[:100], spans)}: ask for a time within one of these, or for"
                " an instrument id"
            )
            raise ProblemError(422, "Not one instrument", detail)
        return self.find_key(name, publisher, to_ns - 1)

    def find_by_prefix(
        self, prefix: str, publisher: int | None, at_ns: int | None
    ) -> dict[int, str]:
        """The keys of the books whose symbol begins with a prefix at a time, and that symbol.

        Without a prefix, books without a symbol are among them, under their instrument ids.
        """
        symbols, at_ns = self._history.symbols, self._known_time(at_ns)
        with self._lock:
            self._note_new_keys()
            keys_of = sorted(self._keys_of.items())
        found = {}
        for instrument_id, keys in keys_of:
            names = symbols.symbols_at(instrument_id, at_ns) or [""]
            name = next((name for name in names if name.startswith(prefix)), None)
            if name is not None:
                own = (key for key in keys if publisher in (None, key >> 32))
                found.update(dict.fromkeys(own, name or str(instrument_id)))
        return found

    def _bounds(self, from_ns: int | None, to_ns: int | None) -> tuple[int, int]:
        """The part of a span that the data have."""
        records = self._history.records
        first_ns, last_ns = records.first_ns or 0, records.last_ns or 0
        return (
            max(first_ns, 0 if from_ns is None else from_ns),
            min(last_ns + 1, UNDEF_TIMESTAMP if to_ns is None else to_ns),
        )

    def _spans_of(self, name: str, from_ns: int | None, to_ns: int | None) -> list[MappingInterval]:
        """When a symbol holds within a span; empty for an instrument id."""
        from_ns, to_ns = self._bounds(from_ns, to_ns)
        return [
            span
            for span in self._history.symbols.spans(name)
            if span.start_ns < to_ns and from_ns < span.end_ns
        ]

    def _one_key(self, keys: Iterable[int], publisher: int | None) -> int | None:
        """The one key of a publisher; None: there is none. ProblemError 400: there are several."""
        found = sorted(key for key in keys if publisher in (None, key >> 32))
        if len(found) == 1:
            return found[0]
        if found:
            named = ", ".join(
                f"publisher={key >> 32} (instrument {key & 0xFFFFFFFF})"
                for key in found[:BOOKS_NAMED_MAX]
            )
            raise ProblemError(400, "Which book?", f"{len(found)} books fit: {named}")
        return None

    def _unknown_name(self, name: str, at_ns: int | None) -> ProblemError:
        shown, known = name[:100], self._history.symbols.symbols()
        detail = f"no book has the symbol {shown!r} at {format_time(self._known_time(at_ns))}"
        if name not in known:
            detail += f"; {suggest_symbols(shown, known)}"
        elif spans := self._history.symbols.spans(name):
            detail += f"; {describe_spans(shown, spans)}"
        return ProblemError(404, "No such book", detail)

    def _find_keys(self, instrument_id: int) -> list[int]:
        """The keys of the books of an instrument."""
        with self._lock:
            self._note_new_keys()
            return list(self._keys_of.get(instrument_id, ()))

    def _note_new_keys(self) -> None:
        """Note the books that have come since the last call; the lock is held."""
        new = self._history.book_keys(self._keys_known)
        self._keys_known += len(new)
        for publisher, instrument in new:
            self._keys_of.setdefault(instrument, []).append(publisher << 32 | instrument)

    def _known_time(self, at_ns: int | None) -> int:
        """A time, or that of the last record where it is none or later."""
        return min(self._history.records.last_ns or 0, UNDEF_TIMESTAMP if at_ns is None else at_ns)
