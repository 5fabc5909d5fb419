"""Names and places that a reader may rely on: one name for one thing, one room for shared tests.

The rule: files are read as text here and nothing is imported, so that no test depends on what
another one has loaded.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGE = sorted((ROOT / "batonics").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TOOLS = ("tests.bench", "tests.soak")
"""Programs of their own: their modules import from each other, and nothing else from them."""


def imported_modules(source: str) -> set[str]:
    """Every module that a source may name in an import: `a` and `a.b` of `from a import b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def wrong_imports(room: str, source: str) -> list[str]:
    """The imports from `tests` that a module of a room may not have."""
    own = [tool for tool in TOOLS if room == tool or room.startswith(f"{tool}.")]
    allowed = ("tests.support", *own)
    return sorted(
        name
        for name in imported_modules(source)
        if name.startswith("tests.")
        and (not name.startswith(allowed) or any(p.startswith("test_") for p in name.split(".")))
    )


def class_names(source: str) -> Iterator[str]:
    """Every class that a module defines at its top."""
    return (node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef))


def constant_names(source: str) -> Iterator[str]:
    """Every public constant that a module defines: upper case, without a leading underscore."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            targets = [name for target in node.targets for name in ast.walk(target)]
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name) and target.id.isupper() and target.id[0] != "_":
                yield target.id


def defined_twice(names: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The modules of each name that more than one module defines; type variables do not count."""
    modules: dict[str, set[str]] = defaultdict(set)
    for name, module in names:
        modules[name].add(module)
    return {name: sorted(found) for name, found in sorted(modules.items()) if len(found) > 1}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", TESTS, ids=relative)
def test_tests_share_through_support_alone(path: Path) -> None:
    room = ".".join(path.parent.relative_to(ROOT).parts)
    assert wrong_imports(room, path.read_text()) == []


def test_support_holds_no_tests() -> None:
    assert not sorted((ROOT / "tests" / "support").rglob("test_*.py"))


def test_unit_tests_stand_under_the_name_of_their_room() -> None:
    rooms = {path.name for path in (ROOT / "batonics").iterdir() if path.is_dir()}
    places = {path.parent.relative_to(ROOT / "tests" / "unit") for path in TESTS}
