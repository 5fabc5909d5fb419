"""The one module that knows numba: the kernel decorator, its cache, prefetches and wide loads.

Kernels are compiled once per machine and kept. numba's own cache does not suffice, for three
reasons. Each has its remedy here:

* numba checks only the file of the outer kernel, so after a change of an inlined helper in another
  file it would run old code. Our stamp covers every file that holds kernels or their constants.
* numba refuses to start where no cache directory is writable (a read-only container). Ours runs
  from a cache compiled at build time, or compiles anew.
* numba prefers a user's directory to a cache shipped beside the code. Ours searches both.

A compiled kernel is code. It is loaded only from a directory that no other user can write to
(`settings/private_directory.py`).

A signal does not interrupt the loading or the compilation of a kernel (`held_interrupts.py`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import caching
from numba.extending import intrinsic

from batonics.held_interrupts import hold_interrupts
from batonics.settings.loader import current, user_cache
from batonics.settings.private_directory import find_intrusion, make_directory

PACKAGE = Path(__file__).resolve().parent
KERNEL_FILES = "*kernels.py"
"""The names of files with kernels. Their contents are part of the cache's stamp."""
LAYOUT_FILES = ("book/queue_state.py", "book/state.py", "model/mbo.py")
"""Files without kernels whose constants are compiled into kernels; part of the stamp too."""
_CACHE_FILES = (".nbi", ".nbc")
"""The ends of the names of numba's cache files: indices (.nbi) and compiled code (.nbc)."""

F = TypeVar("F", bound=Callable[..., Any])

# numba's types leave `_nrt` out.
_njit: Any = numba.njit


def _announce_nothing(_: str) -> None:
    """Do nothing when a kernel is compiled."""


_announce: list[Callable[[str], None]] = [_announce_nothing]


def on_compile(announce: Callable[[str], None]) -> None:
    """Call `announce(kernel_name)` when a kernel must be compiled, which takes seconds.

    A later call replaces the function.
    """
    _announce[0] = announce


def kernel(function: F) -> F:
    """Compile a function over arrays and scalars: no GIL, no bounds checks, cached.

    Integer and float division follow C (`error_model="numpy"`): a kernel never raises. It cannot
    allocate either (`_nrt=False`). Otherwise numba counts, atomically, the references to each array
    that is passed to a helper, which costs the fold half of its speed.
    """
    dispatcher = _njit(function, nogil=True, boundscheck=False, error_model="numpy", _nrt=False)
    dispatcher._cache = _KernelCache(function)
    dispatcher._compile_for_args = hold_interrupts(dispatcher._compile_for_args)
    return dispatcher  # type: ignore[no-any-return]


def inlined(function: F) -> F:
    """A helper that is always inlined into the kernels that call it.

    Passing arrays to a call costs more than most helpers do.
    """
    return _njit(function, forceinline=True, **_HELPER)  # type: ignore[no-any-return]


def outlined(function: F) -> F:
    """A helper that kernels call: for rare or large steps."""
    return _njit(function, **_HELPER)  # type: ignore[no-any-return]


