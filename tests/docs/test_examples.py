"""The Python examples of the documentation run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", ["README.md", "docs/python.md", "docs/lake.md"])
def test_python_examples_run(document: str, tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / document).read_text())
    assert blocks
    # One after the other, as a reader would paste them, in a process of their own: what another
    # test has imported must not be what makes them run.
    code = "\n".join(blocks)
    # What they write does not end up in the project.
    for name in ("data", "queries"):
        (tmp_path / name).symlink_to(ROOT / name)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
