"""The references of commands and of frames are what the program says of itself."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location

import pytest

from tests.support.paths import ROOT


@pytest.mark.parametrize("name", ["cli", "frames", "queries", "settings"])
def test_a_reference_is_up_to_date(name: str) -> None:
    spec = spec_from_file_location(f"make_{name}", ROOT / "docs" / f"make_{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    made = (ROOT / "docs" / f"{name}.md").read_text()
    assert made == module.render(), f"run docs/make_{name}.py"
