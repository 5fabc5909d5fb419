"""A quick suite against a mutant of the engine, in a process of its own.

The rule: it exits with PASSED only if it saw nothing wrong; with STILLBORN if the kernels do not
compile, which no test can be credited with; anything else, a crash of the process too, is a kill.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numba.core.errors import NumbaError

from batonics.book.engine import BookEngine
from batonics.book.results import TopsSpec
from batonics.book.state import FoldStop
from batonics.model.mbo import MBO_DTYPE, MboBatch, Side, batch_from_records, slice_batch
from tests.support.compare_books import EnginePair, engine_l3, pieces
from tests.support.faults_feeds import KINDS, check_faulty_feeds
from tests.support.fill_checks import check_fill_simulation, check_fills_over_snapshots
from tests.support.frame_checks import (
    check_consolidated,
    check_sampled_event_windows,
    check_sampled_intervals,
)
from tests.support.growth_streams import churn, ends, one_sided, wide
from tests.support.order_checks import (
    check_deep_order_lives,
    check_fill_order,
    check_order_lives,
    check_order_lives_over_snapshots,
    check_queue_positions,
)
from tests.support.reference_tops import engine_tops, reference_tops
from tests.support.status_checks import check_statuses
from tests.support.stream_profiles import PROFILES
from tests.support.streams import random_stream
from tests.support.trace import every, rebuilt, restarted, trace

PASSED, STILLBORN, KILLED = 0, 3, 4
PREFIX_BYTES = 8
SEED = 41
STEP_CPU_S = 30
"""Three times what the longest step takes, with kernels that it compiles: some mutants loop."""


def compile_all() -> None:
    """Compile every kernel, on streams too short for a mutant to matter."""
    BookEngine(bbo=True, deltas=True, tops=TopsSpec(1)).fold(random_stream(SEED, 1))
    engine = BookEngine()
    engine.rebuild()
    engine._make_room(FoldStop.BOOKS)


def run(clx5: Path | None, changed: str = "") -> None:
    """AssertionError, or anything else, if the engine is wrong.

    Args:
        clx5: the file of a real day.
        changed: the kernel module with the mistake; the checks of what it does come first.
    """
    steps = [_engine, _grow, _without_outputs, _tops, _windows, _consolidated, _orders, _live]
    steps += [_statuses, _restarts, partial(_check_final_book, clx5)]
    first = _FIRST.get(changed.rpartition(".")[2], ())
    for step in (*first, *(step for step in steps if step not in first)):
        _limit_cpu_time(STEP_CPU_S)
        step()


def _limit_cpu_time(seconds: int) -> None:
    """End this process after so much more processor time: a kernel hears no other signal."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard < 0 else min(soft, hard), hard))


def _engine() -> None:
    """Books, quotes and deltas of every kind of stream."""
    for name, profile in PROFILES.items():
        for seed, batch_rows in ((SEED, 3_000), (SEED + 1, 7)):
            pair = EnginePair(f"{name}, seed {seed}", full_every=300)
            # Buffers that are made for three records grow in the large batch.
            batch = profile(seed, 3_000)
            pair.feed(slice_batch(batch, 0, 3))
            pair.feed_in_batches(slice_batch(batch, 3, 3_000), batch_rows)


def _restarts() -> None:
    """Checkpoints and rebuilt tables leave no trace."""
    for name in ("snapshots", "top_of_book", "many_books"):
        batch = PROFILES[name](SEED, 2_000)
        whole = trace(batch, []).digest()
        assert trace(batch, every(9, batch), between=restarted).digest() == whole, name
        assert trace(batch, every(9, batch), between=rebuilt).digest() == whole, name


def _live() -> None:
    """What is published of books, over days and over feeds that are lost and come back."""
    for name in ("snapshots", "adversarial"):
        pair = EnginePair(f"{name}, by days", full_every=300)
        for piece in pieces(PROFILES[name](SEED, 2_000), 61):
            pair.start_day()
            pair.feed(piece)
        pair.check()
    for kind in KINDS:
        check_faulty_feeds(kind, range(6))


