"""A checkpoint: an engine as bytes, and back. No I/O.

    BATONCP1 | u32 header length | header, JSON | arrays, one after the other | sha256 of all before

Everything is little-endian. The header has the version of the format, the name and length of each
array, the arguments of the engine, and what the caller adds (`extra`).

The rule: nothing is read before the digest is checked, and no number in a checkpoint allocates more
than its own size requires. The digest detects damage, not malice. So the arrays are also checked
against each other (`checkpoint_checks.py`): whoever wrote a checkpoint can give wrong books, and
do no other harm.

Hash tables are stored as they are. The hash has a salt that each process draws for itself, so they
are rebuilt when another process loads them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from batonics.book.checkpoint_checks import find_misfit
from batonics.book.engine import BookEngine
from batonics.book.results import PublishSpec
from batonics.book.state import (
    BOOK_WORDS,
    SLOT_WORDS,
    Anomaly,
    State,
    Total,
    aligned_zeros,
    new_state,
)
from batonics.model.errors import CheckpointError
from batonics.model.hash_salt import hash_salt
from batonics.model.symbols import MappingInterval

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"

CHECKPOINT_MAGIC = b"BATONCP1"
VERSION = 4
"""Version of the header and of the meaning of the arrays."""

_LENGTH = struct.Struct("<I")
_PREFIX_BYTES = len(CHECKPOINT_MAGIC) + _LENGTH.size
_DIGEST_BYTES = hashlib.sha256().digest_size
_INDEX_WORDS = 8
"""Words of the index for each book that `State.books` has room for, as in `new_state`."""
_DTYPES = {
    "orders": "<i8",
    "levels": "<i8",
    "books": "<i8",
    "book_index": "<i8",
    "run_keys": "<i8",
    "run_slots": "<i4",
    "anomalies": "<i8",
    "totals": "<i8",
    "seen": "<u8",
}
"""The arrays in their order: those of `State`, and the moments of each book's last record."""


class _Header(NamedTuple):
    """A header of our VERSION."""

    records: int
    bbo: bool
    deltas: bool
    lengths: dict[str, int]
    extra: dict[str, JSON]


def save(engine: BookEngine, extra: Mapping[str, JSON]) -> bytes:
    """The checkpoint of an engine between two batches.

    Unused room of the arrays is left out, and so is the result of the last batch.

    Args:
        engine: the engine.
        extra: JSON that `load` gives back.
    """
    return seal(capture(engine, extra))


def capture(engine: BookEngine, extra: Mapping[str, JSON]) -> list[bytes]:
    """The parts of a checkpoint without its digest: copies, so the engine may continue."""
    arrays = _used(engine)
    header = orjson.dumps(
        {
            "version": VERSION,
            "records": engine.records,
            "bbo": engine._keeps_bbo,  # noqa: SLF001  # a checkpoint is the engine's inside
            "deltas": engine._keeps_deltas,  # noqa: SLF001
            "arrays": [[name, _DTYPES[name], array.size] for name, array in arrays.items()],
            "extra": extra,
        }
    )
    parts = [CHECKPOINT_MAGIC, _LENGTH.pack(len(header)), header]
    parts += [array.astype(_DTYPES[name], copy=False).tobytes() for name, array in arrays.items()]
    return parts


def seal(parts: list[bytes]) -> bytes:
    """The checkpoint of captured parts. This is most of the work, and may run in another thread."""
    body = b"".join(parts)
    return body + hashlib.sha256(body).digest()


