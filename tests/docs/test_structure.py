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
TOOLS = ("tests.attack", "tests.bench", "tests.soak")
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
    """Every public constant that a module defines: upper case, and no type variable."""
    for node in ast.parse(source).body:
        if _is_type_variable(node):
            continue
        if isinstance(node, ast.Assign):
            targets = [name for target in node.targets for name in ast.walk(target)]
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name) and target.id.isupper() and target.id[0] != "_":
                yield target.id


def _is_type_variable(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Assign) else None
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id in ("ParamSpec", "TypeVar")
    )


def defined_twice(names: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The modules of each name that more than one module defines."""
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
    rooms = {path.stem for path in (ROOT / "batonics").iterdir()}
    for path in sorted((ROOT / "tests" / "unit").iterdir()):
        room = path.stem.removeprefix("test_")
        assert room in {*rooms, "support", "__pycache__"}, path.name


def test_no_class_name_is_defined_in_two_modules() -> None:
    found = [(name, relative(path)) for path in PACKAGE for name in class_names(path.read_text())]
    assert found
    assert defined_twice(found) == {}


def test_no_public_constant_is_defined_in_two_modules() -> None:
    found = [
        (name, relative(path)) for path in PACKAGE for name in constant_names(path.read_text())
    ]
    assert found
    assert defined_twice(found) == {}


def test_what_is_not_allowed_is_found() -> None:
    source = """
from tests.support.lakes import load
from tests.integration.command import run
from tests.unit import test_native
import tests.soak.mutants
"""
    assert wrong_imports("tests.soak", source) == [
        "tests.integration.command",
        "tests.integration.command.run",
        "tests.unit",
        "tests.unit.test_native",
    ]
    assert "tests.soak.mutants" in wrong_imports("tests.unit.book", source)
    assert wrong_imports("tests.soak", "from tests.soak.test_mutants import SOURCE") != []
    names = "class A: pass\nLIMIT, rest = 1, 2\n_OWN: int = 3\nT = TypeVar('T')\nSIZE: int = 4\n"
    assert list(class_names(names)) == ["A"]
    assert list(constant_names(names)) == ["LIMIT", "SIZE"]
    assert defined_twice([("A", "x"), ("A", "x"), ("B", "x"), ("B", "y")]) == {"B": ["x", "y"]}
