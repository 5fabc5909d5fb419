"""Bad input on the command line: one clear line, the right exit code, and nothing left behind.

The rule: each case says the words that its line must hold: what is wrong, and where.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batonics.jobs.reconstruct import Reconstruction, ReconstructRequest
from batonics.model.errors import InputError
from tests.support.command import SCRIPT, environment, error_line, run_command, run_in_process
from tests.support.dbn_files import (
    DAY_NS,
    RECORDS_AT,
    SMALL,
    adds,
    compress,
    damaged,
    encode,
    list_names,
    metadata,
)

AT_3 = f"byte {RECORDS_AT + 56 * 3}, record 3: "
OLD = b'{"an older":"output"}\n'

CASES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the input is empty"),
    "cut-metadata": (SMALL[:50], "byte 50: the stream ends after 50 bytes, within its metadata"),
    "cut-record": (SMALL[: RECORDS_AT + 56 * 3 + 9], AT_3 + "the stream ends after 9 bytes of a"),
    "wrong-magic": (
        b"XBN" + SMALL[3:],
        "not DBN, NDJSON, CSV, Parquet, Arrow, ITCH or LOBSTER: it starts with 58 42 4e",
    ),
    "wrong-version": (b"DBN\x09" + SMALL[4:], "byte 3: DBN version is 9, expected 1 to 3"),
    "metadata-length": (
        b"DBN\x03" + b"\xff" * 4 + SMALL[8:],
        f"the stream ends after {len(SMALL)} bytes, within its metadata of 4294967303 bytes",
    ),
    "wrong-schema": (metadata(schema=1), "its schema is mbp-1, but books are built from mbo"),
    "length-zero": (damaged(0, 0), AT_3 + "length byte is 0, expected 14"),
    "length-255": (damaged(0, 255), AT_3 + "length byte is 255, expected 14"),
    "rtype": (damaged(1, 0xEE), AT_3 + "rtype is 0xee"),
    "action": (damaged(38, ord("Z")), AT_3 + "action is 0x5a, expected one of A C M R T F N"),
    "side": (damaged(39, ord("Z")), AT_3 + "side is 0x5a, expected one of B A N"),
    "zstd-cut": (compress(SMALL)[:-9], "the stream ends within the zstd frame that starts at"),
    "zstd-noise": (
        compress(SMALL)[:20] + b"\xff" * 2000,
        "the zstd frame that starts at byte 0 is",
    ),
    "zstd-in-zstd": (compress(compress(SMALL)), "zstd within zstd; unpack it first"),
    "dbz": (b"\x51\x2a\x4d\x18\x10\0\0\0DBZ\1" + bytes(9), "DBZ, the vendor's format before DBN"),
    "gzip": (b"\x1f\x8b\x08\0" + bytes(20), "the gzip member that starts at byte 0 is damaged"),
    "parquet": (b"PAR1" + bytes(20), "cannot be read as parquet"),
    "csv": (b"ts_recv,ts_event,rtype\n1,2,160\n", "column publisher_id, instrument_id, action"),
    "ndjson-type": (b'{"type":"buy"}\n', "byte 0, record 0: type is 'buy', expected one of add"),
    "ndjson-cut": (b'{"type":"clear","symbol":"X"}\n{"type":', "byte 30, record 1: not JSON: "),
}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output file that is there already, in a directory of its own."""
    directory = tmp_path / "out"
    directory.mkdir()
    (directory / "book.json").write_bytes(OLD)
    return directory / "book.json"


def assert_untouched(output: Path) -> None:
    assert list_names(output.parent) == [output.name]
    assert output.read_bytes() == OLD


@pytest.mark.parametrize("case", CASES)
def test_bad_bytes_are_one_line_and_nothing_is_written(
    case: str, tmp_path: Path, output: Path
) -> None:
    data, words = CASES[case]
    path = tmp_path / f"{case}.in"
    path.write_bytes(data)
    # One in a process of its own; the others run the same code in this one.
    run = run_command if case == "cut-record" else run_in_process
    done = run("reconstruct", path, "--out", output)
    assert error_line(done, 3).startswith(f"{path}: ")
    assert words in done.err
    assert_untouched(output)


def _missing(directory: Path) -> Path:
    return directory / "none.dbn"


def _directory(directory: Path) -> Path:
    return directory


def _below_a_file(directory: Path) -> Path:
    (directory / "file").touch()
    return directory / "file" / "day.dbn"


def _circle(directory: Path) -> Path:
    (directory / "circle").symlink_to(directory / "circle")
    return directory / "circle"


def _unreadable(_: Path) -> Path:
    # What no one may read, not even root: reading the first page of one's own memory fails.
    return Path("/proc/self/mem")


OPENING: list[tuple[Callable[[Path], Path], str]] = [
    (_missing, "cannot be opened: No such file or directory"),
    (_directory, "has no data files; name its directories, such as {path}/out"),
    (_below_a_file, "cannot be opened: Not a directory"),
    (_circle, "cannot be opened: Too many levels of symbolic links"),
    (_unreadable, "cannot be read: Input/output error"),
]


