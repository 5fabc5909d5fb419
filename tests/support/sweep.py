"""Sweeps over many cases of one property: CI runs a sample of the cases, `make soak` runs all.

The rule: a sample has the first case of each kind and the last case of all. A seed selects the
rest, so that a sample repeats. Tests that call `sample` have the marker `sweep`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

SHARE_VARIABLE = "BATONICS_SWEEP_SHARE"
"""The least share of the cases that sweeps run: 1 for all of them."""
SEED_VARIABLE = "BATONICS_SWEEP_SEED"

Case = TypeVar("Case")


def _same(_: object) -> None:
    """One kind for all cases."""


def sample(
    cases: Iterable[Case], share: float, kind: Callable[[Case], Hashable] = _same
) -> list[Case]:
    """Cases to run, in their order.

    Args:
        cases: all cases.
        share: the share of them to run where no variable asks for more, from 0 to 1.
        kind: the kind of a case; cases of one kind are alike.
    """
    share = max(share, float(os.environ.get(SHARE_VARIABLE, "0")))
    chance = random.Random(os.environ.get(SEED_VARIABLE, "1"))
    every = list(cases)
    kinds = set[Hashable]()
    chosen = []
    for number, case in enumerate(every, 1):
        is_new = kind(case) not in kinds
        kinds.add(kind(case))
        if chance.random() < share or is_new or number == len(every):
            chosen.append(case)
    return chosen
