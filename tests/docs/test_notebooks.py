"""Notebooks are kept as they were written: without outputs, and each with a line in their README.

The rule here: what a notebook shows is made by running it. That they run is for nbmake to show
(`pytest --nbmake notebooks`); here they are read as what they are, JSON.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.markdown import anchors, links, name
from tests.support.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
OF_CODE = {"cell_type", "execution_count", "id", "metadata", "outputs", "source"}
OF_PROSE = {"cell_type", "id", "metadata", "source"}


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == kind]


def faults(document: dict[str, Any]) -> list[str]:
    """What is not as nbformat 4.5 has it, or was left by a run: a line each."""
    found = []
    if (document.get("nbformat"), document.get("nbformat_minor")) != (4, 5):
        found.append("not nbformat 4.5")
    if set(document) != {"cells", "metadata", "nbformat", "nbformat_minor"}:
        found.append(f"keys {sorted(document)}")
    if document["metadata"].get("kernelspec", {}).get("name") != "python3":
        found.append("its kernel is not python3")
    ids = [cell.get("id") for cell in document["cells"]]
    if len(set(ids)) < len(ids):
        found.append("a cell id is there twice")
    for cell in document["cells"]:
        found += [f"cell {cell.get('id')}: {fault}" for fault in _faults_of_cell(cell)]
    return found


def _faults_of_cell(cell: dict[str, Any]) -> list[str]:
    is_code = cell["cell_type"] == "code"
    lines = cell["source"]
    checks = {
        "neither code nor markdown": not is_code and cell["cell_type"] != "markdown",
        "its id is none": CELL_ID.fullmatch(cell.get("id") or "") is None,
        "keys that it may not have, or lacks": set(cell) != (OF_CODE if is_code else OF_PROSE),
        "metadata": cell["metadata"] != {},
        "outputs": bool(cell.get("outputs")),
        "an execution count": cell.get("execution_count") is not None,
        "empty": not "".join(lines).strip(),
        "its source is not a list of lines": not isinstance(lines, list)
        or any("\n" in line[:-1] for line in lines)
        or any(not line.endswith("\n") for line in lines[:-1]),
    }
    return [fault for fault, is_so in checks.items() if is_so]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_a_notebook_is_valid_and_holds_nothing_of_a_run(path: Path) -> None:
    assert faults(read(path)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_a_notebook_opens_with_what_it_shows_and_what_it_needs(path: Path) -> None:
    first = read(path)["cells"][0]
    assert first["cell_type"] == "markdown"
    assert source(first).startswith("# ")
    assert "What this shows:" in source(first)
    assert "What it needs:" in source(first)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_the_code_of_a_notebook_is_python_without_magic(path: Path) -> None:
    for cell in cells(path, "code"):
        where = f"{path.name}:{cell['id']}"
        compile(source(cell), where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    for cell in cells(path, "markdown"):
        for _, target in links(source(cell)):
            file, _, fragment = target.partition("#")
            linked = (path.parent / file).resolve()
            assert linked.is_relative_to(ROOT)
            assert linked.is_file(), target
            assert not fragment or fragment in anchors(linked.read_text(encoding="utf-8")), target


def test_each_notebook_is_in_their_readme() -> None:
    listed = {
        target
        for _, target in links((ROOT / "notebooks" / "README.md").read_text(encoding="utf-8"))
        if target.endswith(".ipynb")
    }
    assert listed == {path.name for path in NOTEBOOKS}


def test_what_a_run_leaves_is_found() -> None:
    document = read(NOTEBOOKS[0])
    ran = next(cell for cell in document["cells"] if cell["cell_type"] == "code")
    ran |= {"execution_count": 1, "outputs": [{"output_type": "stream"}], "metadata": {"x": 1}}
    document["cells"].append(dict(document["cells"][0]))
    where = f"cell {ran['id']}: "
    assert faults(document) == [
        "a cell id is there twice",
        where + "metadata",
        where + "outputs",
        where + "an execution count",
    ]
