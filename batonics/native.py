"""The one place that knows numba: the kernel decorator, its cache, and two machine instructions.

Kernels are compiled once per machine and kept. numba's own cache is not enough for a tool that is
trusted with money, for three reasons, each mended here:

* numba looks only at the file of the outer kernel, so a change in an inlined helper of another
  file would go on running old code. Our stamp covers every file that holds kernels.
* numba refuses to start where no cache directory can be written (a read-only container). We run
  all the same, from a cache compiled at build time, or compiling anew.
* numba prefers a user's directory over a cache shipped beside the code. We look in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import caching
from numba.extending import intrinsic

from batonics.settings.loader import current, user_cache

PACKAGE = Path(__file__).parent
KERNEL_FILES = "*kernels.py"
"""Every file with kernels ends so; their contents are the cache's stamp."""

F = TypeVar("F", bound=Callable[..., Any])

# numba's types leave `_nrt` out.
_njit: Any = numba.njit


def _say_nothing(_: str) -> None:
    """What is called where nobody asked to be told."""


_announce: list[Callable[[str], None]] = [_say_nothing]


def on_compile(announce: Callable[[str], None]) -> None:
    """Have `announce(kernel_name)` called when a kernel must be compiled (it takes seconds).

    It takes the place of the one before.
    """
    _announce[0] = announce


def kernel(function: F) -> F:
    """Compile a function over arrays and scalars: no GIL, no bounds checks, cached.

    Integer and float division follow C (`error_model="numpy"`): a kernel never raises. It cannot
    allocate either (`_nrt=False`): without that, numba counts references to every array it hands
    to a helper, atomically, which cost the fold half of its speed.
    """
    dispatcher = _njit(function, nogil=True, boundscheck=False, error_model="numpy", _nrt=False)
    dispatcher._cache = _KernelCache(function)
    return dispatcher  # type: ignore[no-any-return]


def inlined(function: F) -> F:
    """A helper that is always inlined into the kernels that call it: it costs no call.

    Passing arrays to a call costs more than most helpers do.
    """
    return _njit(function, forceinline=True, **_HELPER)  # type: ignore[no-any-return]


def outlined(function: F) -> F:
    """A helper that kernels call, for what is rare or large."""
    return _njit(function, **_HELPER)  # type: ignore[no-any-return]


# Helpers have no way in from Python: it would be a third of their compilation.
_HELPER = {
    "error_model": "numpy",
    "_nrt": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


@inlined
def at(index: int) -> np.uint64:
    """An index known not to be negative: numba then leaves out its test for counting from the end.

    Measured on the fold: a quarter of its time.
    """
    return np.uint64(index)


@inlined
def as_word(value: Any) -> int:
    """The value as an int64: what arithmetic in kernels is done in, whatever the arrays hold."""
    return np.int64(value)  # type: ignore[return-value]  # to Python it is an int


def cache_directories() -> list[Path]:
    """Where compiled kernels may be, in the order they are looked for."""
    if named := current().cache.directory:
        return [Path(named)]
    beside, home = PACKAGE / "__pycache__" / "kernels", user_cache()
    return [beside] if home is None else [beside, home / "batonics" / "kernels"]


@cache
def _stamp() -> bytes:
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted([*PACKAGE.rglob(KERNEL_FILES), PACKAGE / "native.py"]):
        digest.update(path.read_bytes())
    return digest.digest()


class _Locator(caching._CacheLocator):
    """One function's files in one directory; numba's interface."""

    def __init__(self, function: Callable[..., Any], directory: Path) -> None:
        self._py_file = function.__code__.co_filename
        # A directory a module: two rooms may have kernels of one name in files of one name.
        self._directory = directory / function.__module__
        self._disambiguator = str(function.__code__.co_firstlineno)

    def get_cache_path(self) -> str:
        return str(self._directory)

    def get_source_stamp(self) -> bytes:
        return _stamp()

    def get_disambiguator(self) -> str:
        return self._disambiguator


class _DirectoryCache(caching.FunctionCache):
    """numba's function cache in a directory that we name."""

    def __init__(self, function: Callable[..., Any], directory: Path) -> None:
        class Locator(_Locator):
            @classmethod
            def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Locator:
                return cls(py_func, directory)

        class Impl(caching.CompileResultCacheImpl):
            _locator_classes: list[type[object]] = [Locator]

        self._impl_class = Impl
        super().__init__(function)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        # Without the refresh of numba's, which imports all that a compilation could need: a kernel
        # that is compiled already needs none of it, and a short run would be a fifth longer.
        return self._load_overload(sig, target_context)


class _KernelCache(caching._Cache):
    """Loads from the first directory that has the kernel, saves to the first that takes it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = function.__name__
        self._caches = [_DirectoryCache(function, path) for path in cache_directories()]

    @property
    def cache_path(self) -> str:
        return str(self._caches[0].cache_path)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        for directory in self._caches:
            try:
                found = directory.load_overload(sig, target_context)
            except OSError:
                continue  # not readable here: the next directory, or a compilation
            except Exception:  # noqa: BLE001 - a damaged pickle may raise anything
                _forget(directory)
                continue
            if found is not None:
                return found
        _announce[0](self._name)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        for directory in self._caches:
            try:
                directory.save_overload(sig, data)
            except OSError:
                continue  # read-only or full: the kernel runs from memory all the same
            return

    def enable(self) -> None:
        for directory in self._caches:
            directory.enable()

    def disable(self) -> None:
        for directory in self._caches:
            directory.disable()

    def flush(self) -> None:
        for directory in self._caches:
            directory.flush()


def _forget(directory: _DirectoryCache) -> None:
    """Empty a damaged cache, so that the kernels are compiled and kept anew."""
    with suppress(OSError):
        directory.flush()


@intrinsic
def _prefetch(typingctx, array, index):  # type: ignore[no-untyped-def]
    """Ask for the cache line of `array[index]` (a 1-D C array) before it is needed."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        array_type = signature.args[0]
        data = context.make_array(array_type)(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        i32 = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [address.type],
            ir.FunctionType(ir.VoidType(), [address.type, i32, i32, i32]),
        )
        # (address, for writing, kept in all caches, data)
        builder.call(function, [address, i32(1), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.void(array, index), codegen


# To Python an intrinsic takes its typing context too.
prefetch: Any = _prefetch
"""`prefetch(array, index)`: ask for the cache line of an element before it is needed."""


def _loader(numba_type: Any, bits: int) -> Any:
    @intrinsic
    def load(typingctx, buffer, offset):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            address = builder.gep(data, [args[1]])
            value = builder.load(builder.bitcast(address, ir.IntType(bits).as_pointer()))
            value.align = 1
            return value

        return numba_type(buffer, offset), codegen

    return load


load_u16 = _loader(types.uint16, 16)
"""`load_u16(buffer, offset)`: little-endian integer at a byte offset of a uint8 array, aligned or
not. (Big-endian machines are not supported: DBN is little-endian and so are they all.)"""
load_u32 = _loader(types.uint32, 32)
load_i32 = _loader(types.int32, 32)
load_u64 = _loader(types.uint64, 64)
load_i64 = _loader(types.int64, 64)