def _grow() -> None:
    pair = EnginePair("churn", full_every=5_000)
    pair.feed_in_batches(churn(20_000), 500)
    pair = EnginePair("wide", full_every=4_000)
    for piece in (*pieces(wide(8_000, 400), 2_000), ends(3)):
        pair.feed(piece)
    for side in (Side.BID, Side.ASK):
        # More levels in one clear than a new buffer of deltas has room for.
        pair = EnginePair(f"one side, {side.name}", full_every=1_000)
        for piece in pieces(one_sided(600, side), 40):
            pair.feed(piece)
        pair.check()


def _without_outputs() -> None:
    """Books alone are the same books: no room is asked for where nothing is written."""
    for name in ("snapshots", "top_of_book", "adversarial"):
        batch = PROFILES[name](SEED, 3_000)
        alone, full = BookEngine(), BookEngine(bbo=True, deltas=True)
        alone.fold(batch)
        full.fold(batch)
        assert engine_l3(alone) == engine_l3(full), f"{name}: books without outputs"


def _tops() -> None:
    for name in ("adversarial", "snapshots", "top_of_book", "partial"):
        batch = PROFILES[name](SEED, 1_500)
        for depth in (1, 3):
            expected = reference_tops(batch, depth)
            cut = [slice_batch(batch, 0, 3), *pieces(slice_batch(batch, 3, 1_500), 400)]
            ours = engine_tops(cut, TopsSpec(depth, trades=True))
            assert ours == expected, f"{name}: tops of depth {depth}"
            trades = TopsSpec(depth, changes=False, trades=True)
            of_trades = [top for top in expected if top.kind == "trade"]
            assert engine_tops(pieces(batch, 97), trades) == of_trades, f"{name}: trades alone"


def _windows() -> None:
    """Depth at the ends of windows."""
    for profile in ("adversarial", "snapshots"):
        check_sampled_intervals(profile, 300_000_007)
        check_sampled_event_windows(profile, 3)


def _consolidated() -> None:
    check_consolidated(1, 3)


def _orders() -> None:
    """Lives of orders, places in queues, simulated fills."""
    check_order_lives(SEED)
    check_deep_order_lives(1)
    check_fill_order(1)
    check_order_lives_over_snapshots(2)
    check_queue_positions(SEED)
    for seed in (1, 2):
        check_fill_simulation(seed)
        check_fills_over_snapshots(seed)


def _statuses() -> None:
    """The statuses of rows."""
    for profile in ("snapshots", "adversarial", "many_books"):
        check_statuses(profile, 60)


def _check_final_book(clx5: Path | None) -> None:
    if clx5 is None:
        return
    engine = BookEngine()
    engine.fold(_read_plain(clx5))
    levels = engine.levels()
    for number, side in enumerate(("bids", "asks")):
        of_side = levels.side == number
        ours = np.stack([column[of_side] for column in levels[2:]], axis=1).tolist()
        assert ours == json.loads((clx5.parent / "final_book.json").read_text())[side], side


def _read_plain(path: Path) -> MboBatch:
    """The records of an uncompressed file of MBO alone, without our decoder and its kernels."""
    data = path.read_bytes()
    metadata_bytes = int.from_bytes(data[4:PREFIX_BYTES], "little")
    return batch_from_records(np.frombuffer(data[PREFIX_BYTES + metadata_bytes :], MBO_DTYPE))


_FIRST: dict[str, tuple[Callable[[], None], ...]] = {
    "queue_kernels": (_orders,),
    "window_kernels": (_windows,),
    "top_kernels": (_tops, _windows),
    "merge_kernels": (_consolidated,),
    "publish_kernels": (_live,),
    "status_kernels": (_statuses,),
}
"""What finds a mistake soonest, by the module that has it."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clx5", type=Path, help="the file of a real day")
    parser.add_argument("--changed", default="", help="the kernel module with the mistake")
    options = parser.parse_args(arguments)
    try:
        compile_all()
    except (NumbaError, NameError, AttributeError, UnboundLocalError) as error:
        sys.stdout.write(f"{type(error).__name__}\n")
        return STILLBORN
    try:
        run(options.clx5, options.changed)
    except Exception as error:  # noqa: BLE001  # whatever a mutant does wrong
        message = str(error).splitlines() or [""]
        sys.stdout.write(f"{type(error).__name__}: {message[0][:150]}\n")
        return KILLED
    return PASSED


if __name__ == "__main__":
    sys.exit(main())
