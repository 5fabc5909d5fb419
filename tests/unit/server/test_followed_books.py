"""Which books symbols and prefixes name."""

from __future__ import annotations

from pathlib import Path

import pytest

from batonics.server.followed_books import find_books
from batonics.server.history_names import HistoryNames
from batonics.server.query_params import ProblemError
from tests.support.histories import build_history
from tests.support.paths import ROOT


def test_a_prefix_names_the_books_of_a_history_that_nobody_has_asked_yet(tmp_path: Path) -> None:
    history = build_history([ROOT / "data" / "sample.dbn.zst"], tmp_path / "history")
    names = HistoryNames(history)
    keys = {publisher << 32 | instrument for publisher, instrument in history.book_keys()}
    assert {book.key for book in find_books(names, ["*"], None, None)} == keys
    again = HistoryNames(history)
    (found,) = find_books(again, ["SIM0*"], None, None)
    assert found.name["symbol"] == "SIM0"
    with pytest.raises(ProblemError):
        find_books(again, ["NONE*"], None, None)
