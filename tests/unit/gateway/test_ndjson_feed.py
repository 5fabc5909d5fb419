"""Records as lines of ops make the same books."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from batonics.book.engine import BookEngine
from batonics.codec.dbn import encode_records
from batonics.codec.ndjson import NdjsonDecoder
from batonics.gateway.feed_pieces import FeedPiece
from batonics.gateway.ndjson_feed import NdjsonFeed
from batonics.model.mbo import Action, Flag, MboBatch, Side
from tests.support.dbn_files import encode, metadata, record
from tests.support.engine_books import engine_levels, engine_orders
from tests.support.replay_feeds import START_NS, rows
from tests.support.streams import random_stream


def read_pieces(directory: Path, data: bytes, start_ns: int | None = None) -> list[FeedPiece]:
    path = directory / "x.dbn"
    path.write_bytes(data)
    return list(NdjsonFeed([str(path)]).pieces(start_ns, indexed=False))


def fold_lines(lines: bytes) -> tuple[BookEngine, list[str]]:
    engine, decoder = BookEngine(), NdjsonDecoder()
    for chunk in (lines, decoder.TRAILER):
        for batch in decoder.feed(chunk):
            engine.fold(batch)
    decoder.close()
    return engine, decoder.symbols


def without_keys(
    rows: list[tuple[object, ...]], names: dict[object, str]
) -> list[tuple[object, ...]]:
    return sorted((names[key], *rest) for key, *rest in rows)


def check(directory: Path, batch: MboBatch, *, tob: bool) -> None:
    pieces = read_pieces(directory, encode_records(batch))
    lines = b"".join(bytes(piece.data) for piece in pieces)
    from_lines, symbols = fold_lines(lines)
    from_records = BookEngine()
    from_records.fold(batch)
    keys = from_records.keys()
    seen: set[int] = set()
    by_key: dict[object, str] = {}
    for publisher, instrument in keys:
        name = f"{instrument}@{publisher}" if instrument in seen else str(instrument)
        seen.add(instrument)
        by_key[publisher, instrument] = name
    by_symbol: dict[object, str] = {(0, n + 1): name for n, name in enumerate(symbols)}
    if not tob:
        assert without_keys(engine_levels(from_lines), by_symbol) == without_keys(
            engine_levels(from_records), by_key
        )
        assert without_keys(engine_orders(from_lines), by_symbol) == without_keys(
            engine_orders(from_records), by_key
        )
    for piece in pieces:
        assert np.asarray(piece.ends)[-1] == len(piece.data)
        assert (np.diff(np.asarray(piece.due_ns)) >= 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_books_are_the_same(tmp_path: Path, seed: int) -> None:
    stream = random_stream(seed, 5_000, books=3, tob_books=0, partial_modifies=False)
    keep = stream.flags & Flag.TOB == 0
    check(tmp_path, MboBatch._make(column[keep] for column in stream), tob=False)


def test_a_top_of_book_publisher_has_one_order_a_side(tmp_path: Path) -> None:
    tob = int(Flag.TOB | Flag.LAST)
    records = [
        record(Action.ADD, price=100, size=5, flags=tob),
        record(Action.ADD, price=102, size=5, side=Side.ASK, flags=tob),
        record(Action.ADD, price=99, size=7, flags=tob),
        record(Action.CANCEL, price=99, size=7, flags=tob),
        record(Action.MODIFY, price=103, size=0, side=Side.ASK, flags=tob),
    ]
    pieces = read_pieces(tmp_path, encode(records))
    engine, symbols = fold_lines(b"".join(bytes(piece.data) for piece in pieces))
    assert symbols == ["1"]
    levels = engine.levels()
    assert (levels.side.tolist(), levels.price.tolist(), levels.size.tolist()) == (
        [0], [99 * 10**9], [7],
    )  # fmt: skip


def test_names_times_and_starts(tmp_path: Path) -> None:
    data = metadata() + encode(rows(4))
    (piece,) = read_pieces(tmp_path, data)
    first = bytes(piece.data).split(b"\n")[0]
    assert first == (
        b'{"type":"add","symbol":"AAA","side":"bid","oid":1,"px":100000000000,"qty":1'
        b',"seq":7,"ts_ns":%d}' % START_NS
    )
    (piece,) = read_pieces(tmp_path, data, start_ns=START_NS + 2_000)
    assert np.asarray(piece.due_ns).tolist() == [START_NS + 2_000, START_NS + 3_000]
