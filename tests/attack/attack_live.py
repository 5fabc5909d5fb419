"""Hostile live feeds: damage, bombs, floods of names and of white space, cut at random.

The rule here: a feed is taken or refused in one line of ours. Nothing else escapes, and between two
looks at the clock no more is done than a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from backports import zstd

from batonics.codec.framing import HEAD_BYTES_MAX
from batonics.codec.messages import write_symbol_mapping
from batonics.codec.metadata import STYPE_RAW_SYMBOL, parse_prefix
from batonics.live.feed_handler import FeedHandler
from batonics.model.errors import BatonicsError
from batonics.sources.stream import BATCH_ROWS
from tests.attack.attempt import Attempt
from tests.support.dbn_files import SMALL
from tests.support.faults_bytes import BYTE_FAULTS, damage_bytes

_RECORDS_AT = parse_prefix(SMALL[:8])
_NDJSON = b'{"type":"%s","symbol":"%s","side":"bid","oid":%d,"px":%d,"qty":%d,"seq":1,"ts_ns":1}\n'


def run(cases: int, seed: int) -> Iterator[Attempt]:
    """Try so many feeds."""
    for number in range(cases):
        chance = Random(f"{seed} {number}")
        kind = chance.choice(sorted(_FEEDS))
        data = _FEEDS[kind](chance)
        if chance.random() < 0.3:
            data = zstd.compress(data)
        yield Attempt(f"feed {number} ({kind})", _try(data, chance))


def _try(data: bytes, chance: Random) -> str:
    """What went wrong with a feed that comes in pieces of any size."""
    handler, records = FeedHandler(source="a feed"), 0
    handler.begin_connection()
    at = 0
    try:
        while at < len(data):
            piece = data[at : at + chance.choice((1, 7, 100, 5_000, 1 << 20))]
            at += len(piece)
            for _ in handler.process_batches(piece):
                if handler.stats.records - records > BATCH_ROWS:
                    return f"a step took {handler.stats.records - records} records"
                records = handler.stats.records
            handler.update_names().take_changed()
        handler.check_complete()
    except BatonicsError as error:
        return f"a message of two lines: {error}" if "\n" in str(error) else ""
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"{type(error).__name__}: {error}"
    return ""


def _damaged(chance: Random) -> bytes:
    kind = chance.choice(sorted(BYTE_FAULTS))
    return damage_bytes(kind, str(chance.random()), SMALL, _RECORDS_AT)


def _bomb(chance: Random) -> bytes:
    records = SMALL[_RECORDS_AT:] * chance.randrange(1, 2_000)
    return (
        SMALL[:_RECORDS_AT] + zstd.compress(records)
        if chance.random() < 0.2
        else (
            zstd.compress(SMALL[:_RECORDS_AT] + records)
            + zstd.compress(b"") * chance.randrange(1_000)
        )
    )


def _blanks(chance: Random) -> bytes:
    count = chance.choice((1, HEAD_BYTES_MAX - 1, HEAD_BYTES_MAX, 70_000))
    return bytes(chance.choices(b" \t\r\n", k=count)) + chance.choice((b"{", b"", SMALL, b"DBN"))


def _names(chance: Random) -> bytes:
    pieces = [SMALL]
    for number in range(chance.randrange(300)):
        instrument, start = chance.randrange(4), chance.randrange(2**63)
        end = chance.choice((start + 10, 2**64 - 1))
        name = f"S{number}"
        pieces.append(
            write_symbol_mapping(
                instrument, start, STYPE_RAW_SYMBOL, name, name, start_ns=start, end_ns=end
            )
        )
    return b"".join(pieces)


def _lines(chance: Random) -> bytes:
    numbers = (0, 1, -1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30)
    return b"".join(
        _NDJSON
        % (
            chance.choice((b"add", b"cancel", b"fill", b"modify", b"clear", b"x")),
            b"S%d" % chance.randrange(5),
            *chance.choices(numbers, weights=(1, 9, 1, 1, 1, 1, 1, 1), k=3),
        )
        for _ in range(chance.randrange(1, 20))
    )


def _bytes(chance: Random) -> bytes:
    opening = chance.choice(
        (b"", b"DBN", b"DBN\3", b"\x0e\xa0", b"{", b"\x38\0\0\0", b"\x28\xb5\x2f\xfd")
    )
    return opening + chance.randbytes(chance.randrange(2_000))


_FEEDS: dict[str, Callable[[Random], bytes]] = {
    "damaged": _damaged,
    "bomb": _bomb,
    "blanks": _blanks,
    "names": _names,
    "lines": _lines,
    "bytes": _bytes,
}
