"""Compiled kernels are kept, found again, and do without a place to be kept."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batonics import native
from tests.support.paths import ROOT

PROGRAM = """
from batonics import native
from batonics.codec import record_kernels
from batonics.codec.dbn import DbnDecoder
native.on_compile(lambda name: print("compiled", name))
decoder = DbnDecoder()
list(decoder.feed(bytes([14, 160]) + bytes(54)[:-18] + b"AN" + bytes(16)))
print("rows", decoder.rows)
"""


def run(**environment: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()


def test_a_kernel_is_compiled_once(tmp_path: Path) -> None:
    first = run(BATONICS_CACHE_DIR=str(tmp_path))
    assert first == ["compiled decode_records", "rows 1"]
    assert run(BATONICS_CACHE_DIR=str(tmp_path)) == ["rows 1"]


def test_a_kernel_runs_where_nothing_can_be_written() -> None:
    # Below a file no directory can be made, not even by root.
    nowhere = str(Path(native.__file__) / "cache")
    assert run(BATONICS_CACHE_DIR=nowhere) == ["compiled decode_records", "rows 1"]


def test_a_damaged_cache_is_not_believed(tmp_path: Path) -> None:
    run(BATONICS_CACHE_DIR=str(tmp_path))
    for index in tmp_path.rglob("*.nbi"):
        index.write_bytes(index.read_bytes()[:40])
    assert run(BATONICS_CACHE_DIR=str(tmp_path))[-1] == "rows 1"


def test_a_change_of_any_kernel_file_is_a_new_stamp(monkeypatch: pytest.MonkeyPatch) -> None:
    before = native._stamp()
    native._stamp.cache_clear()
    original = Path.read_bytes

    def changed(path: Path) -> bytes:
        return original(path) + (b"#" if path.name == "ladder_kernels.py" else b"")

    monkeypatch.setattr(Path, "read_bytes", changed)
    assert native._stamp() != before
    native._stamp.cache_clear()


def test_constants_that_kernels_compile_in_are_part_of_the_stamp() -> None:
    stamped = {"native.py", *native.LAYOUT_FILES}
    for path in native.PACKAGE.rglob(native.KERNEL_FILES):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(
                "batonics"
            ):
                continue
            source = "/".join((node.module or "").split(".")[1:]) + ".py"
            if any(name.name.isupper() for name in node.names):
                assert source.endswith("kernels.py") or source in stamped, (path.name, source)


def test_a_user_without_a_home_has_a_cache_beside_the_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def homeless(path: Path) -> Path:
        raise RuntimeError(f"no home: {path}")

    monkeypatch.delenv("BATONICS_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert [path.parent.name for path in native.cache_directories()] == ["__pycache__"]
