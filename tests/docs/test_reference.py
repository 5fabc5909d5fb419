"""The reference of commands is what the commands say of themselves."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location

from tests.docs.markdown import ROOT


def test_the_command_reference_is_up_to_date() -> None:
    spec = spec_from_file_location("make_cli", ROOT / "docs" / "make_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "cli.md").read_text() == module.render(), "run docs/make_cli.py"
