"""How much of the server's time the requests of one address may take.

The rule here: each request costs as many units as it takes time; an address has a number of units a
second, and some in reserve. One that asks for more gets 429 until it has them again, so a poller
without end delays nobody else.
"""

from __future__ import annotations

RESERVE_S = 2.0
"""Seconds of unused units that an address keeps."""
_ADDRESSES_MAX = 10_000


class RequestRate:
    """The units that each address has left.

    Args:
        units_per_s: the units that an address gets each second.
    """

    def __init__(self, units_per_s: float) -> None:
        self._units_per_s, self._units_max = units_per_s, units_per_s * RESERVE_S
        self._left: dict[str, tuple[float, float]] = {}  # units, as of when

    def take(self, address: str, units: float, now: float) -> float:
        """Take units of an address; 0.0, or the seconds until it has them if it lacks them.

        A request of more units than an address can have is answered if it has all that it can.
        """
        left, at = self._left.get(address, (self._units_max, now))
        left = min(left + (now - at) * self._units_per_s, self._units_max)
        missing = min(units, self._units_max) - left
        if missing > 0:
            self._left[address] = left, now
            return missing / self._units_per_s
        if len(self._left) >= _ADDRESSES_MAX:
            self._forget(now)
        self._left[address] = left - units, now
        return 0.0

    def _forget(self, now: float) -> None:
        """Forget the addresses that have all their units again; of a crowd, all."""
        self._left = {
            address: (left, at)
            for address, (left, at) in self._left.items()
            if left + (now - at) * self._units_per_s < self._units_max
        }
        if len(self._left) >= _ADDRESSES_MAX:
            self._left.clear()
