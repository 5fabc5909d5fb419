"""Which file of settings is read, and when."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batonics.model.errors import UsageError
from batonics.settings.loader import current, find_file, load, read


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The three places of a file, with nothing in them; the second is the working directory's."""
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    (home / "batonics").mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.delenv("BATONICS_CONFIG", raising=False)
    return {
        "named": tmp_path / "named.toml",
        "local": work / "batonics.toml",
        "user": home / "batonics" / "config.toml",
    }


def test_the_first_file_that_is_there_is_the_only_one_read(places: dict[str, Path]) -> None:
    assert find_file() is None
    for depth, name in enumerate(("user", "local", "named"), 2):
        places[name].write_text(f"[live]\ndepth = {depth}")
        environment = {"BATONICS_CONFIG": str(places["named"])} if name == "named" else {}
        environment["XDG_CONFIG_HOME"] = str(places["user"].parents[1])
        resolved = load(environment=environment)
        assert resolved.settings.live.depth == depth
        expected = "batonics.toml" if name == "local" else str(places[name])
        assert resolved.origins["live.depth"].name == expected


def test_a_named_file_must_be_there(places: dict[str, Path]) -> None:
    missing = str(places["named"])
    with pytest.raises(UsageError) as caught:
        load(environment={"BATONICS_CONFIG": missing})
    assert str(caught.value) == f"{missing}: cannot be read: No such file or directory"
    places["named"].write_bytes(b"x = '\xff'")
    with pytest.raises(UsageError, match="not TOML: it is not UTF-8"):
        load(environment={"BATONICS_CONFIG": missing})


def test_only_the_file_of_the_working_directory_is_not_trusted(places: dict[str, Path]) -> None:
    for name in ("user", "local"):
        places[name].write_text("")
    assert (found := find_file()) is not None
    assert not found.is_trusted
    places["local"].unlink()
    assert (found := find_file()) is not None
    assert found.is_trusted


@pytest.mark.usefixtures("places")
def test_a_variable_that_changes_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATONICS_CACHE_DIR", "a")
    assert current().cache.directory == "a"
    assert current() is current()
    monkeypatch.setenv("BATONICS_CACHE_DIR", "b")
    assert current().cache.directory == "b"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "settings.toml")
    with pytest.raises(UsageError, match="a pipe is no file of settings"):
        read(str(tmp_path / "settings.toml"))


def test_a_file_that_is_nested_too_deeply_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[live]\ndepth = " + 100_000 * "[")
    with pytest.raises(UsageError, match="not TOML: it is nested too deeply"):
        load(environment={"BATONICS_CONFIG": str(path)})
