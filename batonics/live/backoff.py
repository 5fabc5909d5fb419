"""How long to wait before a lost connection is tried again.

The rule here: waits grow from try to try up to a cap. Each is drawn at random from the upper half
of its range, so that the clients of a lost server do not all return at the same moment. A success
resets the wait.
"""

from __future__ import annotations

import random

from batonics.settings.table import LIVE_DEFAULTS, LiveSettings


class Backoff:
    """Waits between tries.

    Args:
        settings: the first wait and the longest.
        seed: the seed of the random draws; None: a seed from the system.
    """

    def __init__(self, settings: LiveSettings = LIVE_DEFAULTS, seed: int | None = None) -> None:
        self._settings = settings
        self._random = random.Random(seed)  # noqa: S311 - spreads load, hides nothing
        self._tries = 0

    def reset(self) -> None:
        """Start again with a short wait, after a connection that brought records."""
        self._tries = 0

    def next_seconds(self) -> float:
        """How long to wait before the next try."""
        first_s, longest_s = self._settings.reconnect_wait_s, self._settings.reconnect_wait_s_max
        cap = min(first_s * 2.0 ** min(self._tries, 32), longest_s)
        self._tries += 1
        return self._random.uniform(cap / 2, cap)
