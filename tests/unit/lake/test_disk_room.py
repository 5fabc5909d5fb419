"""What a load finds about the room on its disk, before it commits anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from batonics.jobs.lake_load import LakeLoad, LoadRequest
from batonics.lake import disk_room
from batonics.lake.disk_room import SortRoom, check_room
from batonics.lake.lake import Lake
from batonics.model.errors import OutputError
from tests.support.dbn_files import DAY_NS, adds, encode, metadata
from tests.support.lakes import parquet_files


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is free on every disk; the test changes it."""
    value = [10**12]
    monkeypatch.setattr(disk_room, "free_bytes", lambda _: value[0])
    return value


def test_the_rest_of_a_source_is_estimated(tmp_path: Path, free: list[int]) -> None:
    share = [0.01]
    room = SortRoom(tmp_path, lambda: share[0])
    free[0] = 0
    room.add_run(10**9, keeps_runs=True)  # too little was read to say anything
    share[0] = 0.5
    with pytest.raises(OutputError, match=r"they need about 2.8 GB more, and 0.0 kB are free"):
        room.add_run(10**9, keeps_runs=True)
    room.add_run(0, keeps_runs=False)  # runs of earlier days are gone
    free[0] = 3 * 10**9
    room.add_run(0, keeps_runs=True)


def test_a_disk_is_asked_for_what_is_needed(tmp_path: Path, free: list[int]) -> None:
    free[0] = 1_500_000
    check_room(tmp_path, 1_500_000, "files")
    with pytest.raises(OutputError, match=r"no room for files: they need about 1.5 MB, and 1.5 MB"):
        check_room(tmp_path, 1_500_001, "files")


def test_a_real_disk_has_room(tmp_path: Path) -> None:
    assert disk_room.free_bytes(tmp_path) > 0


def write_days(directory: Path, count: int) -> list[str]:
    paths = []
    for day in range(count):
        rows = [row._replace(ts_recv=row.ts_recv + day * 10**9) for row in adds(200)]
        path = directory / f"{day}.dbn"
        path.write_bytes(metadata(start=DAY_NS) + encode(rows))
        paths.append(str(path))
    return paths


def test_a_load_that_cannot_fit_is_refused_before_its_first_commit(
    tmp_path: Path, free: list[int]
) -> None:
    paths, lake = write_days(tmp_path, 20), tmp_path / "lake"
    free[0] = 1_000
    with pytest.raises(OutputError, match="no room for the parts of 19 more files"):
        list(LakeLoad(LoadRequest(tuple(paths), str(lake), ("mbo",))).run())
    assert Lake(lake).parts().height == 0
    assert parquet_files(lake) == set()
    # What the lake has needs no room, and one file is loaded whatever the others would need.
    list(LakeLoad(LoadRequest((paths[0],), str(lake), ("mbo",))).run())
    free[0] = 10**9
    list(LakeLoad(LoadRequest(tuple(paths), str(lake), ("mbo",))).run())
    assert Lake(lake).parts().height == 20
    free[0] = 0
    list(LakeLoad(LoadRequest(tuple(paths), str(lake), ("mbo",))).run())