def load(
    data: bytes, *, tops: PublishSpec | None = None, is_own: bool = False
) -> tuple[BookEngine, dict[str, JSON]]:
    """The saved engine, which continues as if it had never stopped, and the `extra`.

    Args:
        data: a checkpoint.
        tops: keep what `publish` needs. All rows had been published when the engine was saved.
        is_own: this process has made the data and kept them in private: the digest and the arrays
            are not checked again and no table is rebuilt, which is most of the time.

    Raises:
        CheckpointError: the data are damaged, of another version, or no checkpoint.
    """
    body = memoryview(data)[:-_DIGEST_BYTES] if is_own else _undamaged(data)
    header, arrays_at = _read_header(body)
    arrays = _read_arrays(body[arrays_at:], header.lengths)
    engine = BookEngine(bbo=header.bbo, deltas=header.deltas, tops=tops)
    engine.records = header.records
    engine._seen = arrays.pop("seen").reshape(-1, 3)  # noqa: SLF001  # a checkpoint is the engine's inside
    engine.state = _with_room(arrays)
    if not is_own:
        if misfit := find_misfit(engine.state):
            raise CheckpointError(f"the checkpoint's arrays do not fit each other: {misfit}")
        engine.rebuild()
    return engine, header.extra


def read_integers(
    extra: Mapping[str, JSON], name: str, count: int, *, are_times: bool = False
) -> list[Any]:
    """The integers that a caller has added under a name.

    Args:
        extra: what `load` has returned.
        name: the name.
        count: how many they are.
        are_times: whether they are uint64, and may be None; else they are int64.

    Raises:
        CheckpointError: there are no such integers.
    """
    found = extra.get(name)
    if type(found) is list and len(found) == count:
        known = [value for value in found if not (are_times and value is None)]
        least, stop = (0, 1 << 64) if are_times else (-(1 << 63), 1 << 63)
        if all(type(value) is int and least <= value < stop for value in known):
            return found
    raise CheckpointError(f"the checkpoint has no {name}: it is of another command")


def read_symbols(extra: Mapping[str, JSON]) -> list[MappingInterval]:
    """The symbols that a caller has added as `symbols`.

    Raises:
        CheckpointError: there are none.
    """
    found: Any = extra.get("symbols")
    if type(found) is list and all(map(_is_interval, found)):
        return [MappingInterval(*one) for one in found]
    raise CheckpointError("the checkpoint has no symbols: it is of another command")


def _is_interval(one: Any) -> bool:
    if type(one) is not list or [type(value) for value in one] != [int, int, int, str]:
        return False
    limits = (1 << 64, 1 << 64, 1 << 32)
    return all(0 <= value < limit for value, limit in zip(one, limits, strict=False))


def _used(engine: BookEngine) -> dict[str, NDArray[Any]]:
    """The arrays in the order of `_DTYPES`, without the unused ends of those that have one."""
    state, books = engine.state, engine.book_count
    pool = int(state.totals[Total.POOL])
    used = state._replace(
        books=state.books[: books * BOOK_WORDS],
        run_keys=state.run_keys[:pool],
        run_slots=state.run_slots[:pool],
        anomalies=state.anomalies[: books * len(Anomaly)],
    )
    arrays = {**used._asdict(), "seen": engine.last_seen()}
    return {name: arrays[name] for name in _DTYPES}


def _undamaged(data: bytes) -> memoryview:
    """The checkpoint without its digest, which matches."""
    if not data.startswith(CHECKPOINT_MAGIC):
        raise CheckpointError(
            f"not a checkpoint: starts with {data[:8].hex(' ') or 'nothing'},"
            f" expected {CHECKPOINT_MAGIC.decode()}"
        )
    body = memoryview(data)[:-_DIGEST_BYTES]
    if len(body) < _PREFIX_BYTES or hashlib.sha256(body).digest() != data[-_DIGEST_BYTES:]:
        raise CheckpointError(
            f"the checkpoint of {len(data)} bytes is damaged: its digest does not match;"
            " it was cut short or changed"
        )
    return body


