"""Registers `.mbo` on the LazyFrames of Polars.

The rule here: `import batonics` registers `.mbo`, whether Polars is imported before or after, and
does not import Polars itself. The command line imports batonics too, and its help needs no Polars.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from batonics.frames.namespace import MboNamespace

POLARS = "polars"
NAMESPACE = "mbo"


def register_namespace() -> None:
    """Register `.mbo` now if Polars is imported, else as soon as it is."""
    # A module that is being imported is in the table already, and lacks its names.
    if getattr(sys.modules.get(POLARS), "LazyFrame", None) is not None:
        _register()
    elif not any(isinstance(finder, _PolarsFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _PolarsFinder())


def mbo(records: pl.LazyFrame) -> MboNamespace:
    """The namespace of one LazyFrame."""
    from batonics.frames.namespace import MboNamespace

    return MboNamespace(records)


def _register() -> None:
    import polars as pl

    if getattr(pl.LazyFrame, NAMESPACE, None) is not mbo:
        pl.api.register_lazyframe_namespace(NAMESPACE)(mbo)  # type: ignore[arg-type]


class _PolarsFinder:
    """Finds Polars as Python does, and registers the namespace once Polars is imported."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The specification of Polars; None for any other module."""
        if fullname != POLARS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            sys.meta_path.remove(self)
            _register()

        # The loader stays Python's own, for those who ask a module for it.
        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
