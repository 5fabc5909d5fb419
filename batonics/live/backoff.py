"""How long to wait before a lost connection is tried again.

The rule here: waits grow from try to try up to a cap, and are drawn at random from the upper half
of that, so that many clients that lost one server do not come back at one moment. Success starts
over.
"""

from __future__ import annotations

import random

FIRST_SECONDS = 0.1
SECONDS_MAX = 10.0


class Backoff:
    """Waits between tries.

    Args:
        seed: of the draws; None: of the system.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - spreads load, hides nothing
        self._tries = 0

    def succeeded(self) -> None:
        """The connection was of use: the next wait is short again."""
        self._tries = 0

    def next_seconds(self) -> float:
        """How long to wait now."""
        cap = min(FIRST_SECONDS * 2.0 ** min(self._tries, 32), SECONDS_MAX)
        self._tries += 1
        return self._random.uniform(cap / 2, cap)
