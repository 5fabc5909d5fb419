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


def run(program: str = PROGRAM, **environment: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()


def test_a_kernel_is_compiled_once(tmp_path: Path) -> None:
    first = run(BATONICS_KERNEL_DIR=str(tmp_path))
    assert first == ["compiled decode_records", "rows 1"]
    assert run(BATONICS_KERNEL_DIR=str(tmp_path)) == ["rows 1"]


def test_a_kernel_runs_where_nothing_can_be_written() -> None:
    # Below a file no directory can be made, not even by root.
    nowhere = str(Path(native.__file__) / "cache")
    assert run(BATONICS_KERNEL_DIR=nowhere) == ["compiled decode_records", "rows 1"]


def test_a_damaged_cache_is_not_believed(tmp_path: Path) -> None:
    run(BATONICS_KERNEL_DIR=str(tmp_path))
    for index in tmp_path.rglob("*.nbi"):
        index.write_bytes(index.read_bytes()[:40])
    assert run(BATONICS_KERNEL_DIR=str(tmp_path))[-1] == "rows 1"


SMALL = """
from batonics import native
native.on_compile(lambda name: print("compiled", name))
@native.kernel
def double(value):
    return value * 2
print("result", double(4))
"""
EVIL = """
import os, pickle, sys
class Evil:
    def __reduce__(self):
        return os.system, (f"touch {sys.argv[1]}/it_ran",)
for path in sys.argv[2:]:
    with open(path, "wb") as file:
        pickle.dump(Evil(), file)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_kernels_that_another_user_may_have_written_are_not_loaded(tmp_path: Path) -> None:
    directory = tmp_path / "above" / "kernels"
    run(SMALL, BATONICS_KERNEL_DIR=str(directory))
    files = [str(path) for path in directory.rglob("*.nb[ci]")]
    subprocess.run([sys.executable, "-c", EVIL, str(tmp_path), *files], check=True)
    os.chown(files[0], 54_321, 54_321)
    assert run(SMALL, BATONICS_KERNEL_DIR=str(directory)) == ["compiled double", "result 8"]
    os.chown(files[0], 0, 0)
    directory.parent.chmod(0o777)
    assert run(SMALL, BATONICS_KERNEL_DIR=str(directory)) == ["compiled double", "result 8"]
    assert not (tmp_path / "it_ran").exists()
    # The same files do run where they are our own.
    directory.parent.chmod(0o755)
    run(SMALL, BATONICS_KERNEL_DIR=str(directory))
    assert (tmp_path / "it_ran").exists()


def test_the_directory_of_cached_parts_has_no_kernels(tmp_path: Path) -> None:
    run(
        SMALL,
        BATONICS_CACHE_DIR=str(tmp_path / "parts"),
        BATONICS_KERNEL_DIR=str(tmp_path / "kernels"),
    )
    assert [path.name for path in tmp_path.iterdir()] == ["kernels"]


def test_only_their_owner_can_write_to_kernels_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        run(SMALL, BATONICS_KERNEL_DIR=str(tmp_path / "kernels"))
    finally:
        os.umask(before)
    assert run(SMALL, BATONICS_KERNEL_DIR=str(tmp_path / "kernels")) == ["result 8"]


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

    monkeypatch.delenv("BATONICS_KERNEL_DIR", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    directories = native.kernel_directories()
    assert [directory.path.parent.name for directory in directories] == ["__pycache__"]
