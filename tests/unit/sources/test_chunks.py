"""Files as chunks of bytes: every form, pipes, and what is left open afterwards."""

from __future__ import annotations

import os
import random
import threading
from contextlib import closing
from pathlib import Path

import pytest

from batonics.codec.framing import Framing
from batonics.model.errors import DamagedInputError, InputError
from batonics.sources.chunks import READ_BYTES, ChunkReader
from tests.support.dbn_files import RECORDS_AT, SMALL, compress, list_names

NDJSON = b'{"type":"clear","symbol":"X"}\n'
PREFIXED = bytes([56, 0, 0, 0, 14, 0xA0]) + bytes(54)
SPACES = b" \n\t" * 1_000
FORMS = {
    "dbn": (SMALL, SMALL, Framing.DBN),
    "fragment": (SMALL[RECORDS_AT:], SMALL[RECORDS_AT:], Framing.FRAGMENT),
    "prefixed": (PREFIXED, PREFIXED, Framing.LENGTH_PREFIXED),
    "ndjson": (NDJSON, NDJSON, Framing.NDJSON),
    "spaces": (SPACES + NDJSON, SPACES + NDJSON, Framing.NDJSON),
    "zstd": (compress(SMALL), SMALL, Framing.DBN),
    "frames": (compress(SMALL[:3]) + compress(b"") + compress(SMALL[3:]), SMALL, Framing.DBN),
    "skippable": (b"\x50\x2a\x4d\x18\3\0\0\0abc" + compress(NDJSON), NDJSON, Framing.NDJSON),
}


def open_files() -> list[str]:
    """Numbers of the open files, the one of the listing itself included."""
    return list_names(Path("/proc/self/fd"))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_told_and_unpacked(form: str, tmp_path: Path) -> None:
    data, plain, framing = FORMS[form]
    reader = ChunkReader(write(tmp_path / form, data))
    assert reader.size == len(data)
    assert b"".join(reader.chunks()) == plain
    assert reader.framing is framing
    assert reader.position == len(data)


@pytest.mark.parametrize("form", FORMS)
def test_a_pipe_gives_the_same_however_slowly(form: str) -> None:
    data, plain, framing = FORMS[form]
    source, target = os.pipe()
    chance = random.Random(form)

    def feed() -> None:
        start = 0
        while start < len(data):
            stop = start + chance.randint(1, 9)
            os.write(target, data[start:stop])
            start = stop
        os.close(target)

    feeder = threading.Thread(target=feed)
    reader = ChunkReader(f"/dev/fd/{source}")
    os.close(source)
    feeder.start()
    assert b"".join(reader.chunks()) == plain
    feeder.join()
    assert reader.size is None
    assert reader.framing is framing


def test_a_pipe_is_not_waited_for_once_it_has_said_something() -> None:
    source, target = os.pipe()
    reader = ChunkReader(f"/dev/fd/{source}")
    os.close(source)
    chunks = reader.chunks()
    os.write(target, SMALL[:100])
    assert next(chunks) == SMALL[:100]
    os.write(target, b"more")
    assert next(chunks) == b"more"
    # Nothing more comes, and nobody waits for it: it ends by itself.
    reader.cancel()
    assert list(chunks) == []
    os.close(target)


def test_chunks_are_bounded(tmp_path: Path) -> None:
    size = 3 * READ_BYTES + 17
    path = write(tmp_path / "big", SMALL + bytes(size))
    chunks = list(ChunkReader(path).chunks())
    assert max(map(len, chunks)) <= READ_BYTES
    packed = write(tmp_path / "packed", compress(SMALL + bytes(size)))
    chunks = list(ChunkReader(packed).chunks())
    assert max(map(len, chunks)) <= READ_BYTES
    assert b"".join(chunks) == SMALL + bytes(size)


def test_a_reader_that_is_left_early_leaves_no_file_open(tmp_path: Path) -> None:
    path = write(tmp_path / "x", SMALL + bytes(2 * READ_BYTES))
    before = open_files()
    chunks = ChunkReader(path).chunks()
    next(chunks)
    chunks.close()
    ChunkReader(path).close()
    assert open_files() == before


def test_waiting_readers_hold_no_file_open(tmp_path: Path) -> None:
    before = open_files()
    readers = [ChunkReader(write(tmp_path / f"{number}", SMALL)) for number in range(20)]
    assert open_files() == before
    for reader in readers:
        with closing(reader.peek()) as beginning:
            assert next(beginning)[:20] == SMALL[:20]
        assert reader.read_end(10) == SMALL[-10:]
        assert open_files() == before
    for reader in readers:
        assert b"".join(reader.chunks()) == SMALL
    assert open_files() == before


def test_a_file_that_is_replaced_while_it_waits_is_refused(tmp_path: Path) -> None:
    reader = ChunkReader(write(tmp_path / "x", SMALL))
    write(tmp_path / "other", SMALL).replace(tmp_path / "x")
    with pytest.raises(InputError, match="x: was replaced by another file since it was checked"):
        list(reader.chunks())
    (tmp_path / "x").unlink()
    with pytest.raises(InputError, match="x: cannot be opened: No such file"):
        list(reader.chunks())


def test_a_name_is_fit_for_people(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.dbn")
    path.write_bytes(SMALL)
    reader = ChunkReader(path)
    reader.close()
    assert reader.name == f"{tmp_path}/\N{REPLACEMENT CHARACTER}.dbn"
    assert reader.name.encode()


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", InputError, "the input is empty"),
        (compress(b""), InputError, "the input is empty"),
        (b"hello", InputError, "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER"),
        (compress(compress(SMALL)), InputError, "zstd within zstd"),
        (compress(SMALL)[:-1], DamagedInputError, "the stream ends within the zstd frame"),
        (
            b" " * (3 * READ_BYTES),
            InputError,
            "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER",
        ),
    ],
    ids=["empty", "empty-frame", "text", "twice", "cut", "spaces"],
)
def test_what_cannot_be_read_is_an_error_with_the_name(
    data: bytes, kind: type[InputError], words: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "x", data)
    with pytest.raises(InputError, match=words) as raised:
        list(ChunkReader(path).chunks())
    assert type(raised.value) is kind
    assert str(raised.value).startswith(f"{path}: ")
