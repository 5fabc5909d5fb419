"""1,000 faulty feeds: no book published as synced is wrong, and the counts add up."""

from __future__ import annotations

import pytest

from tests.support.faults_feeds import KINDS, check_faulty_feeds

RUNS = 250
"""Feeds of each of the four kinds of faults."""


@pytest.mark.parametrize("kind", KINDS)
def test_no_wrong_book_passes_for_synced_and_the_counts_are_the_ledger(kind: str) -> None:
    seen = check_faulty_feeds(kind, RUNS)
    assert seen["synced"] > 1_000
    assert (seen["lost"] > 0) == (KINDS[kind].drop > 0)
    assert (seen["dup"] > 0) == (KINDS[kind].dup > 0)
