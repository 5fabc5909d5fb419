"""Records in pieces: where they end, when they are due, and the feeds made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from batonics.codec.framing import LengthPrefixedDecoder
from batonics.codec.metadata import Metadata, encode_metadata, parse_metadata
from batonics.gateway.dbn_feed import DbnFeed, LengthPrefixedFeed
from batonics.gateway.feed_pieces import cut_piece
from batonics.gateway.record_index import RecordIndex
from batonics.model.errors import DamagedInputError, InputError, UsageError
from batonics.model.mbo import UNDEF_TIMESTAMP, Action, Flag, concat_batches, copy_batch
from tests.support.dbn_files import compress, encode, metadata, record
from tests.support.replay_feeds import (
    START_NS,
    SYSTEM,
    due_times,
    join_bytes,
    make_feed,
    rows,
    split_pieces,
)


@pytest.mark.parametrize("chunk_bytes", [1, 2, 55, 56, 57, 100, 4096])
def test_pieces_do_not_depend_on_chunks(chunk_bytes: int) -> None:
    data = encode(rows(10)) + SYSTEM + encode(rows(20)[10:])
    pieces = split_pieces(data, chunk_bytes)
    assert join_bytes(pieces) == data
    assert due_times(pieces) == due_times(split_pieces(data))
    sizes = [size for piece in pieces for size in np.diff(np.asarray(piece.ends), prepend=0)]
    assert sizes == [56] * 10 + [320] + [56] * 10


def test_a_record_is_due_at_its_time_or_with_the_one_before_and_never_earlier() -> None:
    times = [5, 9, 7, 20, UNDEF_TIMESTAMP, 30, 8]
    flags = [0, 0, 0, Flag.BAD_TS_RECV, 0, Flag.BAD_TS_RECV | Flag.SNAPSHOT, 0]
    records = [
        record(Action.ADD, ts_recv=time, flags=int(flag))
        for time, flag in zip(times, flags, strict=True)
    ]
    data = SYSTEM + encode(records[:2]) + SYSTEM + encode(records[2:])
    assert due_times(split_pieces(data)) == [0, 5, 9, 9, 9, 9, 9, 30, 30]


def test_a_part_of_a_piece_is_a_piece() -> None:
    (piece,) = split_pieces(encode(rows(10)))
    part = cut_piece(piece, 3, 5)
    assert bytes(part.data) == encode(rows(10)[3:5])
    assert np.asarray(part.ends).tolist() == [56, 112]
    assert bytes(cut_piece(piece, 4, 4).data) == b""
    assert bytes(cut_piece(piece, 0, 0).data) == b""
    assert cut_piece(piece, 0, 10) is piece


def test_damage_says_where() -> None:
    index = RecordIndex("x", byte_offset=100)
    data = encode(rows(2)) + bytes([3]) + bytes(60)
    with pytest.raises(DamagedInputError, match="x: byte 212: length byte is 3"):
        list(index.feed(data))
    index = RecordIndex("x")
    list(index.feed(encode(rows(2))[:-1]))
    with pytest.raises(DamagedInputError, match="x: byte 56: the stream ends after 55 bytes"):
        index.close()


def write_files(directory: Path, *files: bytes) -> list[str]:
    paths = [directory / f"{number}.dbn" for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return [str(path) for path in paths]


@pytest.mark.parametrize("indexed", [False, True])
def test_a_feed_is_the_bytes_of_the_file(tmp_path: Path, indexed: bool) -> None:
    data = make_feed(50)
    for content in (data, compress(data), encode(rows(50))):
        feed = DbnFeed(write_files(tmp_path, content))
        plain = encode(rows(50)) if content[:1] == b"\x0e" else data
        pieces = list(feed.pieces(None, indexed=indexed))
        assert bytes(feed.header) + join_bytes(pieces) == plain


def test_several_files_have_one_header(tmp_path: Path) -> None:
    feed = DbnFeed(write_files(tmp_path, make_feed(5), make_feed(7)))
    assert bytes(feed.header) == metadata()
    assert join_bytes(list(feed.pieces(None, indexed=False))) == encode(rows(5)) + encode(rows(7))
    with_names = DbnFeed(write_files(tmp_path, make_feed(5), make_feed(7)), ())
    assert parse_metadata(bytes(with_names.header)).mappings == ()


def test_files_that_do_not_make_one_stream_are_refused(tmp_path: Path) -> None:
    old = encode_metadata(Metadata(version=1, symbol_cstr_len=22))
    with pytest.raises(UsageError, match=r"1\.dbn: is of DBN version 1, the first of 3"):
        DbnFeed(write_files(tmp_path, make_feed(5), old + encode(rows(5))))
    with pytest.raises(UsageError, match="with and without metadata"):
        DbnFeed(write_files(tmp_path, make_feed(5), encode(rows(5))))
    with pytest.raises(InputError, match="is ndjson, expected DBN"):
        DbnFeed(write_files(tmp_path, b'{"type":"clear","symbol":"X"}\n'))
    with pytest.raises(UsageError, match="must be a file"):
        DbnFeed(["-"])


def test_a_start_skips_earlier_records_except_names(tmp_path: Path) -> None:
    mapping = bytearray(SYSTEM[:176])
    mapping[0:2] = bytes([44, 0x16])
    data = metadata() + bytes(mapping) + SYSTEM + encode(rows(50))
    feed = DbnFeed(write_files(tmp_path, data))
    pieces = list(feed.pieces(START_NS + 30_000, indexed=False))
    assert join_bytes(pieces) == bytes(mapping) + encode(rows(50)[30:])
    assert join_bytes(list(feed.pieces(2**62, indexed=True))) == bytes(mapping)


def test_length_prefixed_records_are_decoded_again(tmp_path: Path) -> None:
    data = metadata() + encode(rows(30)) + SYSTEM + encode(rows(50)[30:])
    feed = LengthPrefixedFeed(write_files(tmp_path, data))
    pieces = list(feed.pieces(None, indexed=False))
    decoder = LengthPrefixedDecoder()
    batches = [copy_batch(batch) for piece in pieces for batch in decoder.feed(bytes(piece.data))]
    decoder.close()
    assert decoder.records == 51
    assert concat_batches(batches).ts_recv.tolist() == [row.ts_recv for row in rows(50)]
    assert sum(len(np.asarray(piece.ends)) for piece in pieces) == 51
    assert all(np.asarray(piece.ends)[-1] == len(piece.data) for piece in pieces)
