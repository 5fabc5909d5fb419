"""A few mutants of the engine are killed, and the harness tells the dead from the living."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import mutants
from tests.soak.mutants import KERNELS, Result, Verdict, judge, judge_all, rate, sample
from tests.soak.mutate import count_mutants, mutant

SOURCE = '''
"""A module."""

LIMIT = 3


def near(a: int, b: int) -> bool:
    """Not mutated."""
    if a < b and not b == 0:
        a += 1
    return a > LIMIT
'''


@pytest.mark.mutation
def test_mutants_are_killed() -> None:
    # Each compiles the engine anew, which takes 20 s: `make soak` has all of them.
    results = judge_all(sample(seed=5, count=2))
    survivors = [result.name for result in results if result.verdict is Verdict.SURVIVED]
    # A mutant may do the same as the engine: of all of them, one in twenty at most.
    assert len(survivors) <= 1
    assert any(result.verdict is Verdict.KILLED for result in results), survivors


@pytest.mark.mutation
def test_what_is_no_mutant_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    # A module whose kernels are compiled in a few seconds.
    path = next(path for path in KERNELS if path.name == "merge_kernels.py")
    source = path.read_text()
    same = mutant(source, 0)._replace(source=source)
    monkeypatch.setattr(mutants, "mutant", lambda *_: same)
    assert judge(path, 0).verdict is Verdict.SURVIVED


def test_every_mutant_of_a_function_is_made() -> None:
    made = [mutant(SOURCE, number).name for number in range(count_mutants(SOURCE))]
    assert made == [
        "9: if a < b and (not b == 0): -> if not (a < b and (not b == 0)):",
        "9: a < b and (not b == 0) -> a < b or not b == 0",
        "9: a < b -> a <= b",
        "9: not b == 0 -> b == 0",
        "9: b == 0 -> b != 0",
        "9: 0 -> 1",
        "10: a += 1 -> pass",
        "10: a += 1 -> a -= 1",
        "10: 1 -> 2",
        "11: a > LIMIT -> a >= LIMIT",
    ]


@pytest.mark.parametrize("path", KERNELS, ids=[path.name for path in KERNELS])
def test_a_mutant_is_another_program(path: Path) -> None:
    source = path.read_text()
    count = count_mutants(source)
    changed = [mutant(source, number).source for number in range(0, count, max(1, count // 8))]
    assert len(set(changed)) == len(changed) >= 8
    for text in changed:
        compile(text, path.name, "exec")


def test_the_rate_leaves_out_the_stillborn() -> None:
    verdicts = [Verdict.KILLED, Verdict.KILLED, Verdict.KILLED, Verdict.SURVIVED, Verdict.STILLBORN]
    assert rate([Result("", verdict, "", 0.0) for verdict in verdicts]) == 0.75
