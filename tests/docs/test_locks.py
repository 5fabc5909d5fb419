"""The locks pin every package with hashes, for what pyproject.toml asks, and nothing else.

A lock that names an index, a host or a path would install something else on another machine.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

LOCK_AND_GROUP = [("requirements.lock", "build"), ("requirements-dev.lock", "dev")]
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_SUPPORTED = [
    {"python_version": python, "platform_machine": machine, "sys_platform": "linux"}
    for python in ("3.11", "3.12", "3.13")
    for machine in ("x86_64", "aarch64")
]


def entries(lock: str) -> Iterator[tuple[Requirement, list[str]]]:
    """Each requirement of a lock with its options (the hashes)."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE)
    for entry in text.replace("\\\n", " ").splitlines():
        requirement, *options = re.split(r"\s+(?=--)", entry.strip())
        yield Requirement(requirement), options


def asked(group: str) -> list[Requirement]:
    """What pyproject.toml asks for: the program's own needs and those of a dependency group."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [Requirement(r) for r in project["project"]["dependencies"]] + [
        Requirement(r) for r in _group(project["dependency-groups"], group)
    ]


def _group(groups: dict[str, Any], name: str) -> Iterator[str]:
    for item in groups[name]:
        if isinstance(item, dict):
            yield from _group(groups, item["include-group"])
        else:
            yield item


@pytest.mark.parametrize("lock", [lock for lock, _ in LOCK_AND_GROUP])
def test_every_package_is_pinned_with_hashes(lock: str) -> None:
    for requirement, options in entries(lock):
        assert str(requirement.specifier).startswith("=="), requirement
        assert requirement.url is None, requirement
        assert options, requirement
        assert all(_HASH.fullmatch(option) for option in options), requirement


@pytest.mark.parametrize(("lock", "group"), LOCK_AND_GROUP)
@pytest.mark.parametrize("environment", _SUPPORTED, ids=lambda e: "-".join(e.values()))
def test_what_is_asked_for_is_locked(lock: str, group: str, environment: dict[str, str]) -> None:
    environment = environment | {"python_full_version": environment["python_version"] + ".0"}
    pinned: dict[str, str] = {}
    for requirement, _ in entries(lock):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in pinned
            pinned[name] = next(iter(requirement.specifier)).version
    for requirement in asked(group):
        marker: Marker | None = requirement.marker
        if marker is None or marker.evaluate(environment):
            version = pinned.get(canonicalize_name(requirement.name))
            assert version is not None, requirement
            assert requirement.specifier.contains(version), requirement


def test_both_locks_agree() -> None:
    development = {str(requirement) for requirement, _ in entries("requirements-dev.lock")}
    for requirement, _ in entries("requirements.lock"):
        assert str(requirement) in development
