"""A recording has one owner, ends for good when it is damaged, and is checked when it is read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from batonics.live.depth_snapshots import DepthSnapshotWriter
from batonics.live.feed_handler import FeedHandler
from batonics.live.recorder import FeedRecorder
from batonics.live.recording import list_recording_files, recover
from batonics.model.errors import InputError, OutputError
from batonics.settings.table import LiveSettings
from tests.support.command import run_in_process
from tests.support.dbn_files import SMALL

SETTINGS = LiveSettings(recording_sync_interval_s=0.001, checkpoint_interval_s=0.001)


class Recording:
    """A recorder of a feed that brings SMALL, one byte range after the other."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.handler, self.recorder = FeedHandler(), FeedRecorder(directory, SETTINGS)
        self.recorder.begin_connection(has_snapshot=False)
        self.handler.begin_connection()
        self._taken = 0

    def take(self, size: int) -> None:
        data = SMALL[self._taken : self._taken + size]
        self._taken += size
        self.handler.process(data)
        self.recorder.write(memoryview(data), self.handler)

    def close(self) -> None:
        self.recorder.close(self.handler)


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_recording_has_one_owner_at_a_time(tmp_path: Path) -> None:
    first = Recording(tmp_path)
    first.take(500)
    for make in (
        lambda: FeedRecorder(tmp_path),
        lambda: DepthSnapshotWriter(tmp_path, 10),
        lambda: Recording(tmp_path),
    ):
        with pytest.raises(OutputError, match="is in use by batonics stream --record, process"):
            make()
    first.close()
    before = files_of(tmp_path)
    second = FeedRecorder(tmp_path)
    handler = FeedHandler()
    assert recover(handler, tmp_path) == 1
    assert handler.position == first.handler.position
    second.close(FeedHandler())
    changed = {name for name, data in files_of(tmp_path).items() if before.get(name) != data}
    assert changed <= {"checkpoint.bin", ".batonics-lock"}


def remove(directory: Path, how: str) -> None:
    if how == "file":
        list_recording_files(directory)[0].path.unlink()
    elif how == "directory":
        shutil.rmtree(directory)
    else:
        directory.rename(directory.with_name("away"))
        if how == "replaced":
            directory.mkdir()


@pytest.mark.parametrize("how", ["file", "directory", "moved", "replaced"])
def test_a_recording_that_is_removed_ends_and_writes_nothing_more(how: str, tmp_path: Path) -> None:
    recording = Recording(tmp_path / "recording")
    recording.take(500)
    recording.recorder.run_due_work(recording.handler)
    recording.recorder._thread.submit(lambda: None).result()  # nothing is being written
    remove(recording.directory, how)
    recording.take(100)
    recording.recorder.run_due_work(recording.handler)
    assert "removed" in str(recording.recorder.failure)
    before = files_of(recording.directory) if recording.directory.exists() else None
    recording.take(1_000)
    for _ in range(5):
        recording.recorder.run_due_work(recording.handler)
    recording.close()
    assert before == (files_of(recording.directory) if recording.directory.exists() else None)
    assert recording.handler.stats.records > 0


def test_rot_is_found_at_a_restart_and_by_the_command(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    recording.take(len(SMALL))
    recording.close()
    path = list_recording_files(tmp_path)[0].path
    done = run_in_process("recording", tmp_path)
    assert done.code == 0
    lines = done.out.decode().splitlines()
    assert lines[0] == f"{path.name}: {len(SMALL):,} bytes are as recorded"
    assert lines[1].startswith("checkpoint.bin: ")
    data = bytearray(SMALL)
    data[-1] ^= 1  # a sequence number: no decoder could notice
    path.write_bytes(data)
    done = run_in_process("recording", tmp_path)
    assert (done.code, done.err) == (3, f"batonics: {tmp_path}: 1 damaged file\n")
    assert f"{path.name}: damaged: its first {len(SMALL)} bytes are not" in done.out.decode()
    with pytest.raises(InputError, match="restore it from a copy"):
        recover(FeedHandler(), tmp_path)


def test_what_is_no_recording_is_one_line(tmp_path: Path) -> None:
    assert "is no recording" in run_in_process("recording", tmp_path).err
    assert "cannot be read" in run_in_process("recording", tmp_path / "none").err
