"""What callers name as input: paths, bytes, and the DBNStore of the vendor's client.

The rule here: every input becomes a path, so that all that reads files reads it, as often as it
likes. Bytes become an anonymous file of Linux, which lives as long as its `MemoryFile`.
"""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from os import PathLike
from typing import Annotated, Self

from batonics.model.arguments import Expected


class MemoryFile(str):
    """The path of a copy of bytes. Whoever opens it holds this object until then."""

    __slots__ = ("__weakref__",)

    def __new__(cls, data: bytes) -> Self:  # noqa: D102 - the class says it
        descriptor = os.memfd_create("batonics")
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(data)
        path = super().__new__(cls, f"/proc/self/fd/{descriptor}")
        weakref.finalize(path, os.close, descriptor)
        return path


class DbnStore(ABC):
    """The class `databento.DBNStore`, recognised without importing its package."""

    @property
    @abstractmethod
    def raw(self) -> bytes:
        """The bytes as the vendor sent them, plain or compressed."""

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        return other.__name__ == "DBNStore" and other.__module__.startswith("databento.")


def _advise(value: object) -> str:
    if hasattr(value, "read"):
        return "give the path of an open file, or its bytes"
    if isinstance(value, (bytes, DbnStore)):
        return "write it to a file, and give its path"
    return ""


Paths = Annotated[
    str | PathLike[str] | Sequence[str | PathLike[str]],
    Expected("a path or a collection of paths", _advise),
]
"""One file or several."""
_Input = str | PathLike[str] | bytes | DbnStore
Inputs = Annotated[
    _Input | Sequence[_Input],
    Expected("a path, bytes, a DBNStore, or a collection of them", _advise),
]
"""One input or several."""


def path_list(inputs: Inputs) -> list[str]:
    """The paths of one input or several. Bytes and the data of a DBNStore are copied."""
    several = [inputs] if isinstance(inputs, (str, PathLike, bytes, DbnStore)) else inputs
    return [_path(one) for one in several]


def _path(one: _Input) -> str:
    if isinstance(one, bytes):
        return MemoryFile(one)
    return MemoryFile(one.raw) if isinstance(one, DbnStore) else os.fspath(one)
