"""Checkpoints that somebody made up: arrays and headers changed, the digest right.

`python -m tests.support.checkpoint_fuzz SEED COUNT` loads so many, and goes on with each that is
accepted: it folds, publishes, rebuilds and reads. It prints how many were refused. A crash of the
process, a hang, or any error but a refusal ends it with another exit code.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys

import numpy as np
import orjson

from batonics.book import checkpoint
from batonics.book.engine import BookEngine
from batonics.book.results import PublishSpec
from batonics.book.state import State, Total
from batonics.live.published_books import PublishedBooks
from batonics.model.errors import CheckpointError
from batonics.model.mbo import concat_batches
from tests.support.stream_profiles import PROFILES
from tests.support.streams import random_stream

DIGEST_BYTES = 32
ROWS = 300
NUMBERS = [0, 1, -1, 2, 15, 16, 255, 2**31 - 1, 2**31, 2**32, 2**47, 2**62, 2**63 - 1, -(2**63)]


def seal(body: bytes) -> bytes:
    """A checkpoint of a body."""
    return body + hashlib.sha256(body).digest()


def saved(seed: int) -> bytes:
    """A checkpoint of small tables, so that many changes hit something."""
    engine = BookEngine()
    names = ("adversarial", "top_of_book", "snapshots", "small_keys")
    engine.fold(PROFILES[names[seed % len(names)]](seed, ROWS))
    engine.rebuild()
    return checkpoint.save(engine, {})


class Body:
    """The header and the arrays of a checkpoint, to be changed."""

    def __init__(self, data: bytes) -> None:
        arrays_at = 12 + int.from_bytes(data[8:12], "little")
        self.header = orjson.loads(data[12:arrays_at])
        self.arrays = {}
        at = arrays_at
        for name, dtype, length in self.header["arrays"]:
            stop = at + length * np.dtype(dtype).itemsize
            self.arrays[name] = np.frombuffer(data[at:stop], dtype).copy()
            at = stop

    def forge(self) -> bytes:
        """The checkpoint as it is now, with a right digest."""
        header = json.dumps(self.header).encode()
        arrays = b"".join(array.tobytes() for array in self.arrays.values())
        return seal(b"BATONCP1" + len(header).to_bytes(4, "little") + header + arrays)


def change(body: Body, choose: random.Random) -> None:
    """Change a few words, or a length, or the header."""
    for _ in range(choose.choice([1, 1, 1, 2, 4])):
        array = body.arrays[choose.choice(list(body.arrays))]
        if len(array) == 0:
            continue
        # Words that are in use are more interesting than the many zeros.
        used = np.flatnonzero(array)
        at = int(choose.choice(used)) if len(used) and choose.random() < 0.7 else None
        at = choose.randrange(len(array)) if at is None else at
        kind = choose.randrange(4)
        value = int(array[at])
        if kind == 0:
            value ^= 1 << choose.randrange(8 * array.itemsize)
        elif kind == 1:
            value += choose.choice([-4, -2, -1, 1, 2, 4])
        elif kind == 2:
            value = choose.choice(NUMBERS)
        else:
            value = int(array[choose.randrange(len(array))])
        bits = 8 * array.itemsize
        array[at] = (
            np.array([value % (1 << bits)], np.uint64)
            .astype(f"<u{array.itemsize}")
            .view(array.dtype)[0]
        )
    if choose.random() < 0.1:
        key = choose.choice(["records", "bbo", "deltas", "arrays", "extra", "version"])
        body.header[key] = choose.choice([None, -1, 1.5, "x", [], {}, True, 2**63, [[1, 2, 3]]])
    if choose.random() < 0.1:
        name = choose.choice(list(body.arrays))
        length = choose.choice([0, 1, 4, 32, len(body.arrays[name]) // 2])
        body.arrays[name] = body.arrays[name][:length]
        for entry in body.header["arrays"] if isinstance(body.header["arrays"], list) else []:
            if entry[0] == name:
                entry[2] = length


def go_on(data: bytes, seed: int) -> bool:
    """Load a checkpoint and use its books; False if it is refused."""
    published = PublishedBooks(3)
    spec: PublishSpec = published.engine_spec()
    try:
        engine, _ = checkpoint.load(data, tops=spec)
    except CheckpointError as refusal:
        if "\n" in str(refusal) or len(str(refusal)) > 300:
            raise
        return False
    published.load(engine)
    batch = concat_batches([random_stream(seed, ROWS), PROFILES["top_of_book"](seed, ROWS)])
    engine.apply(batch)
    published.update(batch, engine)
    engine.mark_stale()
    engine.rebuild()
    engine.statuses()
    state: State = engine.state
    if int(state.totals[Total.ORDERS]) * 2 > len(state.orders) // 4:
        raise AssertionError("the table of orders is too full")
    return True


def main(seed: int, count: int) -> None:
    """Try so many, and print how many were refused."""
    choose, refused = random.Random(seed), 0
    originals = [saved(number) for number in range(4)]
    if not all(go_on(data, seed) for data in originals):
        raise AssertionError("a good checkpoint is refused")
    for _ in range(count):
        body = Body(choose.choice(originals))
        change(body, choose)
        refused += not go_on(body.forge(), seed)
    print(json.dumps({"tried": count, "refused": refused}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
