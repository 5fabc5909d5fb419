"""What commands say when they refuse, are interrupted, are quiet, or speak JSON."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batonics.cli.main import _describe_outputs
from batonics.jobs.lake_load import LakeLoad, LoadRequest
from batonics.sinks.atomic import INCOMPLETE, WRITTEN, OutputRecord, open_atomic, record_outputs
from tests.support.command import (
    SAMPLE,
    SCRIPT,
    environment,
    error_line,
    run_command,
    run_in_process,
)
from tests.support.dbn_files import SMALL

CONTRADICTIONS = {
    "reconstruct": ("reconstruct", SAMPLE, "--out", "x.csv"),
    "reconstruct-option": ("reconstruct", SAMPLE, "--out", "x.json", "--format", "ndjson"),
    "reconstruct-compressed": ("reconstruct", SAMPLE, "--out", "x.json.zst"),
    "snapshots": ("reconstruct", SAMPLE, "--snapshots", "x.csv", "--every", "1s"),
    "convert": ("convert", SAMPLE, "--schema", "mbo", "--out", "x.parquet", "--format", "csv"),
    "convert-compressed": (
        "convert",
        SAMPLE,
        "--schema",
        "mbo",
        "--out",
        "x.csv",
        "--format",
        "csv.zst",
    ),
    "verify": ("verify", SAMPLE, "--out", "x.parquet"),
    "simulate": ("simulate", "--out", "x.csv"),
    "simulate-truth": ("simulate", "--out", "x.dbn", "--truth", "x.csv"),
    "query": (
        "query",
        "--from",
        SAMPLE,
        "SELECT 1 FROM trades",
        "--out",
        "x.json",
        "--format",
        "csv",
    ),
    "stream": ("stream", "--connect", "127.0.0.1:9", "--once", "--out", "x.csv"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_name_that_contradicts_the_format_is_refused(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = error_line(run_in_process(*CONTRADICTIONS[case]), 2)
    assert words.split(":")[0] in {
        "x.csv",
        "x.json",
        "x.parquet",
        "x.json.zst",
        "--snapshots x.csv",
    }
    assert list(tmp_path.iterdir()) == []


def test_books_have_the_format_that_the_name_says(tmp_path: Path) -> None:
    assert run_in_process("reconstruct", SAMPLE, "-q", "--out", tmp_path / "x.ndjson").code == 0
    lines = (tmp_path / "x.ndjson").read_text().splitlines()
    assert [json.loads(line)["schema"] for line in lines] == ["batonics.book/2"] * len(lines)


# ---------------------------------------------------------------------- interrupted


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("reconstruct", "-"), "nothing was written"),
        (("reconstruct", "-", "--out", "x.json"), "nothing was written"),
        (("reconstruct", "-", "--out", "-"), "<stdout> is incomplete"),
        # Polars is loaded here, and handles SIGINT itself.
        (("convert", "-", "--schema", "trades", "--out", "x.csv"), "nothing was written"),
    ],
)
def test_an_interrupted_command_says_what_it_has_written(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [*SCRIPT, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=tmp_path,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(SMALL)
        process.stdin.flush()
        _await_sleep(process.pid)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(30) == 130
        finally:
            process.kill()
        assert process.stderr.read().decode() == f"batonics: interrupted; {said}\n"
    assert list(tmp_path.iterdir()) == []


def _await_sleep(process_id: int) -> None:
    """Wait until a process waits for its input: it reads a pipe, and uses no more of its time."""
    end = time.monotonic() + 60
    used = -1
    while time.monotonic() < end:
        time.sleep(0.5)
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
        before, used = used, int(fields[11]) + int(fields[12])
        if fields[0] == "S" and used == before:
            return
    raise TimeoutError("the command does not wait for its input")


def test_what_was_written_before_an_interrupt_is_named(tmp_path: Path) -> None:
    with record_outputs() as outputs:
        for name in ("state", "state", "x.json"):
            with open_atomic(tmp_path / name) as file:
                file.write(b"x")
        with pytest.raises(KeyboardInterrupt), open_atomic(tmp_path / "y.json"):
            raise KeyboardInterrupt
    assert [output.result for output in outputs] == [WRITTEN, WRITTEN, WRITTEN, None]
    assert _describe_outputs(outputs) == (
        f"{tmp_path / 'state'} is written, {tmp_path / 'x.json'} is written"
    )


def test_sources_that_are_in_the_lake_are_counted(tmp_path: Path) -> None:
    paths = tuple(str(tmp_path / name) for name in ("a.dbn", "b.dbn"))
    for path in paths:
        Path(path).write_bytes(SMALL)
    lake = str(tmp_path / "lake")
    with record_outputs() as outputs:
        results = LakeLoad(LoadRequest(paths, lake, ("trades",), again=True)).run()
        assert _describe_outputs(outputs) == "nothing was written"
        next(results)
        assert _describe_outputs(outputs) == f"{lake} is loaded with 1 of 2 sources"


def test_nothing_is_recorded_outside_of_a_command(tmp_path: Path) -> None:
    with open_atomic(tmp_path / "x"):
        pass
    assert _describe_outputs([]) == "nothing was written"
    assert _describe_outputs([OutputRecord("<stdout>", INCOMPLETE)]) == "<stdout> is incomplete"


# ---------------------------------------------------------------------- quiet, JSON, addresses


@contextmanager
def replaying(*options: str) -> Iterator[str]:
    """The sample as a feed; its address."""
    with subprocess.Popen(
        [*SCRIPT, "replay", str(SAMPLE), "--bind", "127.0.0.1:0", *options],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        try:
            yield process.stderr.readline().split()[-1]
        finally:
            process.terminate()


def json_lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_quiet_stream_prints_nothing(tmp_path: Path) -> None:
    with replaying() as address:
        done = run_command(
            "stream", "--connect", address, "--once", "--quiet", "--http", "127.0.0.1:0",
            "--lake", tmp_path / "lake", "--out", tmp_path / "x.json",
        )  # fmt: skip
    assert (done.code, done.out, done.err) == (0, b"", "")
    assert (tmp_path / "x.json").stat().st_size > 0


def test_every_line_of_a_stream_with_log_json_is_json(tmp_path: Path) -> None:
    with replaying() as address:
        done = run_command(
            "stream", "--connect", address, "--once", "--log-json", "--http", "127.0.0.1:0",
            "--lake", tmp_path / "lake", "--out", tmp_path / "x.json",
        )  # fmt: skip
    assert done.code == 0, done.err
    events = [line["event"] for line in json_lines(done.err)]
    assert {"server_started", "connected", "lake_committed", "stream_ended"} <= set(events)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("stream", "--nope"), 2),
        (("stream", "--connect", "127.0.0.1:9", "--out", "x.csv"), 2),
        (("stream", "--connect", "127.0.0.1:9", "--once"), 3),
        (("replay", "none.dbn", "--bind", "127.0.0.1:0"), 3),
        (("lake", "append", "--lake", "/dev/null/lake", "--name", "x"), 4),
    ],
)
def test_an_error_with_log_json_is_a_line_of_json(arguments: tuple[str, ...], code: int) -> None:
    done = run_command(*arguments, "--log-json")
    assert done.code == code, done.err
    last = json_lines(done.err)[-1]
    assert (last["event"], last["level"], last["exit_code"]) == ("command_failed", "error", code)


REPORTS = """
import logging, sys, threading, warnings
from batonics.sinks.logs import configure
configure(as_json=True)
warnings.warn("a\\nwarning")
logging.getLogger("other").error("an error")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
class Broken:
    def __del__(self):
        raise ValueError("lost")