@pytest.mark.parametrize(
    ("make", "words"), OPENING, ids=lambda value: getattr(value, "__name__", "")
)
def test_what_cannot_be_opened_is_named(
    make: Callable[[Path], Path], words: str, tmp_path: Path, output: Path
) -> None:
    path = make(tmp_path)
    done = run_in_process("reconstruct", path, "--out", output)
    assert error_line(done, 3) == f"{path}: {words.format(path=path)}"
    assert_untouched(output)


@contextmanager
def nobody() -> Iterator[None]:
    """Without the rights of root, if this process has them."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("name", ["secret.dbn", "secret/day.dbn"])
def test_what_may_not_be_read_is_named(name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "day.dbn").write_bytes(SMALL)
    (tmp_path / "secret.dbn").write_bytes(SMALL)
    (tmp_path / "secret.dbn").chmod(0)
    secret.chmod(0)
    # In this process: an interpreter that begins as nobody might not find its own files.
    with nobody(), pytest.raises(InputError) as raised:
        Reconstruction(ReconstructRequest((str(tmp_path / name),)))
    secret.chmod(0o700)
    assert str(raised.value) == f"{tmp_path / name}: cannot be opened: Permission denied"


def test_the_second_of_two_files_is_named_before_any_work(tmp_path: Path, output: Path) -> None:
    good = tmp_path / "good.dbn"
    good.write_bytes(SMALL)
    done = run_in_process("reconstruct", good, tmp_path / "none.dbn", "--out", output)
    assert error_line(done, 3).startswith(f"{tmp_path}/none.dbn: cannot be opened")
    assert_untouched(output)


def test_a_damaged_second_file_is_named_with_its_own_offsets(tmp_path: Path, output: Path) -> None:
    good, bad = tmp_path / "good.dbn", tmp_path / "bad.dbn"
    good.write_bytes(SMALL)
    later = bytearray(metadata() + encode(adds(20, ts_recv=DAY_NS + 10**9)))
    later[RECORDS_AT + 56 * 3] = 1
    bad.write_bytes(later)
    done = run_in_process("reconstruct", good, bad, "--out", output)
    assert error_line(done, 3).startswith(f"{bad}: {AT_3}")
    assert_untouched(output)


def test_damage_on_standard_input_is_said_while_the_pipe_stays_open(output: Path) -> None:
    with subprocess.Popen(
        [*SCRIPT, "reconstruct", "-", "--out", str(output)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(damaged(0, 1))
        process.stdin.flush()
        assert process.wait(60) == 3
        assert process.stderr.read().decode().startswith(f"batonics: <stdin>: {AT_3}")
    assert_untouched(output)


def test_closed_standard_input_is_one_line(output: Path) -> None:
    done = run_command("reconstruct", "-", "--out", output, before=lambda: os.close(0))
    assert error_line(done, 3) == "<stdin>: is closed"
    assert_untouched(output)


def test_an_interrupt_ends_a_run_that_waits_for_a_silent_pipe(output: Path) -> None:
    with subprocess.Popen(
        [*SCRIPT, "reconstruct", "-", "--out", str(output)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        # Once the temporary file is there, all is imported and the run waits for its input.
        _await(lambda: len(list_names(output.parent)) == 2)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b"batonics: interrupted; nothing was written\n"
    assert_untouched(output)


def _await(condition: Callable[[], bool], limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a\nb.dbn", "cannot be opened"),
        ("a\x1b[31mb.dbn", "no file has such a name"),  # a bracket makes it a pattern
        (os.fsdecode(b"a\xffb.dbn"), "cannot be opened"),
    ],
)
def test_a_name_cannot_break_the_line(name: str, words: str, tmp_path: Path) -> None:
    done = run_in_process("inspect", tmp_path / name)
    assert words in error_line(done, 3)
    assert done.err.removesuffix("\n").isprintable()


def test_names_and_symbols_are_not_markup(tmp_path: Path) -> None:
    path = tmp_path / "[" / "red].dbn"
    path.parent.mkdir()
    path.write_bytes(metadata({"[/bold]\x1b[2J": 1}) + encode(adds(3)))
    for command in ("inspect", "reconstruct"):
        done = run_in_process(command, path)
        assert done.code == 0, done.err
        assert "[/bold]\\x1b[2J" in done.out.decode() + done.err
        assert "\x1b" not in done.out.decode() + done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument"),
        (["--depth", "0", "x.dbn"], "--depth"),
        (["--format", "xml", "x.dbn"], "'xml' is not one of 'json', 'ndjson'"),
        (["--nope", "x.dbn"], "No such option: --nope"),
        (["--at", "yesterday", "x.dbn"], "not a time: 'yesterday' (expected ISO 8601"),
        (["--snapshots", "x.parquet", "x.dbn"], "--snapshots and --every go together"),
    ],
)
def test_a_wrong_call_is_one_line(arguments: list[str], words: str) -> None:
    assert words in error_line(run_in_process("reconstruct", *arguments), 2)


def test_skip_bad_counts_what_it_skips_and_refuses_what_cannot_be_skipped(tmp_path: Path) -> None:
    path = tmp_path / "bad.dbn"
    path.write_bytes(damaged(38, 0))
    done = run_in_process("reconstruct", path, "--skip-bad")
    assert done.code == 0
    assert "19 records, 2 books, 1 bad records skipped" in done.err
    path.write_bytes(damaged(0, 13))
    assert AT_3 in error_line(run_in_process("reconstruct", path, "--skip-bad"), 3)
