"""zstd in any number of frames, cut, damaged and hostile."""

from __future__ import annotations

import random

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from batonics.codec.inflate import PIECE_BYTES, ZstdInflater
from batonics.model.errors import DamagedInputError, InputError

SKIPPABLE = bytes.fromhex("5a2a4d18") + (5).to_bytes(4, "little") + b"notes"
CHECKSUM: dict[int, int] = {zstd.CompressionParameter.checksum_flag: 1}
TEXT = random.Random(1).randbytes(3 * PIECE_BYTES)


def inflate(data: bytes, chunk_bytes: int) -> bytes:
    inflater = ZstdInflater(source="x.zst")
    plain = b""
    for at in range(0, len(data), chunk_bytes):
        for piece in inflater.feed(data[at : at + chunk_bytes]):
            assert 0 < len(piece) <= PIECE_BYTES
            plain += piece
    inflater.close()
    assert (inflater.bytes_in, inflater.bytes_out) == (len(data), len(plain))
    return plain


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize(
    "frames",
    [
        [zstd.compress(b"abc")],
        [zstd.compress(b"")],
        [zstd.compress(b"abc"), zstd.compress(b""), zstd.compress(b"def")],
        [SKIPPABLE, zstd.compress(b"abc"), SKIPPABLE, SKIPPABLE],
        [zstd.compress(b"x" * 100, options=CHECKSUM)] * 50,
    ],
)
def test_frames_follow_each_other_however_they_are_cut(
    frames: list[bytes], chunk_bytes: int
) -> None:
    plain = b"".join(zstd.decompress(frame) for frame in frames if frame != SKIPPABLE)
    assert inflate(b"".join(frames), chunk_bytes) == plain


def test_large_frames_come_in_bounded_pieces() -> None:
    data = zstd.compress(TEXT) + zstd.compress(bytes(10 * PIECE_BYTES))
    assert inflate(data, len(data)) == TEXT + bytes(10 * PIECE_BYTES)
    assert inflate(data, 65_536) == TEXT + bytes(10 * PIECE_BYTES)


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5), st.integers(1, 50))
def test_what_was_compressed_comes_back(texts: list[bytes], chunk_bytes: int) -> None:
    data = b"".join(zstd.compress(text) for text in texts)
    assert inflate(data, chunk_bytes) == b"".join(texts)


@pytest.mark.parametrize("chunk_bytes", [1, 1000])
def test_a_frame_cut_at_any_byte_is_refused(chunk_bytes: int) -> None:
    first, second = zstd.compress(b"abc"), zstd.compress(b"d" * 1000)
    for cut in range(1, len(second)):
        data = (first + second)[: len(first) + cut]
        with pytest.raises(DamagedInputError) as caught:
            inflate(data, chunk_bytes)
        assert caught.value.byte_offset == len(data)
        assert str(caught.value) == (
            f"x.zst: byte {len(data)}: the stream ends within the zstd frame that starts at byte"
            f" {len(first)}"
        )


@pytest.mark.parametrize("chunk_bytes", [1, 1000])
def test_a_damaged_frame_is_named_by_where_it_starts(chunk_bytes: int) -> None:
    first, second = zstd.compress(b"abc"), bytearray(zstd.compress(b"d" * 99, options=CHECKSUM))
    second[-1] ^= 0xFF
    for tail in (bytes(second), b"trailing bytes that are no frame"):
        inflater = ZstdInflater()
        pieces: list[bytes] = []
        data = first + tail
        with pytest.raises(DamagedInputError) as caught:  # noqa: PT012 one stream, in chunks
            for at in range(0, len(data), chunk_bytes):
                pieces += inflater.feed(data[at : at + chunk_bytes])
        assert caught.value.byte_offset == len(first)
        with pytest.raises(DamagedInputError) as again:
            inflater.close()
        assert again.value is caught.value
        with pytest.raises(DamagedInputError):
            list(inflater.feed(b""))


def test_a_bomb_costs_no_more_than_is_taken() -> None:
    bomb = zstd.compress(bytes(1 << 28)) * 100
    assert len(bomb) < 1 << 20
    inflater = ZstdInflater()
    pieces = inflater.feed(bomb)
    assert [len(next(pieces)) for _ in range(8)] == [PIECE_BYTES] * 8
    assert inflater.bytes_out == 8 * PIECE_BYTES


def test_a_window_above_the_cap_is_refused_by_name() -> None:
    def compress(window_log: int) -> bytes:
        # As a stream of unknown length, or the window would be cut down to the content.
        compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window_log})
        return compressor.compress(bytes(1000), compressor.FLUSH_BLOCK) + compressor.flush()

    assert inflate(compress(25), 1000) == bytes(1000)
    with pytest.raises(InputError, match=r"more than 32 MiB, the cap \(window_bytes_max\)"):
        inflate(compress(26), 1000)
    wider = ZstdInflater(window_bytes_max=64 << 20)
    assert b"".join(wider.feed(compress(26))) == bytes(1000)


def test_an_empty_stream_is_refused() -> None:
    with pytest.raises(InputError, match=r"^x\.zst: the input is empty$"):
        inflate(b"", 1)


def test_a_multitude_of_tiny_frames_is_not_quadratic() -> None:
    # 64 Ki frames in one feed: copying the rest of the feed for each would be 17 GB.
    data = (bytes.fromhex("502a4d18") + bytes(4)) * (1 << 16)
    inflater = ZstdInflater()
    assert list(inflater.feed(data)) == []
    inflater.close()
    assert inflater.bytes_in == len(data)
