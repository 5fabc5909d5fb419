"""What a verification finds, as JSON has it.

The rule here: every finding is counted, and only the first are listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from batonics.model.prices import format_price

FINDINGS_MAX = 20
"""Differences and broken invariants that the report lists; it counts the rest."""


@dataclass
class Findings:
    """Findings of one kind.

    Attributes:
        count: how many there are.
        first: the first FINDINGS_MAX of them.
    """

    count: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)

    def add(self, count: int, findings: Iterator[dict[str, Any]]) -> None:
        """Add so many findings; those that the report lists are taken."""
        self.count += count
        # The report lists a few, so only those are built.
        self.first += islice(findings, FINDINGS_MAX - len(self.first))

    @property
    def is_full(self) -> bool:
        """Whether no more are listed."""
        return len(self.first) >= FINDINGS_MAX


def format_values(values: dict[str, Any]) -> dict[str, Any]:
    """The values with sides as letters, and prices as decimal text beside the integer of 1e-9."""
    formatted: dict[str, Any] = {}
    for name, value in values.items():
        if name == "order_id":
            formatted[name] = str(value)
        elif name == "side":
            formatted[name] = None if value is None else "BA"[value]
        elif name == "price":
            formatted[name] = None if value is None else format_price(value)
            formatted["price_1e9"] = value
        else:
            formatted[name] = value
    return formatted
