"""The kill suite against a mutant: `python -m tests.soak.mutant_process STAMP MODULE [OPTIONS]`.

A mutant compiles what can see its mistake; all other kernels come from the cache as they are. The
cache takes a kernel's stamp when its module is imported, so the suite is imported last.

The rule: a kernel module sees the mistake if it is the changed module or imports it, directly or
through other modules of the package.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

from batonics import native


def share_kernels(stamp: bytes, changed: str) -> None:
    """Take kernels from a cache that was filled before one module changed.

    Args:
        stamp: of the kernels in the cache.
        changed: the dotted name of the module that has changed since.
    """

    def stamp_of(locator: native._Locator) -> bytes:
        module = Path(locator.get_cache_path()).name
        return stamp + b"changed" if changed in _reached(module) else stamp

    setattr(native._Locator, "get_source_stamp", stamp_of)  # noqa: B010 - mypy knows no better


@cache
def _reached(module: str) -> frozenset[str]:
    """The module, and every module of the package that it imports, directly or not."""
    found, ahead = set(), [module]
    while ahead:
        name = ahead.pop()
        path = native.PACKAGE.parent / Path(*name.split(".")).with_suffix(".py")
        if name in found or not path.is_file():
            continue
        found.add(name)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                ahead += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return frozenset(found)


def main() -> int:
    stamp, changed, *options = sys.argv[1:]
    share_kernels(bytes.fromhex(stamp), changed)
    from tests.soak import kill_suite

    return kill_suite.main(["--changed", changed, *options])


if __name__ == "__main__":
    sys.exit(main())
