"""Damaged copies and cuts of CLX5: refused exactly, or a result; 20,000 and 5,097 in `make soak`.

The rule: whether a copy is damaged, and where, is decided by `reference_dbn` from its bytes; what
the job then does must be that. Nothing but an `InputError` may come out, and nothing may be slow.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from batonics.jobs.reconstruct import Reconstruction, ReconstructRequest
from batonics.model.errors import DamagedInputError, InputError
from tests.support.faults_bytes import BYTE_FAULTS, damage_bytes
from tests.support.real_files import CLX5
from tests.support.reference_dbn import DbnVerdict, judge_dbn
from tests.support.sweep import sample

SEED = 20250924
RECORDS_AT = 360
PREFIX_BYTES = RECORDS_AT + 56 * 300
MUTANTS = 20_000
WHOLE_MUTANTS = 140
"""Of these, copies of the whole file; the others are of its first 300 records."""
SHARE, CUT_SHARE = 0.15, 0.1
"""Of the copies and of the cuts, what CI runs."""
CPU_S_MAX = 1.0
WORKLOADS = [(kind, PREFIX_BYTES) for kind in BYTE_FAULTS] + [(kind, None) for kind in BYTE_FAULTS]


@pytest.fixture(scope="module")
def clx5(test_data: Path) -> bytes:
    return (test_data / CLX5).read_bytes()


def outcome(path: Path) -> DbnVerdict:
    """What the job makes of a file, in the words of `reference_dbn`."""
    run = Reconstruction(ReconstructRequest((str(path),)))
    error = None
    try:
        run.run()
    except InputError as raised:
        error = raised
    if error is None:
        read_everything(run)
        report = run.stream.files[0]
        return DbnVerdict(refused=False, records=report.records, rows=report.rows)
    assert str(error).startswith(f"{path}: ")
    if not isinstance(error, DamagedInputError):
        return DbnVerdict(refused=True)
    assert f": byte {error.byte_offset}" in str(error)
    return DbnVerdict(True, byte_offset=error.byte_offset, record_index=error.record_index)


def read_everything(run: Reconstruction) -> None:
    """Whatever is in the books, they can be read, and levels and queues agree."""
    levels, orders = run.engine.levels(), run.engine.orders()
    assert (levels.size > 0).all()
    assert (levels.count >= 0).all()
    assert int(levels.count.sum()) == len(orders.order_id)


@pytest.mark.sweep
@pytest.mark.parametrize(("kind", "size"), WORKLOADS, ids=lambda value: str(value or "whole"))
def test_a_mutant_is_refused_where_it_is_damaged_or_read(
    kind: str, size: int | None, clx5: bytes, memory_directory: Path
) -> None:
    original = clx5[:size]
    path = memory_directory / "mutant.dbn"
    counts: Counter[str] = Counter()
    slowest_s = 0.0
    for number in sample(range(_share(size)), SHARE):
        seed = f"{SEED}:{kind}:{number}"
        data = damage_bytes(kind, seed, original, RECORDS_AT)
        path.write_bytes(data)
        expected = judge_dbn(data)
        start = time.process_time()
        try:
            found = outcome(path)
        except Exception as error:
            raise AssertionError(f"mutant {seed} of {size or 'all'} bytes") from error
        slowest_s = max(slowest_s, time.process_time() - start)
        assert found == expected, f"mutant {seed} of {size or 'all'} bytes"
        counts["refused" if found.refused else "read"] += 1
    print(f"{kind}: {dict(counts)}, the slowest {1000 * slowest_s:.1f} ms")
    assert slowest_s < CPU_S_MAX
    assert counts["refused"] > 0 or kind == "payload"
    assert counts["read"] == counts.total() or kind != "payload"


def _share(size: int | None) -> int:
    """How many mutants one workload has; together they are MUTANTS at the least."""
    mutants = WHOLE_MUTANTS if size is None else MUTANTS - WHOLE_MUTANTS
    return -(-mutants // len(BYTE_FAULTS))


def cuts(clx5: bytes) -> Iterator[int]:
    """Where to cut, falling: 1,000 places anywhere, then every byte of the first 4 KiB."""
    yield from sorted(random.Random(SEED).sample(range(4096, len(clx5)), 1000), reverse=True)
    yield from range(4096, -1, -1)


def kind_of_cut(cut: int) -> int:
    """Cuts within records are alike by their place in it; those on a boundary each stand alone."""
    place = (cut - RECORDS_AT) % 56
    return place if place or cut > 4096 else -cut


@pytest.mark.sweep
def test_a_cut_is_found_wherever_it_is(clx5: bytes, memory_directory: Path) -> None:
    path = memory_directory / "cut.dbn"
    path.write_bytes(clx5)
    refused = read = 0
    with path.open("r+b") as file:
        for cut in sample(cuts(clx5), CUT_SHARE, kind_of_cut):
            file.truncate(cut)
            found = outcome(path)
            whole, rest = divmod(cut - RECORDS_AT, 56)
            if cut < 3:
                expected = DbnVerdict(refused=True)
            elif cut < RECORDS_AT:
                expected = DbnVerdict(refused=True, byte_offset=cut)
            elif rest:
                expected = DbnVerdict(True, byte_offset=RECORDS_AT + 56 * whole, record_index=whole)
            else:
                expected = DbnVerdict(refused=False, records=whole, rows=whole)
            assert found == expected, f"cut at byte {cut}"
            refused, read = refused + found.refused, read + (not found.refused)
    print(f"cuts: {refused} refused, {read} on a record's boundary")
    assert refused > 500
    assert read >= 67, "the boundaries within the first 4 KiB alone"
