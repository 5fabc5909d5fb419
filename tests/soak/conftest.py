"""The marker of the tests that take mutants of the engine.

The rule: what takes long is in files named soak_*.py, which are run only where they are named
(`make soak`, or `python -m pytest tests/soak/soak_engine.py`): nothing here is ever skipped.
"""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "mutation: compiles mutants of the engine, a minute or two")
