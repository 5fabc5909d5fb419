"""Faulty feeds: no book published as synced is wrong, and the counts add up.

`make soak` has 1,000 of them.
"""

from __future__ import annotations

import pytest

from tests.support.faults_feeds import KINDS, check_faulty_feeds
from tests.support.sweep import sample

RUNS, SHARE = 250, 0.2
"""Feeds of each of the four kinds of faults, and the share of them that CI runs."""


@pytest.mark.sweep
@pytest.mark.parametrize("kind", KINDS)
def test_no_wrong_book_passes_for_synced_and_the_counts_are_the_ledger(kind: str) -> None:
    seeds = sample(range(RUNS), SHARE)
    seen = check_faulty_feeds(kind, seeds)
    assert seen["synced"] > 4 * len(seeds)
    assert (seen["lost"] > 0) == (KINDS[kind].drop > 0)
    assert (seen["dup"] > 0) == (KINDS[kind].dup > 0)
