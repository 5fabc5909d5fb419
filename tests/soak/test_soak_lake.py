"""The soak of lakes kills, and notices what is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from batonics.lake.lake import Lake
from tests.soak import soak_lake
from tests.soak.soak_lake import Soak, Walk


def test_a_short_walk_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    soak = Soak(6, 1, only=0)
    soak.run()
    assert soak.kills == 6
    assert capsys.readouterr().out == "6 kills, 1 walks\n"


def test_what_is_lost_fails_and_names_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Walk._found

    def lose_one(self: Walk) -> soak_lake.Held:
        held = found(self)
        if len(held) > 3:
            lake = Lake(self._lake)
            Path(self._lake, lake.parts()["path"][0]).unlink()
        return held

    monkeypatch.setattr(Walk, "_found", lose_one)
    with pytest.raises(Exception, match=r"parquet") as error:
        Soak(50, 1, only=3).run()
    assert error.value.__notes__[0].startswith("seed 1, walk 3, commit ")