Broken()
raise RuntimeError("the\\nlast")
"""


def test_what_python_reports_is_json_too() -> None:
    done = subprocess.run(
        [SCRIPT[0], "-c", REPORTS],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 1
    lines = json_lines(done.stderr)
    assert [line["event"] for line in lines] == [
        "log", "log", "uncaught_error", "unraisable_error", "uncaught_error",
    ]  # fmt: skip
    assert "a\nwarning" in str(lines[0]["message"])
    assert lines[1]["message"] == "an error"
    assert "ZeroDivisionError" in str(lines[2])
    assert "lost" in str(lines[3])


@pytest.mark.parametrize(
    "command",
    [
        ("replay", SAMPLE, "--bind"),
        ("stream", "--connect", "127.0.0.1:9", "--http"),
    ],
    ids=["replay", "stream"],
)
def test_an_address_in_use_is_one_plain_line(command: tuple[str | Path, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
        done = run_command(*command, address)
    assert error_line(done, 4) == f"cannot listen on {address}: address already in use"


@pytest.mark.parametrize(
    "arguments",
    [
        ("SELECT nope FROM trades",),
        ("SELECT 1 FROM trades", "--symbols", "NOPE"),
        ("SELECT 1 / 'x' FROM trades",),
        ("SELECT * FROM read_csv('none.csv') WHERE 'trades' = ''",),
    ],
)
def test_no_error_of_a_query_has_the_path_of_a_temporary_directory(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = run_in_process("query", "--from", SAMPLE, *arguments, "-q")
    assert str(tmp_path) not in error_line(done, 2)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- what the help says


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("reconstruct", ("--out", "-")),
        ("convert", ("--schema", "trades", "--out", "-", "--format", "csv")),
        ("verify", ("--json",)),
        ("inspect", ("--json",)),
    ],
)
def test_files_may_be_standard_input_and_outputs_standard_output(
    command: str, arguments: tuple[str, ...]
) -> None:
    done = run_command(command, "-", *arguments, stdin=SAMPLE.read_bytes())
    assert done.code == 0, done.err
    assert len(done.out) > 100


@pytest.mark.parametrize("command", ["reconstruct", "convert", "verify", "fill"])
def test_symbols_may_be_instrument_ids(command: str, tmp_path: Path) -> None:
    books = json.loads(run_in_process("reconstruct", SAMPLE, "-q", "--out", "-").out)["books"]
    book = books[1]
    arguments = {
        "reconstruct": (),
        "verify": (),
        "convert": ("--schema", "mbo", "--out", tmp_path / "x.csv"),
        "fill": ("--side", "buy", "--price", "40", "--size", "1", "--at", book["ts_recv"]),
    }[command]
    for name in (book["symbol"], str(book["instrument_id"])):
        done = run_in_process(command, SAMPLE, *arguments, "--symbols", name)
        assert done.code == 0, done.err
