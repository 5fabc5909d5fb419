"""A checkpoint in a recording is refused in one line where it is not that of a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from batonics.book import checkpoint
from batonics.book.engine import BookEngine
from batonics.live.feed_handler import FeedHandler
from batonics.live.recording import CHECKPOINT_NAME, recover
from batonics.model.book_changes import TradingStatus
from batonics.model.errors import CheckpointError
from tests.support.dbn_files import status_record

STATUS = status_record(3, TradingStatus.TRADING, "Y", instrument_id=7)
GOOD: dict[str, checkpoint.JSON] = {
    "place": [-1, 0, 0, 0, 0],
    "counts": [1, 0],
    "data": [None, None],
    "symbols": [[0, 2**64 - 1, 7, "X"]],
    "statuses": [STATUS.hex()],
}


def load(directory: Path, extra: dict[str, checkpoint.JSON]) -> FeedHandler:
    (directory / CHECKPOINT_NAME).write_bytes(checkpoint.save(BookEngine(), extra))
    handler = FeedHandler()
    recover(handler, directory)
    return handler


def test_a_whole_one_is_loaded(tmp_path: Path) -> None:
    handler = load(tmp_path, GOOD)
    assert handler.symbols.symbol(7, 5) == "X"
    assert [record.hex() for record in handler.status_records.values()] == GOOD["statuses"]


@pytest.mark.parametrize(
    "change", [lambda record: record[:-1], lambda record: b"\0" + record[1:]], ids=["cut", "length"]
)
def test_a_status_that_is_no_status_record_is_refused(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    record = change(STATUS).hex()
    with pytest.raises(CheckpointError, match="has no statuses"):
        load(tmp_path, {**GOOD, "statuses": [record]})


def test_a_checkpoint_of_before_there_were_statuses_has_none(tmp_path: Path) -> None:
    old = {name: value for name, value in GOOD.items() if name != "statuses"}
    assert load(tmp_path, old).status_records == {}


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
