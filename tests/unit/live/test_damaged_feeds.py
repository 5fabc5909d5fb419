"""A damaged feed: the same records and the same refusal as the damaged file, however it is cut."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random

import pytest

from batonics.codec.metadata import parse_prefix
from batonics.live.feed_handler import FeedHandler
from batonics.model.errors import InputError
from batonics.sources.stream import MboStream
from tests.support.dbn_files import SMALL, compress
from tests.support.faults_bytes import BYTE_FAULTS, damage_bytes

MUTANTS = 20
"""Damaged feeds of each kind."""


def read_file(path: Path) -> tuple[int, str | None]:
    """The records of a file before its damage, and the words of the refusal."""
    records = 0
    try:
        for batch in MboStream([path]).batches():
            records += len(batch.action)
    except InputError as error:
        return records, str(error).removeprefix(f"{path}: ")
    return records, None


def read_feed(data: bytes, chance: Random) -> tuple[int, str | None]:
    """The same of a feed that comes in pieces of any size."""
    handler = FeedHandler(source="a feed")
    handler.begin_connection()
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(6)))
    try:
        for start, stop in itertools.pairwise([0, *cuts, len(data)]):
            handler.process(data[start:stop])
        handler.check_complete()
    except InputError as error:
        return handler.stats.records, str(error).removeprefix("a feed: ")
    return handler.stats.records, None


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", BYTE_FAULTS)
def test_a_damaged_feed_is_taken_and_refused_as_the_file_is(
    kind: str, tmp_path: Path, *, compressed: bool
) -> None:
    for number in range(MUTANTS):
        data = damage_bytes(kind, f"{kind} {number}", SMALL, parse_prefix(SMALL[:8]))
        data = compress(data) if compressed else data
        path = tmp_path / "file"
        path.write_bytes(data)
        records, refusal = read_file(path)
        found = read_feed(data, Random(number))
        if not data:
            continue  # a feed that brings nothing is no error
        assert (refusal is None) == (found[1] is None), (kind, number, refusal, found)
        if refusal is None:
            assert found == (records, None)
