"""A run that is killed and begun again with its checkpoint gives the same bytes.

The rule: what goes on from a checkpoint really does: the records before it are not folded again.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from batonics.jobs import reconstruct as job
from batonics.jobs.reconstruct import Reconstruction, ReconstructRequest
from batonics.model.errors import CheckpointError
from batonics.sinks.book_json import write_books
from batonics.sources.stream import MboStream
from tests.support.command import (
    SAMPLE,
    environment,
    error_line,
    reconstruct_books,
    run_command,
    run_in_process,
)
from tests.support.dbn_files import SMALL, adds, encode, metadata
from tests.support.real_files import ESH4_DAYS

EVERY = 4_000
"""Records: fewer than a batch of a compressed file has, so that each batch is saved."""
KILLED_AT_SAVE = """
import os, signal
from batonics.jobs import reconstruct as job
job.CHECKPOINT_RECORDS = {every}
save, saved = job.open_atomic, 0
class Killing:
    def __init__(self, path): self.inner = save(path)
    def __enter__(self): return self.inner.__enter__()
    def __exit__(self, *error):
        global saved
        self.inner.__exit__(*error)
        saved += 1
        if saved == {kill_at}: os.kill(os.getpid(), signal.SIGKILL)
job.open_atomic = Killing
from batonics.cli.main import main
main()
"""


class StopError(Exception):
    """Ends a run at a batch."""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "CHECKPOINT_RECORDS", EVERY)


def run_until(request: ReconstructRequest, batches: int | None) -> Reconstruction | None:
    """Run the job, or stop it after so many batches, as a crash would; None if it was stopped."""
    run = Reconstruction(request)
    seen = 0

    def count(_: MboStream) -> None:
        nonlocal seen
        seen += 1
        if seen == batches:
            raise StopError

    run.progress = count
    try:
        run.run()
    except StopError:
        return None
    return run


def written(run: Reconstruction) -> bytes:
    out = io.BytesIO()
    write_books(out, run.engine, run.symbols, orders=True, as_of=run.as_of)
    return out.getvalue()


@pytest.mark.parametrize("batches", [2, 3, 4])
def test_a_stopped_run_goes_on_to_the_same_bytes(batches: int, tmp_path: Path) -> None:
    saved = tmp_path / "state"
    request = ReconstructRequest((str(SAMPLE),), checkpoint=str(saved))
    assert run_until(request, batches) is None
    assert saved.exists()
    resumed = Reconstruction(request)
    assert resumed.engine.records >= EVERY
    resumed.run()
    assert written(resumed) == reconstruct_books(SAMPLE, "--orders")


def test_stopped_at_every_batch_it_still_ends_with_the_same_bytes(
    test_data: Path, tmp_path: Path
) -> None:
    days = tuple(str(test_data / day) for day in ESH4_DAYS)
    request = ReconstructRequest(days, checkpoint=str(tmp_path / "state"))
    stops = 0
    # Each attempt comes one batch further: what is done is read again, but not folded.
    while (run := run_until(request, stops + 1)) is None:
        stops += 1
    assert stops >= 3
    assert written(run) == reconstruct_books(*days, "--orders")
    # It is done: once more folds nothing but what came after the last checkpoint.
    again = Reconstruction(request)
    before = again.engine.records
    again.run()
    assert before > 60_000
    assert written(again) == written(run)


@pytest.mark.parametrize("kill_at", [1, 3])
def test_killed_behind_a_checkpoint_the_command_goes_on(kill_at: int, tmp_path: Path) -> None:
    saved, output = tmp_path / "state", tmp_path / "book.json"
    options = [str(SAMPLE), "-q", "--orders", "--checkpoint", str(saved), "--out", str(output)]
    code = KILLED_AT_SAVE.format(every=EVERY, kill_at=kill_at)
    killed = subprocess.run(
        [sys.executable, "-c", code, "reconstruct", *options], env=environment(), check=False
    )
    assert killed.returncode == -9
    assert saved.exists()
    assert not output.exists()
    assert run_command("reconstruct", *options).code == 0
    assert output.read_bytes() == reconstruct_books(SAMPLE, "--orders")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file, and `state`, a checkpoint of it."""
    monkeypatch.setattr(job, "CHECKPOINT_RECORDS", 1)
    path = tmp_path / "small.dbn"
    path.write_bytes(SMALL)
    assert (
        run_until(ReconstructRequest((str(path),), checkpoint=str(tmp_path / "state")), 1) is None
    )
    return path


def test_other_options_are_refused_with_advice(small: Path) -> None:
    saved = small.with_name("state")
    words = f"{saved}: belongs to other input or options; remove it to start again"
    for options in (["--symbols", "AAA"], ["--skip-bad"], [small]):
        done = run_in_process("reconstruct", small, *options, "--checkpoint", saved)
        assert error_line(done, 5) == words
    assert run_in_process("reconstruct", small, "--checkpoint", saved).code == 0


@pytest.mark.parametrize(
    "data", [SMALL + encode(adds(1)), metadata({"ZZZ": 1}) + encode(adds(20))], ids=["size", "head"]
)
def test_other_input_is_refused(data: bytes, small: Path) -> None:
    small.write_bytes(data)
    with pytest.raises(CheckpointError, match="belongs to other input or options"):
        Reconstruction(ReconstructRequest((str(small),), checkpoint=str(small.with_name("state"))))


@pytest.mark.parametrize("damage", ["cut", "bit", "foreign", "empty", "directory"])
def test_a_damaged_checkpoint_is_refused_with_advice(damage: str, small: Path) -> None:
    saved = small.with_name("state")
    data = bytearray(saved.read_bytes())
    saved.unlink()
    if damage == "directory":
        saved.mkdir()
    elif damage == "cut":
        saved.write_bytes(data[:-1])
    elif damage == "bit":
        data[len(data) // 2] ^= 4
        saved.write_bytes(data)
    else:
        saved.write_bytes(b"" if damage == "empty" else SMALL)
    line = error_line(run_in_process("reconstruct", small, "--checkpoint", saved), 5)
    assert line.startswith(f"{saved}: ")
    assert line.endswith(
        "cannot be read: Is a directory" if damage == "directory" else "remove it to start again"
    )


@pytest.mark.parametrize(
    "arguments",
    [["-"], ["{file}", "--at", "0"], ["{file}", "--snapshots", "x.parquet", "--every", "1s"]],
    ids=["stdin", "at", "snapshots"],
)
def test_what_cannot_be_gone_on_with_is_refused(
    arguments: list[str], small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small.parent)
    filled = [argument.format(file=small) for argument in arguments]
    done = run_command("reconstruct", *filled, "--checkpoint", "state")
    assert error_line(done, 2).startswith("--checkpoint needs files")


def test_a_checkpoint_that_cannot_be_looked_for_is_one_line(small: Path) -> None:
    done = run_in_process("reconstruct", small, "--checkpoint", "x" * 300)
    assert error_line(done, 5).endswith("cannot be read: File name too long")