# Helpers cannot be called from Python: that wrapper would be a third of their compilation.
_HELPER = {
    "error_model": "numpy",
    "_nrt": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


@inlined
def at(index: int) -> np.uint64:
    """An index that is never negative, so that numba omits its test for counting from the end.

    The test costs the fold a quarter of its time.
    """
    return np.uint64(index)


@inlined
def as_word(value: Any) -> int:
    """The value as an int64, the type of all arithmetic in kernels, whatever the arrays hold."""
    return np.int64(value)  # type: ignore[return-value]  # to Python it is an int


class KernelDirectory(NamedTuple):
    """A directory of compiled kernels.

    Attributes:
        path: the directory, whose links have been followed.
        owners: the users whose kernels are loaded.
        below: directories above this one, and this one, are not checked; None: all are.
    """

    path: Path
    owners: tuple[int, ...]
    below: Path | None = None


def kernel_directories() -> list[KernelDirectory]:
    """Directories of compiled kernels, in the order of the search."""
    ours = (os.geteuid(),)
    if named := current().cache.kernel_directory:
        return [KernelDirectory(Path(named).resolve(), ours)]
    # Who may write to the package can change the code itself.
    beside = PACKAGE / "__pycache__" / "kernels"
    found = [KernelDirectory(beside, (*ours, PACKAGE.stat().st_uid), PACKAGE)]
    if (home := user_cache()) is not None:
        found.append(KernelDirectory((home / "batonics" / "kernels").resolve(), ours))
    return found


_ours: set[str] = set()  # directories that were checked
_refused: dict[str, None] = {}  # why others were refused


def refused_directories() -> list[str]:
    """Why kernels were not loaded from a directory, or not kept there, by this process."""
    return list(_refused)


@cache
def _stamp() -> bytes:
    digest = hashlib.sha256(numba.__version__.encode())
    others = [PACKAGE / name for name in ("native.py", *LAYOUT_FILES)]
    for path in sorted([*PACKAGE.rglob(KERNEL_FILES), *others]):
        digest.update(path.read_bytes())
    return digest.digest()


class _Locator(caching._CacheLocator):
    """The cache files of one function in one directory (an interface of numba)."""

    def __init__(self, function: Callable[..., Any], directory: Path) -> None:
        self._py_file = function.__code__.co_filename
        # One directory for each module: two rooms may have files and kernels of the same names.
        self._directory = directory / function.__module__
        self._disambiguator = str(function.__code__.co_firstlineno)

    def get_cache_path(self) -> str:
        return str(self._directory)

    def get_source_stamp(self) -> bytes:
        return _stamp()

    def get_disambiguator(self) -> str:
        return self._disambiguator


class _CacheFile(caching.IndexDataCacheFile):
    """numba's cache files; only their owner may write to them, whatever the umask is."""

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[IO[bytes]]:
        with super()._open_for_write(filepath) as file:
            os.fchmod(file.fileno(), 0o644)
            yield file


class _DirectoryCache(caching.FunctionCache):
    """numba's function cache, in a given directory."""

    def __init__(self, function: Callable[..., Any], directory: KernelDirectory) -> None:
        self._directory = directory

        class Locator(_Locator):
            @classmethod
            def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Locator:
                return cls(py_func, directory.path)

        class Impl(caching.CompileResultCacheImpl):
            _locator_classes: list[type[object]] = [Locator]

        self._impl_class = Impl
        super().__init__(function)
        self._cache_file = _CacheFile(
            self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp()
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        # Without numba's refresh, which imports all that a compilation could need. A compiled
        # kernel needs none of it, and a short run would take a fifth longer.
        return self._load_overload(sig, target_context) if self._is_ours() else None

    def save_overload(self, sig: Any, data: Any) -> None:
        if self._is_ours():
            make_directory(Path(self._cache_path))
        if not self._is_ours():
            raise PermissionError(f"{self._cache_path}: another user may write to it")
        super().save_overload(sig, data)

    def _is_ours(self) -> bool:
        """Whether no other user can have put a kernel there."""
        path = str(self._cache_path)
        if path in _ours:
            return True
        _, owners, below = self._directory
        intrusion = find_intrusion(Path(path), owners, files=_CACHE_FILES, below=below)
        if intrusion is not None:
            _refused[intrusion] = None
        elif Path(path).exists():  # then it stays so
            _ours.add(path)
        return intrusion is None


class _KernelCache(caching._Cache):
    """Loads a kernel from the first directory that has it, saves to the first writable one."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = function.__name__
        self._caches = [_DirectoryCache(function, one) for one in kernel_directories()]

    @property
    def cache_path(self) -> str:
        return str(self._caches[0].cache_path)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        for directory in self._caches:
            try:
                found = directory.load_overload(sig, target_context)
            except OSError:
                continue  # not readable: the next directory, or a compilation
            except Exception:  # noqa: BLE001 - a damaged pickle may raise anything
                _clear(directory)
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
                continue  # read-only or full: the kernel runs from memory
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


def _clear(directory: _DirectoryCache) -> None:
    """Empty a damaged cache, so that the kernel is compiled and saved anew."""
    with suppress(OSError):
        directory.flush()


@intrinsic
def _prefetch(typingctx, array, index):  # type: ignore[no-untyped-def]
    """Prefetch the cache line of `array[index]` (a 1-D C array)."""

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


# For Python an intrinsic has one more parameter, its typing context.
prefetch: Any = _prefetch
"""`prefetch(array, index)`: load the cache line of an element ahead of its use."""


@intrinsic
def _memory_fence(typingctx):  # type: ignore[no-untyped-def]
    """Keep loads and stores before it from moving behind it, and the other way round."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


memory_fence: Any = _memory_fence
"""`memory_fence()`: what is before it happens before what is after it, for other processes too."""


def _loader(numba_type: Any, bits: int, *, is_big_endian: bool = False) -> Any:
    @intrinsic
    def load(typingctx, buffer, offset):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            address = builder.gep(data, [args[1]])
            value = builder.load(builder.bitcast(address, ir.IntType(bits).as_pointer()))
            value.align = 1
            return builder.bswap(value) if is_big_endian else value

        return numba_type(buffer, offset), codegen

    return load


load_u16 = _loader(types.uint16, 16)
"""`load_u16(buffer, offset)`: the little-endian integer at a byte offset of a uint8 array, aligned
or not. Big-endian machines are not supported."""
load_u32 = _loader(types.uint32, 32)
load_i32 = _loader(types.int32, 32)
load_u64 = _loader(types.uint64, 64)
load_i64 = _loader(types.int64, 64)
load_be_u16 = _loader(types.uint16, 16, is_big_endian=True)
"""`load_be_u16(buffer, offset)`: the big-endian integer at a byte offset, as those above."""
load_be_u32 = _loader(types.uint32, 32, is_big_endian=True)
load_be_u64 = _loader(types.uint64, 64, is_big_endian=True)
