"""What is read does not depend on how the bytes are cut: in batch and live, with faults anywhere.

The rule: everything before the first fault is taken, and the first fault in the order of the stream
is the one that is named. With `skip_bad` a record of any kind whose length is right is skipped.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batonics.book.checkpoint import save
from batonics.codec.decoders import Decoder, DecoderFactory
from batonics.codec.framing import Framing
from batonics.live.feed_handler import FeedHandler
from batonics.model.errors import BatonicsError
from batonics.model.mbo import records_from_batch
from batonics.sources.input_files import MemoryFile
from batonics.sources.input_options import InputOptions
from batonics.sources.stream import MboStream
from tests.support.mixed_records import FAULTS, KINDS, Piece, mixed_stream

Outcome = tuple[Any, ...]


@st.composite
def pieces(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS) -> list[Piece]:
    made = []
    for number in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(["mbo", *kinds]))
        faults = st.sampled_from([None, None, *FAULTS.get(kind, ())])
        made.append(Piece(kind, number, draw(faults)))
    return made


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:stop] for start, stop in pairwise(edges)]


def decode(decoder: Decoder, factory: DecoderFactory, chunks: list[bytes]) -> Outcome:
    rows, others, names = b"", [], []
    error: BatonicsError | None = None
    try:
        for chunk in [*chunks, decoder.TRAILER]:
            batches = decoder.feed(chunk)
            while True:
                batch = next(batches, None)
                names += factory.new_mappings(decoder)
                others += decoder.other_records
                decoder.other_records.clear()
                if batch is None:
                    break
                rows += records_from_batch(batch).tobytes()
        decoder.close()
    except BatonicsError as raised:
        error = raised
    counts = decoder.records, decoder.rows, decoder.skipped, decoder.byte_offset
    return rows, others, names, type(error), str(error), counts


def follow(chunks: list[bytes], *, skip_bad: bool) -> Outcome:
    """What a live feed has after the chunks."""
    handler = FeedHandler(skip_bad=skip_bad, source="x")
    handler.begin_connection()
    error: BatonicsError | None = None
    try:
        for chunk in chunks:
            handler.process(chunk)
        handler.check_complete()
    except BatonicsError as raised:
        error = raised
    handler.update_counts()
    stats = handler.stats
    counts = stats.records, stats.skipped, stats.other_records, stats.events
    return save(handler.engine, {}), handler.symbols.intervals(), type(error), str(error), counts


def read(data: bytes, *, skip_bad: bool) -> Outcome:
    """What a file of the bytes has, without its name in the error."""
    path = MemoryFile(data)
    stream = MboStream([path], InputOptions(skip_bad=skip_bad))
    rows, error = b"", ""
    try:
        for batch in stream.batches():
            rows += records_from_batch(batch).tobytes()
    except BatonicsError as raised:
        error = str(raised).removeprefix(f"{path}: ")
    return rows, error


@settings(max_examples=50)
@given(pieces(), st.lists(st.integers(0, 10**6), max_size=8), st.sampled_from([1, 2, 3]))
@pytest.mark.parametrize("skip_bad", [False, True])
def test_dbn_is_decoded_alike_however_it_is_cut(
    skip_bad: bool, made: list[Piece], places: list[int], version: int
) -> None:
    data = mixed_stream(made, version)

    def outcome(chunks: list[bytes]) -> Outcome:
        factory = DecoderFactory(batch_rows=4, skip_bad=skip_bad)
        return decode(factory.begin(Framing.DBN, None), factory, chunks)

    whole = outcome([data])
    assert outcome(cut(data, places)) == whole
    assert outcome(cut(data, list(range(len(data))))) == whole
    _check_first_fault(made, whole, version, skip_bad=skip_bad)
    rows, error = read(data, skip_bad=skip_bad)
    assert (rows, error or "None") == (whole[0], whole[4])


def _check_first_fault(made: list[Piece], whole: Outcome, version: int, *, skip_bad: bool) -> None:
    rows, others, _, _, error, (records, row_count, skipped, byte_offset) = whole
    stops = [
        number
        for number, piece in enumerate(made)
        if piece.fault is not None and (piece.fault == "length" or not skip_bad)
    ]
    stop = stops[0] if stops else len(made)
    good = [piece for piece in made[:stop] if piece.fault is None]
    assert records == stop
    assert skipped == stop - len(good)
    assert row_count == len(rows) // 56 == sum(piece.kind == "mbo" for piece in good)
    assert len(others) == len(good) - row_count
    assert byte_offset == len(mixed_stream(made[:stop], version))
    assert (f"record {stop}: " in error) == bool(stops)


@settings(max_examples=50)
@given(pieces(), st.lists(st.integers(0, 10**6), max_size=8))
def test_records_behind_their_byte_counts_too(made: list[Piece], places: list[int]) -> None:
    data = mixed_stream(made, 3, prefixed=True)

    def outcome(chunks: list[bytes]) -> Outcome:
        factory = DecoderFactory(batch_rows=4)
        return decode(factory.begin(Framing.LENGTH_PREFIXED, None), factory, chunks)

    assert outcome(cut(data, places)) == outcome([data])


LINES = st.sampled_from(
    [
        b'{"type":"add","symbol":"X","side":"bid","oid":1,"px":100,"qty":10,"seq":1,"ts_ns":1}\n',
        b'{"type":"clear","symbol":"NEW"}\n',
        b'{"type":"clear","symbol":"\\u00e9"}\r\n',
        b'{"type":"fill","symbol":"X","oid":1,"qty":3}\n',
        b"  \n",
        b'{"type":"what","symbol":"X"}\n',
        b'{"type":"clear","symbol":"\xff"}\n',
        b"[1, 2\n",
        b'{"type":"clear","symbol":"no newline"}',
    ]
)


@settings(max_examples=50)
@given(st.lists(LINES, min_size=1, max_size=10), st.lists(st.integers(0, 10**6), max_size=8))
@pytest.mark.parametrize("skip_bad", [False, True])
def test_lines_are_decoded_alike_however_they_are_cut(
    skip_bad: bool, lines: list[bytes], places: list[int]
) -> None:
    data = b"".join(lines)

    def outcome(chunks: list[bytes]) -> Outcome:
        factory = DecoderFactory(batch_rows=4, skip_bad=skip_bad)
        rows, others, names, *rest = decode(factory.begin(Framing.NDJSON, None), factory, chunks)
        return rows, others, sorted(set(names)), *rest

    whole = outcome([data])
    assert outcome(cut(data, places)) == whole
    assert outcome(cut(data, list(range(len(data))))) == whole


@settings(max_examples=50)
@given(pieces(), st.lists(st.integers(0, 10**6), max_size=8), st.sampled_from([1, 2, 3]))
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_live_feed_ends_alike_however_it_arrives(
    skip_bad: bool, made: list[Piece], places: list[int], version: int
) -> None:
    data = mixed_stream(made, version)
    whole = follow([data], skip_bad=skip_bad)
    assert follow(cut(data, places), skip_bad=skip_bad) == whole
    _, _, _, error, (records, *_) = whole
    stop = next(
        (
            number
            for number, (kind, _, fault) in enumerate(made)
            if kind == "error" or (fault and (fault == "length" or not skip_bad))
        ),
        len(made),
    )
    assert records == sum(piece.kind == "mbo" and not piece.fault for piece in made[:stop])
    assert ("the gateway says: TEXT" in error) == (stop < len(made) and made[stop].kind == "error")


@settings(max_examples=50)
@given(st.lists(LINES, min_size=1, max_size=8), st.lists(st.integers(0, 10**6), max_size=8))
def test_a_live_feed_of_lines_too(lines: list[bytes], places: list[int]) -> None:
    data = b"".join(lines)
    assert follow(cut(data, places), skip_bad=True) == follow([data], skip_bad=True)
