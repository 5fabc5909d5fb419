"""A restart equals no restart, and a damaged checkpoint is refused.

The damage is real: every cut and every byte changed, and headers forged with a right digest.
"""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest

from batonics.book import checkpoint
from batonics.book.checkpoint_checks import find_misfit
from batonics.book.engine import BookEngine
from batonics.book.state import BOOK_WORDS
from batonics.model.errors import CheckpointError
from batonics.model.mbo import MboBatch
from tests.support.compare_books import EnginePair, pieces
from tests.support.real_files import CLX5, DBEQ, read_mbo
from tests.support.stream_profiles import PROFILES
from tests.support.streams import random_stream
from tests.support.trace import books, every, restarted, trace

PLACES = 200
DIGEST_BYTES = 32


def restart_differs_at(batch: MboBatch, places: list[int]) -> list[int]:
    """Those of `places` at which stopping and going on changes what comes out."""
    unbroken = trace(batch, []).digest()
    return [k for k in places if trace(batch, [k], between=restarted).digest() != unbroken]


@pytest.mark.parametrize("file", [CLX5, DBEQ])
def test_a_restart_of_real_data_equals_no_restart(test_data: Path, file: str) -> None:
    batch = read_mbo(test_data / file)
    rows = len(batch.action)
    places = np.random.default_rng(1).choice(rows + 1, PLACES - 2, replace=False)
    assert restart_differs_at(batch, [0, *sorted(places.tolist()), rows]) == []


@pytest.mark.parametrize("profile", PROFILES)
def test_a_restart_of_a_random_stream_equals_no_restart(profile: str) -> None:
    batch = PROFILES[profile](17, 6_000)
    assert restart_differs_at(batch, list(range(0, 6_001, 400))) == []


@pytest.mark.parametrize("profile", PROFILES)
def test_many_restarts_equal_none(profile: str) -> None:
    batch = PROFILES[profile](18, 6_000)
    cuts = every(97, batch)
    assert trace(batch, cuts, between=restarted).digest() == trace(batch, []).digest()


def test_a_restart_before_a_new_day_tells_the_ends_of_its_snapshots() -> None:
    batch = PROFILES["snapshots"](20, 6_000)
    cuts = every(97, batch)
    unbroken = trace(batch, cuts, days=True)
    broken = trace(batch, cuts, between=restarted, days=True)
    assert broken.digest() == unbroken.digest()
    assert unbroken.digest() != trace(batch, cuts).digest()


def test_a_restarted_engine_continues_as_the_reference_does() -> None:
    batch = random_stream(19, 4_000)
    pair = EnginePair("seed 19, restarted")
    for piece in pieces(batch, 50):
        pair.feed(piece)
        pair.restart()
    pair.check()


def test_loading_and_saving_again_gives_the_same_bytes() -> None:
    """Whoever loads another's checkpoint rebuilds the tables."""
    data = saved()
    engine, extra = checkpoint.load(data, is_own=True)
    assert checkpoint.save(engine, extra) == data


@pytest.mark.parametrize(("bbo", "deltas"), [(False, False), (True, False), (False, True)])
def test_the_engine_is_made_as_it_was(bbo: bool, deltas: bool) -> None:
    batch = random_stream(3, 500)
    engine = restarted(BookEngine(bbo=bbo, deltas=deltas))
    folded = engine.fold(batch)
    assert len(folded.bbo) == (500 if bbo else 0)
    assert (len(folded.deltas) > 0, len(folded.event_ends) > 0) == (deltas, deltas)


def test_what_the_caller_adds_comes_back() -> None:
    extra: dict[str, checkpoint.JSON] = {
        "file": "a.dbn",
        "offsets": [1, 2**63],
        "nested": {"é": None},
    }
    assert checkpoint.load(checkpoint.save(BookEngine(), extra))[1] == extra


def test_loading_does_not_share_memory_with_the_bytes() -> None:
    data = saved()
    kept = bytes(bytearray(data))
    engine, _ = checkpoint.load(data)
    engine.fold(random_stream(4, 2_000))
    assert data == kept


def test_room_that_is_not_used_is_left_out() -> None:
    engine = BookEngine()
    engine.fold(PROFILES["many_books"](1, 5_000))
    state = engine.state
    in_memory = sum(array.nbytes for array in state)
    unused = state.books.nbytes - 8 * BOOK_WORDS * engine.book_count
    assert unused > 0
    assert len(checkpoint.save(engine, {})) <= in_memory - unused


# ---------------------------------------------------------------------- damage


def saved() -> bytes:
    """A checkpoint of a few books with all that may be in it."""
    engine = BookEngine(bbo=True, deltas=True)
    engine.fold(random_stream(5, 300))
    return checkpoint.save(engine, {"file": "a.dbn"})


def refusal(data: bytes) -> str:
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(data)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_cut_is_refused() -> None:
    data = saved()
    short = range(200)
    for length in [*short, *range(200, len(data), 997), *range(len(data) - 100, len(data))]:
        refusal(data[:length])
    refusal(data + b"\0")


