"""A checkpoint in a recording is refused in one line where it is not that of a recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from batonics.book import checkpoint
from batonics.book.engine import BookEngine
from batonics.live.feed_handler import FeedHandler
from batonics.live.recorder import CHECKPOINT_NAME, recover
from batonics.model.errors import CheckpointError

GOOD: dict[str, checkpoint.JSON] = {
    "place": [-1, 0, 0, 0, 0],
    "counts": [1, 0],
    "data": [None, None],
    "symbols": [[0, 2**64 - 1, 7, "X"]],
}


def load(directory: Path, extra: dict[str, checkpoint.JSON]) -> FeedHandler:
    (directory / CHECKPOINT_NAME).write_bytes(checkpoint.save(BookEngine(), extra))
    handler = FeedHandler()
    recover(handler, directory)
    return handler


def test_a_whole_one_is_loaded(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).symbols.symbol(7, 5) == "X"


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [None, "x", [1], [None, [1]], {}])
def test_one_of_another_command_is_one_line(
    tmp_path: Path, name: str, value: checkpoint.JSON
) -> None:
    with pytest.raises(CheckpointError) as error:
        load(tmp_path, {**GOOD, name: value})
    assert str(error.value) == (
        f"{tmp_path / CHECKPOINT_NAME}: the checkpoint has no {name}: it is of another command;"
        " remove it to start again"
    )
