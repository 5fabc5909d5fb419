"""Kernels are compiled before the first command runs, so that none has to say that it compiles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from batonics.jobs.kernel_compilation import compile_kernels


@pytest.fixture(scope="session", autouse=True)
def warm_kernels() -> None:
    compile_kernels()


@pytest.fixture(scope="module")
def memory_directory() -> Iterator[Path]:
    """A directory in memory where the system has one: a sync costs nothing there.

    For small files, and for tests that inject what a disk may do.
    """
    memory = Path("/dev/shm")
    with TemporaryDirectory(prefix="batonics-", dir=memory if memory.is_dir() else None) as name:
        yield Path(name)
