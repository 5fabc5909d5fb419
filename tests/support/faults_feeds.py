"""Faulty feeds, seeded: no book published as synced is wrong, and the counts add up.

A published row is checked by its `sequence`, which here is the record's number in the whole feed:
its levels are those of the true book after that record, whatever was lost on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from batonics.codec.dbn import encode_records
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.gateway.fault_simulation import simulate_connections
from batonics.gateway.faults import Fault, Faults
from batonics.live.feed_handler import FeedHandler
from batonics.live.protocol import STATUSES, FeedState
from batonics.model.mbo import UNDEF_PRICE, Flag
from tests.support.reference_books import Record, ReferenceBooks, records
from tests.support.streams import START_NS, batch_of, random_stream

DEPTH = 5
RECORDS = 300
KINDS = {
    "lost connections": Faults(rst=8, cut=8, dup=600),
    "lost records": Faults(drop=15),
    "lost records and connections": Faults(drop=6, rst=6, cut=6, stall=3),
    "resets alone": Faults(rst=15),
}
HEAD = encode_metadata(Metadata())
Levels = tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]


def make_records(seed: int) -> list[Record]:
    """Numbered records, each with its own time; no publisher is top-of-book."""
    batch = random_stream(
        seed, RECORDS, snapshot_share=0.02, partial_modifies=False, fault_share=0.0
    )
    removed_flags = int(Flag.BAD_TS_RECV | Flag.MAYBE_BAD_BOOK)
    return [
        row._replace(
            ts_recv=START_NS + 1_000 * number,
            ts_event=START_NS + 1_000 * number - 7,
            sequence=number,
            flags=row.flags & ~removed_flags,
        )
        for number, row in enumerate(records(batch))
    ]


def reference_levels(rows: Sequence[Record]) -> list[Levels]:
    """The best levels of the record's book after each record."""
    books, levels = ReferenceBooks(), []
    for row in rows:
        books.apply(row)
        key = row.publisher_id, row.instrument_id
        bids, asks = (books.quotes(key, side)[:DEPTH] for side in (ord("B"), ord("A")))
        levels.append((bids, asks))
    return levels


def check_synced_books(handler: FeedHandler, expected: list[Levels]) -> int:
    """Check each book that is published as synced; how many there are."""
    rows = handler.published_books.rows
    if handler.stats.feed != FeedState.LIVE:
        return 0
    synced = 0
    for row in rows[rows["status"] == STATUSES.index("synced")]:
        synced += 1
        bids, asks = (
            [tuple(level) for level in row[side].tolist() if level[0] != UNDEF_PRICE]
            for side in ("bids", "asks")
        )
        assert (bids, asks) == expected[int(row["sequence"])], f"at record {row['sequence']}"
    return synced


def split_records(chunks: Sequence[bytes]) -> list[bytes]:
    """The complete records of a connection."""
    data = b"".join(chunks)[len(HEAD) :]
    return [data[at : at + 56] for at in range(0, len(data) - 55, 56)]


def count_gaps(connections: Sequence[Sequence[bytes]]) -> int:
    """How many connections continue without repeating the last record before them unchanged."""
    gaps, last = 0, b""
    for rows in connections:
        if not rows:
            continue
        later = next(
            (n for n, row in enumerate(rows) if sequence(row) >= sequence(last)), len(rows)
        )
        if last and later < len(rows) and rows[later] != last:
            gaps += 1
        last = max(last, rows[-1], key=sequence)
    return gaps


def sequence(row: bytes) -> int:
    """The number of a record in the feed; -1 for no record."""
    return int.from_bytes(row[52:56], "little") if row else -1


def check_faulty_feeds(kind: str, seeds: Iterable[int]) -> Counter[str]:
    """Check the feeds of these seeds against the reference and the counts; their totals."""
    seen: Counter[str] = Counter()
    for seed in seeds:
        rows = make_records(seed)
        expected = reference_levels(rows)
        faults = KINDS[kind]
        faults = Faults(**{**vars(faults), "seed": seed})
        connections, fault_counts = simulate_connections(
            HEAD + encode_records(batch_of(rows)), faults
        )
        handler = FeedHandler(depth=DEPTH, source=f"seed {seed}")
        for connection in connections:
            handler.begin_connection()
            for chunk in connection.chunks:
                for at in range(0, len(chunk), 1 + seed % 700):
                    handler.process(chunk[at : at + 1 + seed % 700])
                    seen["synced"] += check_synced_books(handler, expected)
            handler.end_connection()
        stats = handler.stats
        where = f"{kind}, seed {seed}"
        assert stats.connects == stats.disconnects == len(connections), where
        assert fault_counts.connections == len(connections), where
        ends = Counter(connection.end for connection in connections)
        assert (ends[Fault.RST], ends[Fault.CUT]) == (fault_counts.rst, fault_counts.cut), where
        received = [split_records(connection.chunks) for connection in connections]
        # Every record is folded, or skipped as a duplicate.
        assert stats.records + stats.duplicates == sum(map(len, received)), where
        assert stats.gaps == count_gaps(received), where
        assert stats.records == len(rows) - fault_counts.drop, where
        assert stats.duplicates == fault_counts.repeated, where
        seen.update(
            gaps=stats.gaps,
            lost=fault_counts.drop,
            flagged=fault_counts.flagged,
            dup=fault_counts.dup,
        )
    return seen
