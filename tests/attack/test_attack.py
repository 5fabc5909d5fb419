"""The small tier of every attack suite."""

from __future__ import annotations

import pytest

from tests.attack.suites import SUITES, Suite

SEED = 20261130


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_every_case_is_survived(suite: Suite) -> None:
    attempts = list(suite.run(suite.small, SEED))
    breaches = [f"{attempt.case}: {attempt.breach}" for attempt in attempts if attempt.breach]
    print(f"{suite.name}: tried {len(attempts)}, survived {len(attempts) - len(breaches)}")
    assert len(attempts) >= suite.small, f"seed {SEED}"
    assert not breaches, f"seed {SEED}:\n" + "\n".join(breaches)
