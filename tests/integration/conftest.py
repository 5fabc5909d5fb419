"""Kernels are compiled before the first command runs, so that none has to say that it compiles."""

from __future__ import annotations

import pytest

from batonics.jobs.kernel_compilation import compile_kernels


@pytest.fixture(scope="session", autouse=True)
def warm_kernels() -> None:
    compile_kernels()
