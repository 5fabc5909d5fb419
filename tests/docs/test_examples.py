"""The Python examples of the documentation run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", ["README.md", "docs/python.md"])
def test_python_examples_run(document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / document).read_text()
    blocks = BLOCK.findall(text)
    assert blocks
    # One after the other in one namespace, as a reader would paste them.
    code = compile("\n".join(blocks), str(Path(document)), "exec")
    exec(code, {"__name__": "__main__"})
