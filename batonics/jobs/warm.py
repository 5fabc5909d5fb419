"""Compile every kernel of the main job now, into the cache: for images and first runs.

`python -m batonics.jobs.warm` does it and says where the kernels went.
"""

from __future__ import annotations

from batonics.book.engine import BookEngine
from batonics.codec.dbn import DbnDecoder, encode_records
from batonics.codec.ndjson import NdjsonDecoder
from batonics.model.mbo import Action, Flag, Side, copy_batch, empty_batch


def warm() -> None:
    """Run one record through everything that is compiled."""
    batch = empty_batch(1)
    for column in batch:
        column[:] = 1
    batch.action[:], batch.side[:], batch.flags[:] = Action.ADD, Side.BID, Flag.LAST
    decoder = DbnDecoder()
    for decoded in decoder.feed(encode_records(batch)):
        engine = BookEngine(bbo=True, deltas=True)
        engine.fold(copy_batch(decoded))
        engine.rebuild()
    ndjson = NdjsonDecoder()
    for _ in ndjson.feed(b'{"type":"clear","symbol":"X"}\n'):
        pass


if __name__ == "__main__":
    from rich.console import Console

    from batonics.native import cache_directories

    warm()
    Console().print("kernels compiled; looked for in", *cache_directories())
