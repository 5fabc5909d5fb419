"""batonics: limit order books from market-by-order data.

    import batonics

    books = batonics.reconstruct("day.dbn.zst")
    books.levels(depth=5)
    batonics.scan_mbo("day.dbn.zst").filter(pl.col("action") == "T").collect()

Names are imported on first use, so `import batonics` is fast. It registers `.mbo` on LazyFrames.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from batonics.public.polars_namespace import register_namespace

if TYPE_CHECKING:
    from batonics.frames.depth.books import Books
    from batonics.frames.orders.fill_simulation import would_fill
    from batonics.jobs.lake_export import export_lake
    from batonics.jobs.lake_load import load_lake
    from batonics.jobs.reconstruct import reconstruct
    from batonics.lake.lake import Lake
    from batonics.model.errors import (
        BatonicsError,
        CheckpointError,
        DamagedInputError,
        DataWarning,
        InputError,
        LakeError,
        LossWarning,
        OutputError,
        UsageError,
    )
    from batonics.public.definitions import with_definitions
    from batonics.public.prices import to_pandas, with_prices
    from batonics.public.scan import scan_mbo
    from batonics.public.symbols import with_symbols

    __version__: str

_MODULES = {
    "Books": "batonics.frames.depth.books",
    "Lake": "batonics.lake.lake",
    "export_lake": "batonics.jobs.lake_export",
    "load_lake": "batonics.jobs.lake_load",
    "reconstruct": "batonics.jobs.reconstruct",
    "scan_mbo": "batonics.public.scan",
    "to_pandas": "batonics.public.prices",
    "with_definitions": "batonics.public.definitions",
    "with_prices": "batonics.public.prices",
    "with_symbols": "batonics.public.symbols",
    "would_fill": "batonics.frames.orders.fill_simulation",
    "BatonicsError": "batonics.model.errors",
    "CheckpointError": "batonics.model.errors",
    "DamagedInputError": "batonics.model.errors",
    "DataWarning": "batonics.model.errors",
    "InputError": "batonics.model.errors",
    "LakeError": "batonics.model.errors",
    "LossWarning": "batonics.model.errors",
    "OutputError": "batonics.model.errors",
    "UsageError": "batonics.model.errors",
}

__all__ = [
    "BatonicsError",
    "Books",
    "CheckpointError",
    "DamagedInputError",
    "DataWarning",
    "InputError",
    "Lake",
    "LakeError",
    "LossWarning",
    "OutputError",
    "UsageError",
    "export_lake",
    "load_lake",
    "reconstruct",
    "scan_mbo",
    "to_pandas",
    "with_definitions",
    "with_prices",
    "with_symbols",
    "would_fill",
]


register_namespace()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("batonics")
    if name not in _MODULES:
        raise AttributeError(f"module 'batonics' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
