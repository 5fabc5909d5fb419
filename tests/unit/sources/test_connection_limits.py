"""Limits of connections: in all, by address, and by the limit of open files."""

from __future__ import annotations

import resource

import pytest

from batonics.sources.connection_limits import ConnectionCounts, limit_by_open_files

NONE = resource.RLIM_INFINITY


def test_connections_are_counted_in_all_and_by_address() -> None:
    counts = ConnectionCounts(3, 2)
    assert [counts.acquire("a") for _ in range(3)] == [True, True, False]
    assert [counts.acquire("b") for _ in range(2)] == [True, False]
    counts.release("a")
    assert counts.acquire("b")
    assert not counts.acquire("c")
    for address in ("a", "b", "b"):
        counts.release(address)
    assert [counts.acquire("c") for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("limits", "wanted", "raised_to", "allowed"),
    [
        ((1_000, 1_000), 100, None, 100),
        ((150, 150), 100, None, 70),  # 2 files each, 10 for other work
        ((150, 200), 100, 200, 95),
        ((150, 500), 100, 210, 100),
        ((150, NONE), 100, 210, 100),
        ((NONE, NONE), 100, None, 100),
        ((5, 5), 100, None, 0),
    ],
)
def test_the_limit_of_open_files_is_raised_as_needed_and_never_exceeded(
    limits: tuple[int, int],
    wanted: int,
    raised_to: int | None,
    allowed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: raised.append(new))
    found = limit_by_open_files(wanted, files_each=2, reserved=10)
    assert found == allowed
    assert [new for new in raised if new != limits] == (
        [] if raised_to is None else [(raised_to, limits[1])]
    )
