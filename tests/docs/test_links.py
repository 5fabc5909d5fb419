"""Every link of the documentation to a place of our own leads there."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.support.markdown import anchors, documents, links, name
from tests.support.paths import ROOT


def broken_links(document: Path, root: Path) -> list[str]:
    """`line: target` of every relative link whose file or heading does not exist under `root`."""
    broken = []
    for number, target in links(document.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, fragment = unquote(target).partition("#")
        file = (document.parent / path).resolve() if path else document
        inside = file.is_relative_to(root) and file.exists()
        if not inside or (fragment and fragment not in anchors(file.read_text())):
            broken.append(f"{number}: {target}")
    return broken


@pytest.mark.parametrize("document", documents(), ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    assert not broken_links(document, ROOT)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A heading: twice\n\n# A heading: twice\n")
    document = tmp_path / "some.md"
    document.write_text(
        "[a](other.md) [b](other.md#a-heading-twice) [c](other.md#a-heading-twice-1)\n"
        "[d](https://example.org/none) `[not](a-link.md)`\n"
        "```\n[not](a-link.md)\n```\n"
        "[e](none.md) ![f](none.png) [g](other.md#none)\n"
        "[h]: ../outside.md\n"
    )
    assert broken_links(document, tmp_path) == [
        "6: none.md",
        "6: none.png",
        "6: other.md#none",
        "7: ../outside.md",
    ]