def test_every_flipped_bit_is_refused() -> None:
    data = bytearray(saved())
    every_bit = [(at, bit) for at in range(300) for bit in range(8)]
    some = [(at, at % 8) for at in range(300, len(data), 331)]
    last = [(len(data) - at, bit) for at in range(1, DIGEST_BYTES + 1) for bit in range(8)]
    for at, bit in every_bit + some + last:
        data[at] ^= 1 << bit
        refusal(bytes(data))
        data[at] ^= 1 << bit
    checkpoint.load(bytes(data))


@pytest.mark.parametrize("data", [b"", b"B", b"DBN\3", b"BATONCP2" + b"\0" * 100])
def test_what_is_no_checkpoint_is_called_so(data: bytes) -> None:
    assert refusal(data).startswith("not a checkpoint: starts with")


def forged(change: Callable[[dict[str, object]], object]) -> bytes:
    """A checkpoint whose header is changed and whose digest is right."""
    data = saved()
    arrays_at = 12 + int.from_bytes(data[8:12], "little")
    header = orjson.loads(data[12:arrays_at])
    header = change(header) or header
    text = header if isinstance(header, bytes) else orjson.dumps(header)
    body = data[:8] + len(text).to_bytes(4, "little") + text + data[arrays_at:-DIGEST_BYTES]
    return body + hashlib.sha256(body).digest()


def lengths(changes: dict[str, int]) -> Callable[[dict[str, object]], object]:
    def change(header: dict[str, object]) -> None:
        arrays = header["arrays"]
        assert isinstance(arrays, list)
        header["arrays"] = [[n, d, length + changes.get(n, 0)] for n, d, length in arrays]

    return change


def test_a_forgery_that_changes_nothing_is_accepted() -> None:
    checkpoint.load(forged(lambda _: None))


def test_another_version_is_refused_by_name() -> None:
    message = refusal(forged(lambda header: header.update(version=5)))
    assert message == "the checkpoint is of version 5, this batonics reads 4"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda _: b"[]", "header makes no sense", id="a list"),
        pytest.param(lambda _: b"{", "header makes no sense", id="not JSON"),
        pytest.param(lambda _: b"[" * 5_000, "header makes no sense", id="deep"),
        pytest.param(lambda h: h.pop("records") and None, "header makes no sense", id="no records"),
        pytest.param(lambda h: h.update(arrays=[1]), "header makes no sense", id="no arrays"),
        pytest.param(lambda h: h["arrays"].pop() and None, "other arrays", id="one missing"),
        pytest.param(lambda h: h["arrays"].reverse(), "other arrays", id="another order"),
        pytest.param(lengths({"orders": 1 << 60}), "its header claims", id="huge"),
        pytest.param(lengths({"orders": -8, "levels": 8}), "do not fit", id="odd tables"),
        pytest.param(lengths({"totals": -1, "seen": 1}), "totals", id="short totals"),
        pytest.param(lengths({"run_keys": -1, "run_slots": 2}), "do not fit", id="runs differ"),
        pytest.param(lengths({"book_index": -512, "seen": 512}), "do not fit", id="no index"),
        pytest.param(lengths({"orders": -1 << 60}), "its header claims", id="negative"),
    ],
)
def test_a_header_that_cannot_be_is_refused(
    change: Callable[[dict[str, object]], object], words: str
) -> None:
    assert words in refusal(forged(change))


def test_a_claim_of_huge_arrays_allocates_nothing() -> None:
    data = forged(lengths({"orders": 1 << 60, "run_keys": 1 << 50}))
    tracemalloc.start()
    refusal(data)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2 * len(data) + 100_000


def test_a_header_longer_than_the_data_is_refused() -> None:
    body = checkpoint.CHECKPOINT_MAGIC + (2**32 - 1).to_bytes(4, "little") + b"{}"
    assert "header makes no sense" in refusal(body + hashlib.sha256(body).digest())


def test_books_saved_are_the_books_loaded() -> None:
    engine = BookEngine()
    engine.fold(random_stream(6, 3_000))
    assert books(restarted(engine)) == books(engine)


# ---------------------------------------------------------------------- malice


@pytest.mark.parametrize("profile", PROFILES)
def test_every_state_of_ours_fits(profile: str) -> None:
    engine = BookEngine()
    for piece in pieces(PROFILES[profile](21, 6_000), 500):
        engine.fold(piece)
        assert find_misfit(engine.state) is None


@pytest.mark.parametrize(
    "extra",
    [{}, {"place": "x"}, {"place": [1, 2]}, {"place": [1, 2.5]}, {"place": [1, True, 2**64]}],
)
def test_what_a_caller_has_not_added_is_one_line(extra: dict[str, checkpoint.JSON]) -> None:
    with pytest.raises(CheckpointError, match="the checkpoint has no place: it is of another"):
        checkpoint.read_integers(extra, "place", 3)
    with pytest.raises(CheckpointError, match="the checkpoint has no symbols"):
        checkpoint.read_symbols({"symbols": [[1, 2, 3]], **extra})