def _read_header(body: memoryview) -> tuple[_Header, int]:
    """The header, and the offset of the arrays."""
    (header_bytes,) = _LENGTH.unpack_from(body, len(CHECKPOINT_MAGIC))
    arrays_at = _PREFIX_BYTES + header_bytes
    try:
        header = orjson.loads(body[_PREFIX_BYTES:arrays_at])
        version = header["version"]
        if version != VERSION:
            raise CheckpointError(
                f"the checkpoint is of version {int(version)}, this batonics reads {VERSION}"
            )
        names = [(name, dtype) for name, dtype, _ in header["arrays"]]
        if names != list(_DTYPES.items()):
            raise CheckpointError("the checkpoint holds other arrays than ours")
        lengths = {name: length for name, _, length in header["arrays"]}
        made = _Header(header["records"], header["bbo"], header["deltas"], lengths, header["extra"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the checkpoint's header makes no sense: {error!r}") from None
    types = [type(value) for value in (made.records, made.bbo, made.deltas, made.extra)]
    if types != [int, bool, bool, dict] or {type(length) for length in lengths.values()} != {int}:
        raise CheckpointError("the checkpoint's header makes no sense: a value has another type")
    if made.records < 0:
        raise CheckpointError(f"the checkpoint has {made.records} records")
    return made, arrays_at


def _read_arrays(data: memoryview, lengths: dict[str, int]) -> dict[str, NDArray[Any]]:
    """Copies of the arrays; their lengths fit each other."""
    bytes_of = {name: lengths[name] * np.dtype(_DTYPES[name]).itemsize for name in _DTYPES}
    if min(lengths.values()) < 0 or sum(bytes_of.values()) != len(data):
        raise CheckpointError(
            f"the checkpoint has {len(data)} bytes of arrays, its header claims"
            f" {sum(bytes_of.values())}"
        )
    arrays = {}
    start = 0
    for name, dtype in _DTYPES.items():
        stop = start + bytes_of[name]
        arrays[name] = np.frombuffer(data[start:stop], dtype).copy()
        start = stop
    _check_lengths(arrays)
    return arrays


def _check_lengths(arrays: dict[str, NDArray[Any]]) -> None:
    """Check the lengths that kernels rely on, since they check no bounds."""
    if len(arrays["totals"]) != len(Total):
        raise CheckpointError(f"the checkpoint has {len(arrays['totals'])} totals")
    books, pool = (int(arrays["totals"][total]) for total in (Total.BOOKS, Total.POOL))
    expected = {
        "books": books * BOOK_WORDS,
        "anomalies": books * len(Anomaly),
        "run_keys": pool,
        "run_slots": pool,
        "seen": books * 3,
    }
    wrong = [name for name, length in expected.items() if len(arrays[name]) != length]
    for name, words, fewest in (
        ("orders", SLOT_WORDS, 2),
        ("levels", SLOT_WORDS, 2),
        ("book_index", 2, 4 * books),
    ):
        places, rest = divmod(len(arrays[name]), words)
        if rest or places.bit_count() != 1 or places < fewest:
            wrong.append(name)
    if wrong:
        raise CheckpointError(f"the checkpoint's arrays do not fit each other: {', '.join(wrong)}")


def _with_room(arrays: dict[str, NDArray[Any]]) -> State:
    """A state of the arrays, with the room that was left out."""
    rows = len(arrays["book_index"]) // _INDEX_WORDS
    pool = _power_of_two(max(len(new_state().run_keys), len(arrays["run_keys"])))
    return State(
        orders=_aligned(arrays["orders"], len(arrays["orders"])),
        levels=_aligned(arrays["levels"], len(arrays["levels"])),
        books=_aligned(arrays["books"], rows * BOOK_WORDS),
        book_index=arrays["book_index"],
        run_keys=_padded(arrays["run_keys"], pool),
        run_slots=_padded(arrays["run_slots"], pool),
        anomalies=_padded(arrays["anomalies"], rows * len(Anomaly)),
        totals=arrays["totals"],
        salt=hash_salt(),
    )


def _power_of_two(at_least: int) -> int:
    return 1 << (at_least - 1).bit_length()


def _aligned(array: NDArray[Any], words: int) -> NDArray[np.int64]:
    aligned = aligned_zeros(words)
    aligned[: len(array)] = array
    return aligned


def _padded(array: NDArray[Any], length: int) -> NDArray[Any]:
    return np.concatenate([array, np.zeros(length - len(array), array.dtype)])
