"""Samples of sweeps: every kind is there, the same seed selects the same cases."""

from __future__ import annotations

import pytest

from tests.support.paths import ROOT
from tests.support.sweep import SEED_VARIABLE, SHARE_VARIABLE, sample

CASES = range(200)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (SHARE_VARIABLE, SEED_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_a_sample_has_each_kind_and_the_last_case_in_order() -> None:
    assert sample(CASES, 0, lambda case: case // 50) == [0, 50, 100, 150, 199]
    found = sample(CASES, 0.2)
    assert found == sorted(set(found))
    assert 20 < len(found) < 60


def test_a_seed_selects_the_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sample(CASES, 0.2)
    assert sample(CASES, 0.2) == found
    monkeypatch.setenv(SEED_VARIABLE, "2")
    assert sample(CASES, 0.2) != found


def test_a_larger_share_runs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARE_VARIABLE, "0.05")
    assert sample(CASES, 1) == list(CASES)
    monkeypatch.setenv(SHARE_VARIABLE, "1")
    assert sample(CASES, 0) == list(CASES)


def test_tests_with_samples_have_the_marker_by_which_soak_finds_them() -> None:
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        imports = "sweep import sample" in text or "sample_calls" in text
        if imports and path.name != "test_sweep.py":
            assert "@pytest.mark.sweep" in text, path
